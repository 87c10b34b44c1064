"""Stage `baseline`: fit TF-IDF with logistic regression."""
