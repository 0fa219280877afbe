"""Jupyter notebooks as they are found: files, formats, kernels, attachments."""
