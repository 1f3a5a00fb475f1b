"""Which nodes should hold a chunk: weighted rendezvous over the committed placement map."""
