"""How threads are named that somebody looks for."""

# They read local files, and one may be stuck in a read of a pipe: the program's end does not wait for them.
UPLOAD_THREADS = "fluffy-upload"
