"""Resources: what assets are given, so that a test can give them another."""

import csv
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

DATA = Path(__file__).resolve().parent.parent / "data"


class Station(ConfigurableResource):
    """The weather station: a folder with its file readings.csv."""

    folder: str = str(DATA)

    def readings(self) -> list[dict[str, Any]]:
        """The rows of the file as they are: every value is text."""
        with (Path(self.folder) / "readings.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
