"""The native HTTP API (docs/API.md)."""
