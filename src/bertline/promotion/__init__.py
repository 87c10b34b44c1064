"""The promotion decision, and the registry that records it."""
