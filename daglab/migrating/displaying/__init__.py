"""What IPython, pyplot and ipywidgets show, as marimo shows it."""
