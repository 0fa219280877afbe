"""Each name bound in one cell, to the same end."""
