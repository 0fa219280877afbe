"""Whether what lies at an address is what daglab has put there: by the object's own mark, size and checksum."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from daglab import errors, files
from daglab.exported import export_copies
from daglab.storage import objects, places

MARK = "exportid"  # in an object's metadata: the id of the export
SAME, CHANGED, GONE = "same", "changed", "gone"
SUFFIXES = (".html", ".html.gz")
BEGINNING = 1 << 20  # bytes in which a page tells that marimo has made it


class OutOfSight(errors.InvalidInput):
    """It was uploaded to a presigned address, which lets nobody look or delete."""


def look(copy: export_copies.Copy) -> str:
    """How a copy in a cloud is: `same`, `changed`, or `gone`. Raises `InvalidInput` for no address, and as `objects`.

    Somebody else may have written the record that names it. Whoever has only that can't have marked the object.
    """
    place, key = located(copy)
    found = objects.look(place, key)
    if found is None:
        return GONE
    is_ours = found.metadata.get(MARK) == copy.export_id or (place.scheme == "file" and _is_page(place, key))
    is_same = found.bytes == copy.bytes and found.sha256 in (None, copy.sha256)
    return SAME if is_ours and is_same else CHANGED


def located(copy: export_copies.Copy) -> tuple[places.Place, str]:
    """Where a copy in a cloud is. Raises `InvalidInput` for what can't be asked for: no address, or a presigned one."""
    place, key = places.located(copy.place)
    if place.scheme == "https":
        raise OutOfSight(
            f"{copy.place} was uploaded to a presigned address, which lets nobody look or delete.",
            "Look with the program of its provider.",
        )
    return place, key


def _is_page(place: places.Place, key: str) -> bool:
    """Whether a file, which bears no mark, is a page that a notebook was exported to."""
    path = Path(place.prefix, key)
    if not path.name.endswith(SUFFIXES):
        return False
    try:
        with files.open_own(path) as file:
            is_packed = path.suffix == ".gz"
            content = gzip.GzipFile(fileobj=file).read(BEGINNING) if is_packed else file.read(BEGINNING)
    except (OSError, EOFError, zlib.error):
        return False
    return b"marimo" in content
