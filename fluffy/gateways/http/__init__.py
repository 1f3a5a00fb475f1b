"""HTTP/1.1 for our own doors: connections, bodies and answers, over httptools' parser (docs/decisions/008)."""
