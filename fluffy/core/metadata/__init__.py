"""The replicated state: commands in, outcomes out, one SQLite database as the data structure."""
