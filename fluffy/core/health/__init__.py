"""Judging nodes and pacing work. Highest subject of `core`: may use placement, data, repair, metadata."""
