"""Collections moved to another cluster while they are written to."""
