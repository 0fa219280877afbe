"""`python -m daglab`."""

from __future__ import annotations

from daglab.cli import main

main(prog_name="daglab")
