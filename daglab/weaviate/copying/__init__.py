"""Collections copied, changed on their way, or put in the place of another."""
