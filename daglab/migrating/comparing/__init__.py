"""Both notebooks executed, and what they printed and came to compared."""
