"""The dashboard's own files (static/) and how they are served."""
