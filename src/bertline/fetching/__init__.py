"""Fetch data from databases, stores, the web and the hub as files in data/incoming/."""
