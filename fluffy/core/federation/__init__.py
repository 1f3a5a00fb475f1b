"""Many clusters, one catalog: what an answer speaks for, in which order, and which cluster is best."""
