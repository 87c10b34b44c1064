"""Predict the rows of a file: a table in, the same table with the answers out."""
