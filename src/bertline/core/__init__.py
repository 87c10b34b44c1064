"""The modules that every stage depends on: small and seldom touched."""
