"""The project's own pages on loopback: what they show, how they are served, and what they are guarded by."""
