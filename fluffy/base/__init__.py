"""Floor 0: words that every room shares. Imports nothing of ours."""
