"""Distances between two batches of rows."""
