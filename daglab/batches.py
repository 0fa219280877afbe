"""Many notebooks exported side by side: each by itself, under the lock of its output, and none held up by another."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import (
    config,
    errors,
    export_locks,
    export_names,
    exporters,
    exports,
    files,
    git,
    inventory,
    output,
    processes,
    publishing,
    unchanged,
)

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

    `-` reads standard input. Raises NotSetUp or InvalidInput for what can't be read.
    """
    text = sys.stdin.read() if path == "-" else files.read_text(Path(path), "list of notebooks")
    lines = (line.strip() for line in text.splitlines())
    return [Path(line) for line in lines if line and not line.startswith("#")]


def every(settings: config.Config) -> list[Path]:
    """All notebooks in the notebooks folder, by path. Raises NotSetUp when there are none."""
    found = inventory.in_folder(settings)
    if not found:
        raise errors.NotSetUp(
            f"There is no notebook in {settings.root / settings.notebooks_dir}.", "`daglab scaffold` writes one."
        )
    return [Path(os.path.relpath(settings.root / name)) for name in found]


def planned(
    settings: config.Config, notebooks: Sequence[Path], target: str | None, parameters: Mapping[str, Any]
) -> list[Piece]:
    """What is to be exported to where; `target` is a name with `{notebook}` and parameters in it, None the default.

    Raises InvalidInput, before anything runs, for a name that can't be, and where two would get the same.
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
    return pieces


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
            export = publishing.unfinished(
                batch.settings, piece.notebook, piece.output, batch.parameters, batch.wish
            ) or exports.export_html(
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

    with futures.ThreadPoolExecutor(jobs) as pool:
        try:
            asked = {pool.submit(work, piece): piece for piece in pieces}
            for done in futures.as_completed(asked):
                yield asked[done], done.result
        finally:
            batch.halted.set()
            for exporter in batch.exporters.values():
                exporters.stop(exporter)


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


def told(batch: Batch, piece: Piece, outcome: Callable[[], Made | None]) -> dict[str, Any] | None:
    """The document of one notebook of a batch, with what went wrong in it; None where it was not begun."""
    try:
        made = outcome()
        return published(batch, piece, made) if made else None
    except errors.Interrupted:
        raise  # in the middle of publishing: nothing more is to begin
    except errors.DaglabError as error:
        result = dict(
            error.result or {"notebook": str(piece.notebook.absolute()), "output": str(piece.output.absolute())}
        )
        return {**result, "ok": False, "skipped": False, "error": error.document()}
