"""Looks at collections as rows of a table, and as the lines of a screen of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from daglab import output, scales
from daglab.weaviate import api
from daglab.weaviate.measuring import looks, measures

NOTHING = "-"
NARROWEST = 8  # columns of a first column that is cut
OPERATIONS = 5
HEADING = 2  # lines: an empty one before it
PERFORMANCE = "performance"  # figures, and nothing else

Rows = list[list[str]]


def basic(look: looks.Look, most: int) -> tuple[list[str], Rows]:
    """Headers and rows of what the collections are; with a look before it, of what became of them, too."""
    headers = ["Collection", "Objects", "Health"]
    headers += ["Rate", "Growth"] if look.changes is not None else []
    headers += ["Vectors", "Tenants", "Shards", "Replicas", "Nodes", "Queue", "Compressed"]
    return headers, [_basic(look, each, most) for each in _measures(look)]


def performance(look: looks.Look) -> tuple[list[str], Rows]:
    """Headers and rows of what the Prometheus listener tells of them."""
    shares = list(looks.SHARES)
    headers = ["Collection", "Queries", *shares, "Batches", *shares, "Vectors", "Queue", "Added", "Deleted"]
    return [*headers, "Tombstones", "Segments"], [_performance(look, each.name) for each in _measures(look)]


def lines(look: looks.Look, most: int, metrics: str, width: int) -> list[str]:
    """The screen of `stats --watch` for a terminal of so many columns."""
    shown = [_head(look, width), *_troubles(look)]
    if metrics != PERFORMANCE:
        shown += ["", *columns(*basic(look, most), width)]
    if metrics == PERFORMANCE or look.told is not None:
        shown += ["", *columns(*performance(look), width)]
    return [output.cut(line, width) for line in shown]


def screen(
    found: Sequence[looks.Look],
    operations: Sequence[Mapping[str, Any]],
    at: datetime,
    most: int,
    width: int,
    height: int | None = None,
) -> list[str]:
    """The screen of `dashboard` for a terminal of so many columns, and so many lines where it has an end."""
    head = [f"Collections  {at.astimezone():%Y-%m-%d %H:%M:%S}"]
    for look in found:
        head += [_head(look, width), *_troubles(look)]
    done = _operations(operations, width)
    headers, rows = _table(found, most)
    room = len(rows) if height is None else height - len(head) - 3
    if height is not None and len(rows) > room - len(done):  # the last operations make room for collections
        done = done[: min(len(done), room // 3)] if room // 3 > HEADING else []
        room -= len(done)
    shown = columns(headers, rows, width)
    if height is not None and len(rows) > room:
        left = max(1, room - 1)
        shown = [*shown[: 1 + left], f"… {len(rows) - left} more"]
    return [output.cut(line, width) for line in [*head, "", *(shown if rows else ["no collections"]), *done]]


def columns(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A table in so many columns: those at its end are left out where there is no room, the first one is cut."""
    cells = [[output.one_line(cell) for cell in row] for row in [headers, *rows]]
    sizes = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    first = min(sizes[0], max(NARROWEST, width - sum(sizes[1:3]) - 2 * len(sizes[1:3])))
    kept, used = 1, first
    while kept < len(sizes) and used + 2 + sizes[kept] <= width:
        used += 2 + sizes[kept]
        kept += 1
    return [
        "  ".join(
            [
                f"{output.cut(row[0], first):<{first}}",
                *(f"{cell:>{size}}" for cell, size in zip(row[1:kept], sizes[1:kept], strict=True)),
            ]
        ).rstrip()
        for row in cells
    ]


def _table(found: Sequence[looks.Look], most: int) -> tuple[list[str], Rows]:
    """A row for each collection, those that are not well first."""
    rows = []
    for look in found:
        for each in _measures(look):
            change = (look.changes or {}).get(each.name, looks.Change())
            latency = (looks.latencies(look, each.name, "queries") or {}).get("p95")
            state = looks.state(look, each, most)
            named = [look.cluster.name] if len(found) > 1 else []
            objects = f"{_number(each.objects)}{'+' if each.uncounted else ''}"
            said = [each.name, objects, state, _rate(change), _seconds(latency), *named]
            rows.append((state == looks.OK, each.name, said))
    headers = ["Collection", "Objects", "Health", "Rate", "p95", *(["Cluster"] if len(found) > 1 else [])]
    return headers, [said for _, _, said in sorted(rows, key=lambda row: row[:2])]


def _head(look: looks.Look, width: int) -> str:
    """A cluster: its name, version, nodes and objects, and when it was looked at."""
    nodes = look.found.nodes if look.found else None
    well = sum(node.status == api.HEALTHY for node in nodes or ())
    said = [look.cluster.name, looks.version(look.found) or NOTHING]
    said += [f"{well} of {len(nodes)} nodes" if nodes is not None else "nodes: -"]
    said += [f"{len(_measures(look))} collections"]
    when = f"{look.at.astimezone():%H:%M:%S}"
    return output.one_line("  ".join([*said, when] if width >= 60 else [said[0], "down" if look.error else when]))


def _troubles(look: looks.Look) -> list[str]:
    found = [each.problem for each in _measures(look) if each.problem and not look.error]
    more = [f"… {len(found) - 3} more"] if len(found) > 3 else []
    return [output.one_line(f"! {each}") for each in [*looks.problems(look), *found[:3], *more]]


def _measures(look: looks.Look) -> list[measures.Measure]:
    return look.found.measures if look.found else []


def _basic(look: looks.Look, each: measures.Measure, most: int) -> list[str]:
    change = (look.changes or {}).get(each.name, looks.Change())
    changed = [_rate(change), _percent(change.percent)] if look.changes is not None else []
    return [
        each.name,
        _objects(each),
        looks.state(look, each, most),
        *changed,
        _vectors(each),
        _tenants(each),
        _shards(each),
        str(each.replicas),
        str(len(each.nodes)) if each.nodes else NOTHING,
        _number(each.queue),
        {True: "yes", False: "no", None: NOTHING}[each.compressed],
    ]


def _performance(look: looks.Look, name: str) -> list[str]:
    cells = [name]
    for part in ("queries", "objects"):
        told = looks.latencies(look, name, part) or {}
        cells += [_number(told.get("n")), *(_seconds(told.get(label)) for label in looks.SHARES)]
    figures = looks.figures(look, name)
    cells.append(_seconds((looks.latencies(look, name, "vectors") or {}).get("p95")))
    kinds = (figures.queue, figures.created, figures.deleted, figures.tombstones, figures.segments)
    return [*cells, *map(_number, kinds)]


def _objects(each: measures.Measure) -> str:
    """`1,200`; where tenants could not be looked into, `1,200 + 3 tenants`."""
    rest = f" + {each.uncounted:,} tenant{'s' if each.uncounted > 1 else ''}" if each.uncounted else ""
    return f"{_number(each.objects)}{rest}"


def _vectors(each: measures.Measure) -> str:
    """`384 hnsw`, `title: 8 flat`."""
    said = [
        f"{f'{one.name}: ' if one.name else ''}{NOTHING if one.dimensions is None else one.dimensions} {one.index}"
        for one in each.vectors
    ]
    return ", ".join(said) or NOTHING


def _tenants(each: measures.Measure) -> str:
    if each.tenants is None:
        return NOTHING
    return ", ".join(f"{number} {status.lower()}" for status, number in sorted(each.tenants.items())) or "0"


def _shards(each: measures.Measure) -> str:
    if each.shards is None:
        return NOTHING
    told = [(each.unloaded, "unloaded"), (each.absent, "missing")]
    return ", ".join([str(each.shards), *(f"{number} {word}" for number, word in told if number)])


def _operations(operations: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    found = ["", "Last operations"] if operations else []
    for each in operations[:OPERATIONS]:
        outcome = "ok" if each["ok"] else each["error_code"] or f"exit {each['exit_code']}"
        took = "" if each["seconds"] is None else scales.figure(each["seconds"], "s")
        when = _when(each["at"]) if width >= 60 else ""
        found.append(output.one_line(f"{when}{each['command']}  {outcome}  {took}  {each['target'] or ''}").rstrip())
    return found


def _when(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone():%m-%d %H:%M}  "
    except (ValueError, OverflowError):
        return ""


def _rate(change: looks.Change) -> str:
    if change.per_second is None:
        return NOTHING
    return f"{change.per_second:,.1f}/s" if abs(change.per_second) < 100 else f"{change.per_second:,.0f}/s"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f} %"


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else scales.figure(value, "s")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"
