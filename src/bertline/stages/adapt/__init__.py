"""Stage `adapt`: continue the pre-training of the encoder."""
