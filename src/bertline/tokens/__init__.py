"""Token ids and tokenizers; no torch."""
