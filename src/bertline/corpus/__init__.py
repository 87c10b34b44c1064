"""What a row is: sources, schema, duplicates, splitting."""
