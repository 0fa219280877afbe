"""Small JSON files that daglab can make anew by itself: a damaged one is taken for missing, and that is said once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from daglab import files

log = logging.getLogger(__name__)

LARGEST = 1 << 20  # bytes
_said: set[Path] = set()  # who supervises looks every second


def read(path: Path) -> dict[str, Any]:
    """The object in a file; nothing for a file that is missing, and, with a warning, for one that can't be read."""
    try:
        found = _parsed(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        _warn(path, error.strerror or str(error))
        return {}
    if found is None:
        _warn(path, "it is torn, or no record of daglab")
    return found or {}


def is_whole(path: Path) -> bool:
    """Whether there is an object in a file. Raises `OSError`."""
    return _parsed(path) is not None


def _parsed(path: Path) -> dict[str, Any] | None:
    if path.lstat().st_size > LARGEST:
        return None
    try:
        found = json.loads(files.read_own(path))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _warn(path: Path, why: str) -> None:
    if path not in _said:
        _said.add(path)
        log.warning("%s can't be read (%s), and is taken for missing; `daglab doctor --fix` mends it.", path, why)
