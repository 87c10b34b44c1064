"""The encoder: how it is loaded, built, saved, fed and computed."""
