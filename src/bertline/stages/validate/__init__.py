"""Stage `validate`: validate the batch, and quarantine rows."""
