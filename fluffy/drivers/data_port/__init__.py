"""The data port: chunks between nodes, framed, authenticated, straight from and into pooled memory."""
