"""The expectations a batch of rows must meet, and the verdict on it."""
