"""Which nodes should hold a chunk: weighted rendezvous over the committed placement map."""

from fluffy.core.placement.rendezvous import place

__all__ = ["place"]
