"""What stands around the last linear layer: temperature, states, out-of-scope scores."""
