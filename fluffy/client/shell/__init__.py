"""The REPL and the one-shot commands: one table of commands for both."""
