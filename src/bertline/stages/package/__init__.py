"""Put all that a consumer of the model needs into one folder."""
