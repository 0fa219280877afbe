"""marimo's part: its converter, its check, and what is done about what it refuses."""
