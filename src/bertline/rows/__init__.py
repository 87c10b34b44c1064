"""Rows of text: their columns, ids, labels, and tables of them."""
