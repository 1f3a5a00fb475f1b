"""What a client can do, by subject: each module is one group of `AsyncFluffy`'s methods."""
