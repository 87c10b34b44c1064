"""Stage `ingest`: read the source into one canonical table."""
