"""Pairs marimo notebooks with Dagster from the shell."""

__version__ = "0.1.0"
