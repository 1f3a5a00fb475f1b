"""The supernode's door: many clusters behind one address (docs/FEDERATION.md)."""
