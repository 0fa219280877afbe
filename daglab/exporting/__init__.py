"""Notebooks made into HTML, alone and many at once, and brought to where people look."""
