"""Many notebooks exported side by side: each by itself, under the lock of its output, and none held up by another."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from daglab import errors, files, git, inventory, output, processes
from daglab.exporting import export_locks, export_names, exporters, exports, publishing, unchanged, uploads
from daglab.settings import config

Outcome = TypeVar("Outcome")
MOST = 5000  # notebooks of one batch


@dataclass(frozen=True)
class Task:
    """What the command line asks for, beside what the config says."""

    notebooks: tuple[Path, ...]
    everything: bool
    from_list: str | None
    target: str | None
    arguments: tuple[str, ...]
    jobs: int
    keep_going: bool
    if_changed: bool
    wait_lock: float
    interactive: str
    as_json: bool

    @property
    def is_batch(self) -> bool:
        """Whether it is told of as one: a list has one document, however many notebooks are in it."""
        return self.everything or self.from_list is not None or len(self.notebooks) > 1


@dataclass(frozen=True)
class Piece:
    """A notebook, where its HTML goes, and the Python with its flags that runs it."""

    notebook: Path
    output: Path
    python: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """What all of a batch have in common. `exporters` are by Python; `halted` lets nothing more begin."""

    settings: config.Config
    arguments: Sequence[str]
    parameters: Mapping[str, Any]  # without secrets, as they are recorded
    wish: publishing.Wish
    exporters: Mapping[tuple[str, ...], exporters.Exporter]
    interactive: str = "cdn"
    if_changed: bool = False
    wait_lock: float = 0.0
    keep_going: bool = True
    halted: threading.Event = field(default_factory=threading.Event)
    asking: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Made:
    """An export that stands, or `before`, the record of an earlier one that is as good; the lock is still held."""

    export: exports.Export | None
    commit: git.Commit | None
    before: Mapping[str, Any] | None
    lock: contextlib.ExitStack


def listed(path: str) -> list[Path]:
    """The notebooks of a list: a line each, relative to the current folder; empty lines and `#` comments are left out.

    `-` reads standard input. Raises NotSetUp or InvalidInput for what can't be read, and for a list of nothing.
    """
    is_input = path == "-"
    text = os.fsdecode(sys.stdin.buffer.read()) if is_input else files.read_text(Path(path), "list of notebooks")
    lines = (line.strip() for line in text.splitlines())
    found = [Path(line) for line in lines if line and not line.startswith("#")]
    if not found or any("\0" in str(name) for name in found):
        what = "There is no notebook" if not found else "A name with a NUL byte is"
        raise errors.InvalidInput(
            f"{what} in {'what came by standard input' if is_input else path}.", "Give a notebook on each line."
        )
    return found


def every(settings: config.Config) -> list[Path]:
    """All notebooks in the notebooks folder, by path. Raises NotSetUp when there are none."""
    found = inventory.in_folder(settings)
    if not found:
        raise errors.NotSetUp(
            f"There is no notebook in {settings.root / settings.notebooks_dir}.", "`daglab scaffold` writes one."
        )
    return [Path(os.path.relpath(settings.root / name)) for name in found]


def planned(
    settings: config.Config,
    notebooks: Sequence[Path],
    target: str | None,
    parameters: Mapping[str, Any],
    wish: publishing.Wish,
) -> list[Piece]:
    """What is to be exported to where; `target` is a name with `{notebook}` and parameters in it, None the default.

    Raises InvalidInput, before anything runs, for a name that can't be, and where two would get the same one, or the
    same address to upload to.
    """
    pieces = []
    for notebook in notebooks[: MOST + 1]:
        named = export_names.filled(target, settings, notebook, parameters) if target else None
        place = exports.with_suffix(
            named or exports.default_output(settings, notebook), compress=settings.export.compress
        )
        settings.refuse_own(place)
        python = (settings.python_for(notebook), *settings.flags_for(notebook))
        pieces.append(Piece(notebook, place, python))
    if len(pieces) > MOST:
        raise errors.InvalidInput(f"These are more than {MOST} notebooks.", "Export them in several batches.")
    export_names.check_apart([(piece.notebook, piece.output) for piece in pieces])
    _check_uploads(settings, wish, pieces)
    return pieces


def _check_uploads(settings: config.Config, wish: publishing.Wish, pieces: Sequence[Piece]) -> None:
    """Raise InvalidInput where two outputs would be uploaded to one address, as those of one name from elsewhere."""
    if wish.place is None:
        return
    taken: dict[str, Piece] = {}
    for piece in pieces:
        for failed in (False, True) if wish.attach_failure else (False,):
            key = uploads.key(settings, wish.place, piece.output, failed=failed)
            other = taken.setdefault(key, piece)
            if other is not piece and wish.place.scheme == "https":
                raise errors.InvalidInput(
                    "A presigned address is for one file, and these are several notebooks.",
                    "Export them one by one, each to an address of its own.",
                )
            if other is not piece:
                raise errors.InvalidInput(
                    f"{other.output} and {piece.output} would both be uploaded as {key}.",
                    "Name them apart with --output, or put them below exports/ in the project.",
                )


def made(batch: Batch, piece: Piece) -> Made:
    """Export one notebook under the lock of its output, which stays held; or find that it need not be.

    Raises what `exports.export_html` does, Taken for an output that somebody else is writing, Interrupted when the
    batch was stopped.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(export_locks.held(batch.settings.root, piece.output, batch.wait_lock))
        if batch.if_changed:
            with batch.asking:  # one connection
                before = unchanged.last_good(
                    batch.settings, piece.notebook, piece.output, batch.parameters, batch.interactive, batch.wish
                )
            if before:
                return Made(None, None, before, stack.pop_all())
        environ = processes.without_secrets(os.environ, batch.settings.token_variables)
        asked = git.look(piece.notebook.absolute(), environ)
        try:
            left = publishing.unfinished(
                batch.settings, piece.notebook, piece.output, batch.parameters, batch.wish, batch.interactive
            )
            export = left or exports.export_html(
                piece.notebook,
                piece.output,
                python=piece.python,
                arguments=batch.arguments,
                timeout=batch.settings.export.timeout,
                exporter=batch.exporters[piece.python],
                compress=batch.settings.export.compress,
                interactive=batch.interactive,
            )
        finally:
            commit = git.found(asked)
        publishing.stand_by(batch.settings, export, batch.wish, commit)
        return Made(export, commit, None, stack.pop_all())


def side_by_side(
    batch: Batch, pieces: Sequence[Piece], jobs: int
) -> Generator[tuple[Piece, Callable[[], Made | None]], None, None]:
    """The pieces as they are done, with what gives their outcome: it raises what went wrong, None is not begun.

    Once the reader stops reading, whatever is under way is ended, with all that it has started.
    """
    from concurrent import futures

    def work(piece: Piece) -> Made | None:
        if batch.halted.is_set():
            return None
        good = False
        try:
            done = made(batch, piece)
            good = not (done.export and done.export.failed) or batch.wish.allow_errors
            return done
        finally:  # here, and not where it is told: the next one begins at once
            if not (good or batch.keep_going):
                batch.halted.set()

    asked: dict[futures.Future[Made | None], Piece] = {}
    try:
        with futures.ThreadPoolExecutor(jobs) as pool:
            try:
                asked.update((pool.submit(work, piece), piece) for piece in pieces)
                for done in futures.as_completed([*asked]):
                    yield asked.pop(done), done.result
            finally:
                batch.halted.set()
                for exporter in batch.exporters.values():
                    exporters.stop(exporter)
    finally:
        for done in asked:  # it stands, and nobody has asked for it
            if not done.exception() and (made_before := done.result()):
                _set_aside(batch, made_before)


def _set_aside(batch: Batch, made: Made) -> None:
    with made.lock:
        if made.export:
            publishing.set_aside(batch.settings, made.export, batch.wish, made.commit)


def published(batch: Batch, piece: Piece, made: Made) -> dict[str, Any]:
    """What became of an export that stands: brought to where it is to go. Its lock is let go after."""
    with made.lock:
        if made.before:
            return unchanged.document(batch.settings, made.before)
        if made.export is None:
            raise AssertionError(piece)
        wish = dataclasses.replace(batch.wish, python=piece.python[0])
        try:
            result = publishing.publish(batch.settings, made.export, wish, made.commit)
        except errors.DaglabError as error:
            error.result = {**error.result, "skipped": False} if error.result else None
            raise
        if wish.allow_errors and made.export.failed:
            first = made.export.failed[0].error
            output.warn(f"{len(made.export.failed)} of the cells of {piece.notebook} failed: {first}")
        return {**result, "skipped": False}


def stood(batch: Batch, piece: Piece, outcome: Callable[[], Outcome]) -> Outcome:
    """What `outcome` gives; where the notebook left no HTML, its assets and their check are told, as it is wished."""
    try:
        return outcome()
    except (errors.NotGood, errors.TimedOut) as error:
        wish = dataclasses.replace(batch.wish, python=piece.python[0])
        names = {"notebook": str(piece.notebook.absolute()), "output": str(piece.output.absolute())}
        try:
            done = publishing.publish_failure(batch.settings, piece.notebook, batch.parameters, error, wish)
        except errors.DaglabError as other:
            output.warn(f"The failure of {piece.notebook} could not be reported: {other.message}")
        else:
            if done["attached"] or done["check"]:
                error.result = {**names, **done}
        raise


def told(batch: Batch, piece: Piece, outcome: Callable[[], Made | None]) -> dict[str, Any] | None:
    """The document of one notebook of a batch, with what went wrong in it; None where it was not begun.

    A full disk or a bug is told of the notebook that has met it, too: the others and the report are not lost over it.
    """
    try:
        made = stood(batch, piece, outcome)
        return published(batch, piece, made) if made else None
    except errors.Interrupted:
        raise  # in the middle of publishing: nothing more is to begin
    except errors.DaglabError as error:
        problem = error
    except OSError as error:
        reason = f"The operating system refused: {error.strerror or error}."
        problem = errors.InvalidInput(reason, "Look at permissions, limits (ulimit -a) and room on the disk.")
    except Exception as bug:  # whatever it is: the others' report is not lost, and the traceback is kept
        output.trace(traceback.format_exc())
        problem = errors.DaglabError(
            f"This is a bug in daglab: {type(bug).__name__}.", "Please report it with the traceback on stderr."
        )
    paths = {"notebook": str(piece.notebook.absolute()), "output": str(piece.output.absolute())}
    return {**(problem.result or paths), "ok": False, "skipped": False, "error": problem.document()}
