"""Collections kept in files, and brought back."""
