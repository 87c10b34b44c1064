"""What comes from outside (databases, stores, the web, the hub) and lands as files in data/incoming/."""
