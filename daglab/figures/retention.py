"""What becomes of old events: a month past the retention becomes its daily sums; a reset puts all months aside."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from daglab import errors, files, json_lines
from daglab.figures import days, ledger, months

ASIDE = "reset-"  # and a time: where a reset puts the months
_MONTH = re.compile(rf"events/(?:{ASIDE}[^/]+/)?(\d{{4}}-\d\d)\.jsonl")


@dataclass(frozen=True)
class Folded:
    """A month whose events are replaced by daily sums: its file, how many events, bytes before and after."""

    path: Path
    events: int
    before: int
    after: int


def compact(
    root: Path,
    now: datetime,
    retention_days: int,
    *,
    dry_run: bool = False,
    archive: Callable[[Path], object] | None = None,
) -> Iterator[Folded]:
    """Replace the events of each month that ended more than `retention_days` before `now` (0: none) by their sums.

    Writers wait meanwhile, and write to the new file then. Lines that can't be read stay; a month with lines of a newer
    version is left alone. `archive` is given each file before it is replaced. Whenever this is killed, a month has its
    events or their sums, never both. Gives each as it is done; raises `OSError`, and what `archive` raises.
    """
    last = months.text(now - timedelta(days=retention_days))[:7]
    for path in months.paths(root) if retention_days else ():
        if path.stem < last and (folded := _fold(path, dry_run, archive)):
            yield folded


def reset(root: Path, now: datetime) -> list[Path]:
    """Put all months aside, into a folder of their own beside them; where each of them is now.

    Writers wait meanwhile, and begin a new month then. Raises `InvalidInput` when one can't be moved: those before it
    stay aside.
    """
    paths = [path for path in months.paths(root) if not path.is_symlink()]
    if not paths:
        return []
    names = (f"{ASIDE}{now.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}{more}" for more in _suffixes())
    aside = next(folder for name in names if not os.path.lexists(folder := paths[0].parent / name))
    files.make_folder(aside)
    moved = []
    for path in paths:
        try:
            with json_lines.held(path):
                os.rename(path, aside / path.name)
        except FileNotFoundError:  # another reset was faster
            continue
        except OSError as error:
            raise errors.InvalidInput(
                f"{path} can't be put aside: {error.strerror or error}.", f"What was moved lies in {aside}."
            ) from None
        moved.append(aside / path.name)
    return moved


def month_of(name: str) -> str | None:
    """The month, as 2026-11, of a file of events, by its path from `.daglab/`; of one that was put aside, too."""
    found = _MONTH.fullmatch(name)
    return found[1] if found else None


def _fold(path: Path, dry_run: bool, archive: Callable[[Path], object] | None) -> Folded | None:
    """None where there is nothing to fold, or where it must not be."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(json_lines.held(path))
        except FileNotFoundError:  # a reset was faster
            return None
        size = os.fstat(file.fileno()).st_size
        month, book = ledger.Month(raw=[]), ledger.Ledger(step="day", divided=True)
        book.count(path.stem, months.lines(iter(lambda: file.read(months.BLOCK), b"")), month)
        raw = month.raw or []
        if not month.events or month.newer or month.unreadable != len(raw):
            return None
        content = b"".join(line + b"\n" for line in itertools.chain(_sums(book), raw))
        if not _says_the_same(path.stem, content, book, len(raw)):  # figures beyond all measure
            return None
        folded = Folded(path, month.events, size, len(content))
        if not dry_run:
            if archive is not None:
                archive(path)
            files.write_atomic(path, content, follow=False)
        return folded


def _says_the_same(name: str, content: bytes, book: ledger.Ledger, raw: int) -> bool:
    """Whether what takes the place of the events is read back, each line of it, and counts as many."""
    month, again = ledger.Month(), ledger.Ledger()
    again.count(name, months.lines([content]), month)
    counted = (sum(cell.n for here in each.places.values() for cell in here.values()) for each in (book, again))
    return month.unreadable == raw and not month.events and len(set(counted)) == 1


def _sums(book: ledger.Ledger) -> Iterator[bytes]:
    for (_, day), cells in sorted(book.places.items()):
        yield from (line.encode() for line in days.write(day, cells))


def _suffixes() -> Iterator[str]:
    yield ""
    yield from (f"-{number}" for number in itertools.count(2))
