"""The training loop, and what it needs: optimizer, checkpoints, processes, memory."""
