"""Stage `split`: assign rows to train, validation and test."""
