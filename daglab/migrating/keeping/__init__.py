"""What a notebook showed in Jupyter, kept: as marimo's session record, comments, markdown."""
