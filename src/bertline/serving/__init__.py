"""Load a fine-tuned model and classify texts with it."""
