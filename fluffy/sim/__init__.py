"""Floor 5: the world again, deterministic: one thread, virtual time, seeded faults."""
