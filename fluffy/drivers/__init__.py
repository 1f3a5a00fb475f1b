"""Floor 5: the world: raft, SQLite files, chunk files, sockets. One home per library."""
