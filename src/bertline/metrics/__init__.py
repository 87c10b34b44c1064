"""Predictions and what is computed from them: arrays in, numbers out; no torch."""
