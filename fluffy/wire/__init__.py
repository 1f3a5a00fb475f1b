"""Floor 2: bytes to values and back. Every decoder here is bounded and never runs code from its input."""
