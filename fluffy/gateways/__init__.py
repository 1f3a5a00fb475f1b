"""Floor 6: the front doors that people and programs use."""
