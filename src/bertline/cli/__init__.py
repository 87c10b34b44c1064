"""The `bertline` command, a file per group of commands."""
