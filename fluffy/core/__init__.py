"""Floor 1: all decisions, pure and deterministic. No clock, disk, network, thread or log in here."""
