"""Choosing the settings of a training: presets, and the ledger that measures each tip on the data at hand."""
