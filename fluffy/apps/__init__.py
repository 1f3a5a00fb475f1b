"""Floor 7: composition roots. Only here are settings read and drivers chosen."""
