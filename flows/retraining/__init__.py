"""What one retraining is made of; `flows.retrain` puts it together."""
