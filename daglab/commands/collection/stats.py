"""`daglab collections stats`: how collections stand, once or again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, output, screen
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:  # what talks to Weaviate brings in requests
    from daglab.weaviate import rest
    from daglab.weaviate.measuring import looks

SECONDS = 5.0
ALL, BASIC, PERFORMANCE = "all", "basic", "performance"


def result(look: looks.Look, most: int) -> dict[str, Any]:
    """The command's document."""
    from daglab.weaviate.measuring import looks

    error = look.error or verdict(look)
    said = {} if error is None else {"error": error.document()}
    return {"ok": error is None, **said, **looks.document(look, most)}


def verdict(look: looks.Look) -> errors.DaglabError | None:
    """The error that names what could not be counted; None where all was."""
    from daglab.weaviate import rest

    bad = [each for each in look.found.measures if each.problem] if look.found else []
    if not bad:
        return None
    names = ", ".join(each.name for each in bad[:20]) + (f" and {len(bad) - 20} more" if len(bad) > 20 else "")
    hint = "Its own log says why; `daglab collections health` looks closer."
    return rest.Failed(f"Not counted: {names}. {bad[0].problem}", hint)


def show(look: looks.Look, most: int, metrics: str) -> None:
    """Print the tables."""
    from daglab.weaviate.measuring import board, looks

    for said in looks.problems(look):
        output.warn(said)
    if look.found and not look.found.measures:
        output.note(f"There is no collection in {look.cluster.name}.")
    if metrics != PERFORMANCE:
        headers, rows = board.basic(look, most)
        output.table(rows, headers)
    if metrics == ALL and look.told is not None:
        output.data("")
    if metrics == PERFORMANCE or look.told is not None:
        headers, rows = board.performance(look)
        output.table(rows, headers)


def once(cluster: rest.Cluster, names: Sequence[str] | None, most: int, metrics: str, *, as_json: bool) -> None:
    """Look once. Raises `Failed` where a collection could not be counted, after the rest is told."""
    from daglab.weaviate.measuring import looks

    look = looks.take(cluster, names, performance=metrics != BASIC)
    error, found = verdict(look), looks.document(look, most)
    if not as_json:
        show(look, most, metrics)
    elif error is None:
        output.document({"ok": True, **found})
    if error is not None:
        error.result = found
        raise error


def watched(cluster: rest.Cluster, names: Sequence[str] | None, metrics: str, seconds: float) -> Iterator[looks.Look]:
    """A look after the other. Raises as `looks.take` does at the first; later, a look tells what went wrong."""
    from daglab.weaviate.measuring import looks

    hasty, performance = looks.hasty(cluster, seconds), metrics != BASIC
    look = looks.take(hasty, names, performance=performance)
    while True:
        yield look
        look = looks.attempt(hasty, names, look, performance=performance)


def watch(found: Iterator[looks.Look], most: int, metrics: str, seconds: float, *, as_json: bool) -> None:
    """Show looks until somebody stops it."""
    from daglab.weaviate.measuring import board

    if as_json:
        for look in found:
            output.line(result(look, most))
            time.sleep(max(0.0, seconds - (time.monotonic() - look.moment)))
        return
    first = next(found)  # what is wrong is said on the terminal itself
    with screen.shown() as draw:
        for look in itertools.chain([first], found):

            def lines(width: int, look: looks.Look = look) -> list[str]:
                return board.lines(look, most, metrics, width)

            screen.hold(draw, lines, seconds - (time.monotonic() - look.moment))


@click.command(name="stats")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-w", "--watch", "watches", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=output.Seconds(86400),
    metavar="SECONDS",
    help=f"How long it is between two looks of --watch.  [default: {SECONDS:g}]",
)
@click.option(
    "--metrics",
    type=click.Choice([ALL, BASIC, PERFORMANCE]),
    default=ALL,
    show_default=True,
    help="Which figures: what the collections are, or what the Prometheus listener tells of them.",
)
@options.cluster_options
@output.env_option
@output.json_option
def command(
    names: Sequence[str],
    watches: bool,
    interval: float | None,
    metrics: str,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Show how collections stand.

    Objects are counted exactly, replicas once. Latencies, queues and segments come from the Prometheus listener that
    the config names for the cluster (metrics: http://host:2112). What a server does not tell is `-`, and objects that
    can't be counted are an error. With --watch and --json, each look is a line of JSON.

    \b
    Examples:
      daglab collections stats
      daglab collections stats Docs Chunks --watch --interval 2
      daglab collections stats --metrics basic --json | jq '.collections[] | {name, objects}'
    """
    from daglab.weaviate import clusters

    if interval is not None and not watches:
        raise errors.WrongUsage("--interval is the time between the looks of --watch.", "Add --watch.")
    settings = config.load(output.flags())
    connected = clusters.connect(settings, cluster, auth)
    most = settings.weaviate.max_queue
    if not connected.metrics and metrics == PERFORMANCE:
        output.warn(f"The config names no Prometheus listener of {connected.name} (metrics in weaviate.clusters).")
    if not watches:
        once(connected, names or None, most, metrics, as_json=as_json)
        return
    seconds = interval or SECONDS
    try:
        watch(watched(connected, names or None, metrics, seconds), most, metrics, seconds, as_json=as_json)
    except (KeyboardInterrupt, errors.Terminated) as stop:
        raise click.exceptions.Exit(errors.stop_code(stop)) from None
