"""Decisions about chunks: how a body is cut, when a write is safe, which copy to read next."""
