"""Finding files: what a query means, and how an index is asked for it."""
