"""The keeper: background work of one node.

On every node it makes missing copies and compares the disk with the catalog; on the leader's node it also watches the
other nodes, publishes the placement map, forgets unreferenced chunks and expires old versions. Every loop is
level-triggered: each round starts from committed state, so a crash at any point loses nothing but time.
"""
