"""One module per command: plain functions on top, the click function at the bottom."""
