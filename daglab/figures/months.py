"""The files of `.daglab/events/`, a month each, and their lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from daglab import files

LONGEST_LINE = 1 << 24  # bytes
BLOCK = 1 << 18  # bytes that are read at a time
_NAME = re.compile(r"\d{4}-(0[1-9]|1[0-2])\.jsonl")


def folder(root: Path) -> Path | None:
    """The events of the project in `root`; None where there are none, and where a link leads out of the project."""
    found = root / ".daglab" / "events"
    return found if found.is_dir() and files.inside(root, found) is not None else None


def paths(root: Path) -> list[Path]:
    """The months on record, the oldest first; `path.stem` is the month, as 2026-11."""
    found = folder(root)
    return sorted(path for path in found.iterdir() if _NAME.fullmatch(path.name)) if found else []


def touches(month: str, since: str | None, until: str | None) -> bool:
    """Whether a month lies in part between two times in the form of `text`, the second one not included."""
    return (since is None or month >= since[:7]) and (until is None or f"{month}-01T00:00:00.000+00:00" < until)


def text(moment: datetime) -> str:
    """A time as events have it, in UTC; such texts are in the order of their times.

    Microseconds stand in it only where milliseconds do not say all: "+" comes before every digit.
    """
    moment = moment.astimezone(timezone.utc)
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")


def lines(blocks: Iterable[bytes]) -> Iterator[bytes | None]:
    """The lines of what is read block by block, without their ends; None for one that is too long to be ours."""
    rest, dropping = b"", False
    for block in blocks:
        whole = (rest + block).split(b"\n")
        rest = whole.pop()
        if dropping and whole:
            whole[0], dropping = None, False  # type: ignore[call-overload]
        yield from whole
        if dropping or len(rest) > LONGEST_LINE:
            rest, dropping = b"", True
    if rest or dropping:
        yield None if dropping else rest


def blocks(path: Path) -> Iterator[bytes]:
    """A file that daglab has made, piece by piece. Raises `OSError` as `files.read_own` does."""
    with files.open_own(path) as file:
        while block := file.read(BLOCK):
            yield block
