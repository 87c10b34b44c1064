"""CSV and TSV files: `reader` lists the known dialects, `recognition` finds the dialect of a file."""
