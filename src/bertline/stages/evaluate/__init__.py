"""Stage `evaluate`: score candidate and baseline on the test split."""
