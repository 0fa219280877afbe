"""The development environment: Dagster and marimo side by side, and what is needed to end them for sure."""
