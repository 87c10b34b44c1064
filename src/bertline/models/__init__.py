"""Models: they turn texts into probabilities."""
