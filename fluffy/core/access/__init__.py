"""Who may do what: one policy for every door."""
