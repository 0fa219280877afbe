"""Whether collections are well, and what can be put right."""
