"""`daglab collections dashboard`: many collections on one screen."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, screen
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:  # what talks to Weaviate brings in requests
    from daglab.weaviate import rest
    from daglab.weaviate.measuring import looks

SECONDS = 5.0
GROUP = "collections "


@dataclass(frozen=True)
class Picture:
    """Looks at all clusters, side by side, and the last operations on collections."""

    at: datetime
    moment: float
    looks: list[looks.Look]
    operations: list[dict[str, Any]]


def pictures(connected: Sequence[rest.Cluster], names: Sequence[str], root: Path, seconds: float) -> Iterator[Picture]:
    """One picture after the other. A cluster that does not answer says so in its look."""
    from daglab import snapshot
    from daglab.weaviate import together
    from daglab.weaviate.measuring import board, looks

    hasty = [looks.hasty(each, seconds) for each in connected]
    before: list[looks.Look | None] = [None] * len(hasty)
    mark, operations = None, []
    while True:
        at, moment = datetime.now(timezone.utc), time.monotonic()
        taken = together.each({number: _later(hasty[number], names, last) for number, last in enumerate(before)})
        found = [_sure(each) for each in taken.values()]
        if before[0] is None:
            _check_names(names, found)
        if mark != (now := events.signature(root)):
            mark, operations = now, snapshot.last_operations(root, board.OPERATIONS, GROUP)
        yield Picture(at, moment, found, operations)
        before = [*found]


def result(picture: Picture, most: int) -> dict[str, Any]:
    """The document of a picture."""
    from daglab.weaviate.measuring import looks

    well = all(not each.error and not any(one.problem for one in _measures(each)) for each in picture.looks)
    return {
        "ok": well,
        "at": picture.at.isoformat(timespec="seconds"),
        "clusters": [looks.document(each, most) for each in picture.looks],
        "operations": picture.operations,
    }


def draw_all(found: Iterator[Picture], most: int, seconds: float) -> None:
    """Draw pictures until somebody stops it."""
    from daglab.weaviate.measuring import board

    first = next(found)  # what is wrong is said on the terminal itself
    with screen.shown() as draw:
        for picture in itertools.chain([first], found):

            def lines(width: int, picture: Picture = picture) -> list[str]:
                height = shutil.get_terminal_size().lines if screen.is_terminal() else None
                return board.screen(picture.looks, picture.operations, picture.at, most, width, height)

            screen.hold(draw, lines, seconds - (time.monotonic() - picture.moment))


def _later(cluster: rest.Cluster, names: Sequence[str], before: looks.Look | None) -> Any:
    from daglab.weaviate.measuring import looks

    return lambda: looks.attempt(cluster, names or None, before, strict=False)


def _sure(found: looks.Look | Exception) -> looks.Look:
    if isinstance(found, Exception):
        raise found
    return found


def _measures(look: looks.Look) -> list[Any]:
    return list(look.found.measures) if look.found else []


def _check_names(names: Sequence[str], found: Sequence[looks.Look]) -> None:
    """Raises `Missing` for a name that no cluster has; one that does not answer may have it."""
    from daglab.weaviate import api

    there = {each.name for look in found for each in _measures(look)}
    for name in names:
        if name not in there and not any(look.error for look in found):
            api.schema(found[0].cluster, name)


@click.command(name="dashboard")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--interval",
    type=output.Seconds(86400),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long it is between two looks.",
)
@options.any_cluster_options
@output.env_option
@output.json_option
def command(names: Sequence[str], interval: float, cluster: str | None, auth: str | None, as_json: bool) -> None:
    """Show many collections on one screen.

    All clusters of the config are shown, or the one that --cluster names: the collections with their objects, the rate
    that they grow at, the latency of queries and how they are, and the last operations. It is drawn anew again and
    again, until Ctrl-C. With --json, each look is a line of JSON.

    \b
    Examples:
      daglab collections dashboard
      daglab collections dashboard Docs Chunks --cluster main --interval 2
    """
    from daglab.weaviate import clusters

    settings = config.load(output.flags())
    wanted: list[str | None] = [cluster] if cluster else [*clusters.names(settings)] or [None]
    connected = [clusters.connect(settings, each, auth) for each in wanted]
    most = settings.weaviate.max_queue
    found = pictures(connected, names, settings.root, interval)
    try:
        if not as_json:
            draw_all(found, most, interval)
        for picture in found:
            output.line(result(picture, most))
            time.sleep(max(0.0, interval - (time.monotonic() - picture.moment)))
    except (KeyboardInterrupt, errors.Terminated) as stop:
        raise click.exceptions.Exit(errors.stop_code(stop)) from None
