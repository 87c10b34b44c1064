"""Metrics, intervals, plots and the report: arrays in, no torch."""
