"""`bertline compare`: two models on today's test rows, and what made them differ, as one page."""
