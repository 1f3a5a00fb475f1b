"""Floor 6: the SDK, and above it the shell (REPL and one-shot commands)."""
