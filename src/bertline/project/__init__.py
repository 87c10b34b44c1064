"""The checkout: git, DVC, experiments, locks."""
