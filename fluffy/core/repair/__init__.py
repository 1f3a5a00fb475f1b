"""Deciding which copies to make again. Above metadata, below data and placement."""
