"""Jupyter notebooks on their way to marimo's: read, redrafted, converted in one go, written, and compared if asked."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from daglab import errors, files, output, processes
from daglab.authoring import scaffolds
from daglab.migrating import cells, connecting, destinations, drafts, reports, sources
from daglab.migrating.comparing import comparisons
from daglab.migrating.converting import conversions
from daglab.migrating.keeping import outputs, sessions
from daglab.migrating.reading import jupyter
from daglab.settings import config

MANY = 10  # notebooks; from so many on it is said how far it is, each time that so many more are read
SESSION = "session"
Made = TypeVar("Made")


@dataclass(frozen=True)
class Wish:
    """How it is to be done.

    `keep` says how outputs are kept: "session", "comments", "markdown", or None. `target` is what the notebooks are to
    be connected to, `seconds` how long a notebook may run when both are run.
    """

    to: Path | None = None
    keep: str | None = None
    target: scaffolds.Target | None = None
    report: Path | None = None
    force: bool = False
    dry_run: bool = False
    run: bool = False
    seconds: float = 600.0


@dataclass(frozen=True)
class Order:
    """A draft for marimo's converter, where it comes from and goes to."""

    source: sources.Source
    place: destinations.Place
    draft: cells.Draft


@dataclass(frozen=True)
class Piece:
    """A notebook that can be written: the bytes of each file, by path, its own the last but for marimo's record."""

    source: sources.Source
    place: destinations.Place
    draft: cells.Draft
    conversion: conversions.Conversion
    contents: dict[Path, bytes] = field(default_factory=dict)
    session: Path | None = None
    notes: tuple[cells.Note, ...] = ()


def migrate(
    settings: config.Config, found: Sequence[sources.Source], wish: Wish, results: dict[Path, reports.Result]
) -> None:
    """Migrate all of them; `results` is filled in by source, so that what was done is known whatever stops it.

    What is wrong with one notebook is in its result. What is wrong with all of them is raised before anything is
    written: Taken where something is there already, InvalidInput where two lead to one place, NotSetUp without marimo.
    """
    read = dict(_read(found, wish, results))
    imported = {name for draft in read.values() for name in destinations.imports(draft)}
    places = dict(zip((each.path for each in found), destinations.plan(found, wish.to, imported), strict=True))
    for place in places.values():
        settings.refuse_own(place.path)
    left = [each for each in found if each.path in read]
    pieces = list(_convert(settings, left, read, places, wish, results))
    _check(found, pieces, wish)
    for piece in pieces:
        results[piece.source.path] = _result(piece, wish)
    if wish.run:
        for number, piece in enumerate(pieces, 1):
            if not results[piece.source.path].error:
                output.note(f"[{number}/{len(pieces)}] Running {piece.source.path} and {piece.place.path}")
                results[piece.source.path] = _compared(settings, piece, results[piece.source.path], wish.seconds)


def _read(
    found: Sequence[sources.Source], wish: Wish, results: dict[Path, reports.Result]
) -> Iterator[tuple[Path, cells.Draft]]:
    for number, source in enumerate(found):
        if number % MANY == 0:
            _phase(f"[{number}/{len(found)}] Reading", len(found))
        draft, error = caught(functools.partial(_drafted, source.path, wish))
        if draft:
            yield source.path, draft
        else:
            results[source.path] = reports.Result(source.path, error=error)


def _drafted(path: Path, wish: Wish) -> cells.Draft:
    draft = drafts.draft(jupyter.read(path))
    return outputs.apply(draft, wish.keep) if wish.keep else draft


def _convert(
    settings: config.Config,
    found: Sequence[sources.Source],
    read: dict[Path, cells.Draft],
    places: dict[Path, destinations.Place],
    wish: Wish,
    results: dict[Path, reports.Result],
) -> Iterator[Piece]:
    """What marimo makes of the drafts, in one child process for each Python, in their order."""
    connected: dict[Path, cells.Draft] = {}
    made: dict[Path, tuple[conversions.Conversion | None, errors.DaglabError | None]] = {}
    groups: dict[tuple[str, ...], list[sources.Source]] = {}
    for source in found:
        place = places[source.path]
        draft, error = caught(functools.partial(_connected, settings, read[source.path], wish, place))
        if draft:
            connected[source.path] = draft
            groups.setdefault(_python(settings, place.path), []).append(source)
        else:
            results[source.path] = reports.Result(source.path, places[source.path].path, error=error)
    for python, members in groups.items():
        _phase(f"Converting {len(members)} notebooks with {python[0]}", len(members))
        orders = [Order(each, places[each.path], connected[each.path]) for each in members]
        made.update(_converted(settings, orders, python))
    for source in found:
        conversion, error = made.get(source.path, (None, None))
        draft = (conversion.draft if conversion else None) or connected.get(source.path)
        if draft and conversion:
            yield from _piece(source, places[source.path], draft, conversion, wish, results)
        elif error:
            results[source.path] = reports.Result(source.path, places[source.path].path, draft, error=error)


def _converted(
    settings: config.Config, orders: Sequence[Order], python: Sequence[str]
) -> Iterator[tuple[Path, tuple[conversions.Conversion | None, errors.DaglabError | None]]]:
    """What comes of each, or why nothing does: a bug that one brings to light does not take the others down."""
    env = processes.without_secrets(os.environ, settings.token_variables)
    drafted, names = [each.draft for each in orders], [each.place.path.name for each in orders]
    convert = functools.partial(conversions.convert, drafted, python, env, names)
    made, error = caught(convert, aloud=len(orders) == 1)
    if error and error.exit_code != 1:
        raise error
    if made is not None:
        yield from ((each.source.path, (one, None)) for each, one in zip(orders, made, strict=True))
    elif len(orders) == 1:
        yield orders[0].source.path, (None, error)
    else:
        half = len(orders) // 2
        yield from _converted(settings, orders[:half], python)
        yield from _converted(settings, orders[half:], python)


def _connected(settings: config.Config, draft: cells.Draft, wish: Wish, place: destinations.Place) -> cells.Draft:
    if place.avoided:
        text = f"Called {place.path.name}: {place.avoided}.py would hide the Python module {place.avoided}."
        draft = cells.with_notes(draft, cells.Note("name", text))
    return connecting.apply(draft, settings.root, wish.target, place.path.absolute()) if wish.target else draft


def _piece(
    source: sources.Source,
    place: destinations.Place,
    draft: cells.Draft,
    conversion: conversions.Conversion,
    wish: Wish,
    results: dict[Path, reports.Result],
) -> Iterator[Piece]:
    piece, error = caught(lambda: _contents(Piece(source, place, draft, conversion), wish))
    if piece:
        yield piece
    else:
        results[source.path] = reports.Result(source.path, place.path, draft, conversion, error=error)


def _contents(piece: Piece, wish: Wish) -> Piece:
    """With all that is to be written; raises InvalidInput where marimo has made nothing of it."""
    conversion, place = piece.conversion, piece.place
    if conversion.flaw or not conversion.text:
        raise errors.InvalidInput(
            f"marimo can't convert it: {conversion.flaw or 'it makes nothing of it'}.", "Please report it to daglab."
        )
    contents = {destinations.beside(place, name): content for name, content in piece.draft.files.items()}
    contents[place.path] = (conversion.text.rstrip("\n") + "\n").encode()
    piece = dataclasses.replace(piece, contents=contents)
    if wish.keep == SESSION:
        text, notes = sessions.record(conversion, piece.draft)
        session = sessions.path(place.path) if text else None
        contents.update({session: text.encode()} if session else {})
        piece = dataclasses.replace(piece, session=session, notes=notes)
    for path in contents:
        destinations.check_inside(place, path)
    return piece


def _check(found: Sequence[sources.Source], pieces: Sequence[Piece], wish: Wish) -> None:
    """Before the first is written, that all can be: nothing of the originals, nothing twice, nothing over others."""
    written = {os.path.realpath(path): path for piece in pieces for path in piece.contents}
    for source in found:
        if os.path.realpath(source.path) in written:
            raise errors.InvalidInput(f"{source.path} would be written over.", "Name another place with --to.")
    destinations.check_twice((piece.source.path, piece.contents) for piece in pieces)
    if wish.report and os.path.realpath(wish.report) in written:
        raise errors.InvalidInput(f"{wish.report} is one of the notebooks' own files.", "Name another --report.")
    if wish.force:
        return
    taken = [path for piece in pieces for path, content in piece.contents.items() if _is_other(path, content)]
    if taken:
        raise errors.Taken(
            f"There already: {', '.join(map(str, taken))}.", "Write over all of them with --force, or name a --to."
        )


def _result(piece: Piece, wish: Wish) -> reports.Result:
    own = piece.place.path
    result = reports.Result(
        piece.source.path,
        own,
        piece.draft,
        piece.conversion,
        tuple(path for path in piece.contents if path not in (own, piece.session)),
        piece.session,
        os.path.exists(own) and _is_other(own, piece.contents[own]),
        all(_is_there(path, content) for path, content in piece.contents.items()),
        hashlib.sha256(piece.contents[own]).hexdigest(),
        notes=piece.notes,
    )
    if wish.dry_run:
        return result
    _, error = caught(lambda: _write(piece, force=wish.force))
    return dataclasses.replace(result, error=error) if error else result


def _write(piece: Piece, *, force: bool) -> bool:
    for path, content in piece.contents.items():
        destinations.check_inside(piece.place, path)  # again: something may have changed since
        if not _is_there(path, content):
            (files.write_atomic if force else files.write_new)(path, content)
    return True


def _compared(settings: config.Config, piece: Piece, result: reports.Result, seconds: float) -> reports.Result:
    """With how the two have run. They run with all variables: it is the user who has them run."""
    env = {**os.environ, **config.as_environment(output.flags())}
    python = _python(settings, piece.place.path)
    comparison, error = caught(
        lambda: comparisons.compare(piece.draft.original, piece.draft, piece.place.path, python, env, seconds)
    )
    if comparison:
        return dataclasses.replace(result, comparison=comparison)
    said = cells.Note("check", f"Not compared: {error.message if error else ''}", None, True)
    return dataclasses.replace(result, notes=(*result.notes, said))


def caught(work: Callable[[], Made], *, aloud: bool = True) -> tuple[Made | None, errors.DaglabError | None]:
    """What came of the work on one notebook, or why nothing did: the others are not lost over a full disk or a bug."""
    try:
        return work(), None
    except errors.Interrupted:
        raise
    except errors.DaglabError as error:
        return None, error
    except OSError as error:
        reason = f"The operating system refused: {error.strerror or error}."
        return None, errors.InvalidInput(reason, "Look at permissions, limits (ulimit -a) and room on the disk.")
    except Exception as bug:  # whatever it is: the others' report is not lost, and the traceback is kept
        if aloud:
            output.trace(traceback.format_exc())
        return None, errors.DaglabError(
            f"This is a bug in daglab: {type(bug).__name__}.", "Please report it with the traceback on stderr."
        )


def _python(settings: config.Config, notebook: Path) -> tuple[str, ...]:
    return (settings.python_for(notebook), *settings.flags_for(notebook))


def _is_other(path: Path, content: bytes) -> bool:
    return os.path.lexists(path) and not _is_there(path, content)


def _is_there(path: Path, content: bytes) -> bool:
    return files.sha256(path) == hashlib.sha256(content).hexdigest()


def _phase(text: str, count: int) -> None:
    if count >= MANY:
        output.note(text)
