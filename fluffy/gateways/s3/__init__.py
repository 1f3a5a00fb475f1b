"""The S3 door: other words for the same files, over the same services."""
