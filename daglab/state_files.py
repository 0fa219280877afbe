"""The state of notebooks on disk: `.daglab/state/<stem>-<hash of its path>.json`, format version 1.

The file begins with a checksum of all that follows, in every version of the format. Beside it lie its lock, the version
before (`.bak`), and a file that could not be read and was put aside (`.broken`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daglab import errors, files, json_values

log = logging.getLogger(__name__)

FORMAT = 1
FOLDER = Path(".daglab", "state")
LARGEST_VALUES = 1 << 20  # bytes of JSON
LARGEST_HISTORY = 1 << 20  # bytes; the version before is kept whatever its size
MOST_EARLIER = 20
LARGEST_FILE = 1 << 23  # bytes; what is larger is none of ours
LONGEST_WAIT = 30.0  # seconds for another kernel's change
LONGEST_STEM = 40  # characters
BACKUP, BROKEN = ".bak", ".broken"
Values = dict[str, Any]
Draft = tuple[int, Values] | None

_busy: set[tuple[int, Path]] = set()  # the threads that are changing a state, and which one


@dataclass(frozen=True)
class Revision:
    """The values as an update has left them: its number, the notebook's own version of them, and when it was."""

    revision: int
    version: int
    saved: str
    values: Values


@dataclass(frozen=True)
class Stored:
    """A state as it stands in its file, and what it was before, newest first.

    `recovered` says what is wrong with the file where the one before had to do.
    """

    notebook: str
    now: Revision
    earlier: tuple[Revision, ...] = ()
    recovered: str | None = None


class _Broken(Exception):
    """A file that is there and holds no state."""


def project(start: Path) -> Path:
    """The project around a folder: the nearest, upwards, with a `.daglab` of the user's, a `daglab.yaml` or a git root.

    The config need not be valid. Without any of these it is the folder itself.
    """
    return files.holder(start, FOLDER.parent)


def place(root: Path, notebook: str | Path) -> tuple[Path, str]:
    """The file of a notebook's state, and the notebook's own path as it is recorded: from the project's `root`.

    A relative path is one from `root`. The notebook need not be there.
    """
    whole = root / notebook
    own = files.inside(root, whole) or Path(os.path.realpath(whole))
    digest = hashlib.sha256(os.fsencode(own.as_posix())).hexdigest()[:12]
    stem = re.sub(r"[^\w.-]", "_", own.stem)[:LONGEST_STEM]
    shown = os.fsencode(own.as_posix()).decode("utf-8", "backslashreplace")
    return Path(os.path.realpath(root)) / FOLDER / f"{stem}-{digest}.json", shown


def exists(path: Path) -> bool:
    """Whether there is a state, in whatever condition."""
    return os.path.lexists(path) or os.path.lexists(_beside(path, BACKUP))


def notebooks(root: Path) -> list[str]:
    """The notebooks of a project that have a state which can be read, by name."""
    folder = Path(os.path.realpath(root)) / FOLDER
    found = set()
    for name in {path.name.removesuffix(BACKUP) for path in folder.glob("*.json*")}:
        with contextlib.suppress(errors.DaglabError):
            if name.endswith(".json"):
                found.add(read(folder / name).notebook)
    return sorted(found)


def read(path: Path) -> Stored:
    """The state in a file, or in the one before where that is missing or broken; revision 0 where there is none.

    Raises `NotGood` when neither can be read, `NotSetUp` when a newer daglab has written it, and `InvalidInput` when it
    may not be read.
    """
    _require_own(path)
    try:
        # What is there now and was not before has just been written for the first time: looked for again, it is found.
        found = _load(path) or (_load(path) if exists(path) else Stored("", Revision(0, 0, "", {})))
        if found:
            return found
        flaw = "it is missing"
    except _Broken as problem:
        flaw = str(problem)
    with contextlib.suppress(_Broken):
        if spare := _load(_beside(path, BACKUP)):
            return _recovered(path, spare, flaw)
    raise errors.NotGood(
        f"The state {path} can't be read ({flaw}), nor can the version before it.",
        "`daglab state reset NOTEBOOK` puts it aside and begins anew.",
    )


def flaw(path: Path) -> str | None:
    """What is wrong with one file of a state, be it the one before; None for nothing, and for a newer daglab's.

    Raises `InvalidInput` when it may not be read.
    """
    try:
        _load(path)
    except _Broken as problem:
        return str(problem)
    except errors.NotSetUp:
        return None
    return None


def change(path: Path, notebook: str, make: Callable[[Stored], Draft], *, anew: bool = False) -> Stored:
    """Have `make` turn what is stored into a version and values, which are written; the state after that.

    Two that change a state do so one after the other, and each sees what the other has written. Where `make` gives
    None, all stays as it is. With `anew`, files that can't be read are put aside. Raises as `read` does, `Taken` when
    another change takes too long, and `InvalidInput` for values that are not JSON or too large, for a change within
    `make`, and when the file can't be written; then what was stored stands.
    """
    _require_own(path)
    files.make_folder(path.parent)
    with _alone(path, notebook):
        stored = _read_or_put_aside(path) if anew else read(path)
        draft = make(stored)
        if draft is None:
            return stored
        version, values = draft
        now = Revision(stored.now.revision + 1, version, _time(), json_values.checked(values, "values"))
        new = Stored(notebook, now, _kept(stored))
        files.replace_held(path, _content(new), _beside(path, BROKEN if stored.recovered else BACKUP))
        return new


def rollback(
    path: Path, notebook: str, revision: int | None = None, check: Callable[[Revision], object] | None = None
) -> tuple[Stored, Revision]:
    """Bring back the values of an earlier revision (default: the one before) as a new one; both of them.

    `check` raises for one that must not come back. Raises `InvalidInput` for a revision that is not kept, and otherwise
    as `change` does.
    """
    wanted: list[Revision] = []

    def make(stored: Stored) -> Draft:
        wanted.append(_find(stored, revision))
        if check:
            check(wanted[0])
        return wanted[0].version, wanted[0].values

    return change(path, notebook, make), wanted[0]


def reset(path: Path, notebook: str, version: int | None = None) -> Stored:
    """Begin anew with no values, as a new revision; where nothing can be read, that is put aside."""
    return change(path, notebook, lambda stored: (version or stored.now.version or 1, {}), anew=True)


def _find(stored: Stored, revision: int | None) -> Revision:
    kept = ", ".join(str(each.revision) for each in stored.earlier)
    hint = f"These are kept: {kept}." if kept else "Nothing earlier is kept."
    if not stored.earlier:
        raise errors.InvalidInput("There is no earlier revision to go back to.", hint)
    if revision == stored.now.revision:
        raise errors.InvalidInput(f"Revision {revision} is the one in force.", hint)
    for each in stored.earlier:
        if revision in (None, each.revision):
            return each
    raise errors.InvalidInput(f"There is no revision {revision}.", hint)


@contextlib.contextmanager
def _alone(path: Path, notebook: str) -> Iterator[None]:
    """Nobody else changes the state meanwhile, and neither does this thread once more."""
    key = (threading.get_ident(), path)
    if key in _busy:
        raise errors.InvalidInput(
            f"The state of {notebook} is changed while a change of it is under way.",
            "Within the function given to change(), change the values that it gets.",
        )
    with files.held(_beside(path, ".lock"), LONGEST_WAIT):
        _busy.add(key)
        try:
            yield
        finally:
            _busy.discard(key)


def _require_own(path: Path) -> None:
    root = path.parents[len(FOLDER.parts)]
    if files.inside(root, path.parent) is None:
        raise errors.InvalidInput(f"{path.parent} leads out of the project {root}.", "Take the link away.")


def _read_or_put_aside(path: Path) -> Stored:
    try:
        return read(path)
    except errors.NotGood:
        for each in (path, _beside(path, BACKUP)):
            with contextlib.suppress(FileNotFoundError):
                os.replace(each, _beside(each, BROKEN))
        return read(path)


def _load(path: Path) -> Stored | None:
    """The state in one file; None where it is missing."""
    try:
        if path.lstat().st_size > LARGEST_FILE:
            raise _Broken("it is far too large")
        return _parsed(files.read_own(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, None):  # a link, a pipe
            raise _Broken("it is no ordinary file") from None
        raise errors.InvalidInput(f"{path} can't be read: {error.strerror}.", "Look at its permissions.") from error


def _parsed(raw: bytes) -> Stored:
    body = b"{" + raw[len(_framed(b"{")) - 1 : -1]
    if raw != _framed(body):
        raise _Broken("it is torn or was changed by hand" if raw else "it is empty")
    try:
        found = json.loads(body)
        if found["v"] > FORMAT:
            raise errors.NotSetUp(
                f"The state of {found.get('notebook')} was written by a newer daglab (format {found['v']}).",
                "Update daglab here. The state is left as it is.",
            )
        return Stored(str(found["notebook"]), _revision(found), tuple(map(_revision, found["history"])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _Broken("it is no state") from None


def _revision(found: Any) -> Revision:
    return Revision(int(found["revision"]), int(found["version"]), str(found["saved"]), dict(found["values"]))


def _content(stored: Stored) -> bytes:
    if (size := len(_text(stored.now.values))) > LARGEST_VALUES:
        raise errors.InvalidInput(
            f"The state of {stored.notebook} would be {size / 1e6:.1f} MB; no more than 1 MB is kept.",
            "Write what is large to a file of its own, and keep its path.",
        )
    head = {"v": FORMAT, "notebook": stored.notebook, **vars(stored.now)}
    return _framed(_text({**head, "history": [vars(each) for each in stored.earlier]}))


def _framed(body: bytes) -> bytes:
    """A JSON object with the checksum of it as its first member."""
    return b'{"sha256":"%s",%s\n' % (hashlib.sha256(body).hexdigest().encode(), body[1:])


def _kept(stored: Stored) -> tuple[Revision, ...]:
    """What is kept of the revisions before the next one: so many, and so large."""
    if not stored.now.revision:
        return ()
    first, *others = (stored.now, *stored.earlier)[:MOST_EARLIER]
    kept, room = [first], LARGEST_HISTORY - len(_text(vars(first)))
    for each in others:
        room -= len(_text(vars(each)))
        if room < 0:
            break
        kept.append(each)
    return tuple(kept)


def _recovered(path: Path, spare: Stored, flaw: str) -> Stored:
    said = (
        f"The state {path} can't be read ({flaw}): this is the version before, revision {spare.now.revision} of"
        f" {spare.now.saved}. What was written after it is lost."
    )
    _warn_once(said)
    return dataclasses.replace(spare, recovered=said)


@functools.cache
def _warn_once(text: str) -> None:
    """A notebook may read its state every second."""
    log.warning("%s", text)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _text(value: object) -> bytes:
    return json_values.text(value).encode()


def _time() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
