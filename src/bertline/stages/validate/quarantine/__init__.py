"""Quarantined rows: the reasons, the decisions of reviewers, and the table that holds the rows."""
