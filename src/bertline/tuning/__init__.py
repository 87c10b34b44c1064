"""Choosing the settings of a training: presets, techniques tried one by one, and cross-validation."""
