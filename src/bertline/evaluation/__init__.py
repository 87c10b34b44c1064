"""What an evaluation of one model, a comparison of two, and the promotion share: pure functions over rows."""
