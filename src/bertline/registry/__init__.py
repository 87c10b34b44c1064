"""Versions and champions, which are git tags."""
