"""From Jupyter notebooks to marimo's: read, rewritten cell by cell, converted and checked by marimo, reported."""
