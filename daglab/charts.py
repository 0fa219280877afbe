"""Small charts as SVG that stands alone: for light and dark pages, on paper, and for those who hear it read.

Text has the page's own colour, and the series' colours stand out on white and on marimo's dark background. They differ
by dashes and shapes, too. The figures are in tooltips (`<title>`), and in words in `<desc>`. There is no script, no id,
no style sheet and no address in them, and every text from outside is escaped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daglab import scales, svg

WIDTH = 480  # with this font, text is still 10 px high on a phone, where the chart is 340 px wide
ROW = 20  # the height of a line of text
PLOT = 170  # the height of what lines are drawn in
BAR = 14  # its thickness
EDGE = 14
COLOURS = ("#2f80ed", "#d9730d", "#0f9960", "#a855f7", "#db2777", "#0891b2", "#84700a", "#7a828c")
DASHES = ("none", "7 4", "2 3", "10 3 2 3")
SHAPES = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",  # a circle
    "m-3.5-3.5h7v7h-7z",  # a square
    "m0-4.5l4.5 8h-9z",  # a triangle
    "m0-5l5 5l-5 5l-5-5z",  # a diamond
    "m0 4.5l4.5-8h-9z",  # a triangle on its tip
    "m-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",  # a cross
)
MOST_SERIES = len(COLOURS)
MOST_POINTS = 400  # that are drawn of a series
MOST_SHAPES = 30  # of more points, every few have their shape
MOST_ROWS = 40
MOST_TOLD = 8  # figures in one tooltip
NARROWEST = 3  # what the pointer has to meet
FAR = 1e300  # beyond it a number can't be reckoned with
LONGEST_UNIT = 100  # as wide as that
NOTHING = "nothing to show yet"

Point = tuple[float, float]
Broken = tuple[float, float | None]  # a point, or a gap in the line


@dataclass(frozen=True)
class _Plot:
    """Where in the picture values lie; `x` and `y` are the lowest and the highest of each axis."""

    left: float
    right: float
    top: float
    bottom: float
    x: Point
    y: Point = (0.0, 1.0)

    def across(self, value: float) -> float:
        return self.left + (self.right - self.left) * _share(value, *self.x)

    def down(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * _share(value, *self.y)


def line(series: Mapping[str, Sequence[Broken]], *, title: str, unit: str = "", times: bool = False) -> str:
    """A chart of series over numbers, or with `times` over seconds since 1970; the first eight of them are drawn.

    `unit` is "s", "bytes", or what stands behind a plain number. A None breaks the line, and so does what is no number.
    """
    unit = _short(unit)
    found = {str(name): points for name, given in series.items() if any(_runs(points := _placed(given, times)))}
    if not found:
        return _empty(title)
    shown = dict(itertools.islice(found.items(), MOST_SERIES))
    head, top = _head(title, _line_sample, list(shown), len(found) - len(shown))
    plot, grid = _grid([point for points in shown.values() for run in _runs(points) for point in run], top, unit)
    runs = {name: list(_runs(_thinned(points, MOST_POINTS))) for name, points in shown.items()}
    drawn = [_drawn(plot, number, each) for number, each in enumerate(runs.values())]
    body = [head, *grid, *_x_axis(plot, times), *drawn, *_hovers(plot, runs, unit, times)]
    words = [_words(name, [y for _, y in points if y is not None], unit) for name, points in shown.items()]
    return _svg(title, words, plot.bottom + (2 if times else 1) * ROW + 6, body)


def bars(rows: Sequence[tuple[str, Mapping[str, float | None]]], *, title: str, unit: str = "") -> str:
    """Horizontal bars, in each row one of each series; the first 40 rows and the first eight series are drawn.

    `unit` as in `line`. What is no number has no bar.
    """
    unit = _short(unit)
    figures = [(svg.one_line(label), {str(name): _number(value) for name, value in row.items()}) for label, row in rows]
    every = list(dict.fromkeys(name for _, row in figures for name in row))
    names, shown, more = every[:MOST_SERIES], figures[:MOST_ROWS], len(figures[MOST_ROWS:])
    values = [value for _, row in shown for name in names if (value := row.get(name)) is not None]
    if not values:
        return _empty(title)
    each = len(names) * (BAR + 3) + 8
    head, top = _head(title, _bar_sample, names, len(every) - len(names))
    left = 8 + min(0.4 * WIDTH, max(svg.breadth(label) for label, _ in shown))
    right = max(left + 40, WIDTH - 8 - max(svg.breadth(scales.figure(value, unit)) for value in values))
    plot = _Plot(left, right, top + 6, top + 6 + each * len(shown), (min(0.0, *values), max(0.0, *values)))
    tops = [plot.top + number * each for number in range(len(shown))]
    body = [
        head,
        *(part for at, row in zip(tops, shown, strict=True) for part in _bar_row(plot, at, row, names, unit)),
        svg.rule(plot.across(0), plot.top, plot.across(0), plot.bottom - 8, 0.5),
        *([svg.text(0, plot.bottom + 14, f"and {more} more", fill_opacity=svg.FAINT)] if more else []),
    ]
    words = [f"{label}: {_told(row, names, unit)}." for label, row in shown]
    return _svg(title, words, plot.bottom + (ROW if more else 0), body)


def _short(unit: str) -> str:
    return svg.cut(svg.one_line(unit), LONGEST_UNIT)


def _share(value: float, low: float, high: float) -> float:
    """How far on the way from `low` to `high`; in the middle where these are one."""
    return (value - low) / (high - low) if high > low else 0.5


def _placed(points: Iterable[Broken], times: bool) -> list[Broken]:
    """In the order of x, without those that have no place there."""
    found = [(x, _number(y)) for given, y in points if (x := _number(given)) is not None]
    return sorted((point for point in found if not times or abs(point[0]) <= scales.LATEST), key=lambda point: point[0])


def _number(value: object) -> float | None:
    """A number that can be drawn; None for what is none, is infinite, or is too large to reckon with."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= FAR else None


def _thinned(points: list[Broken], most: int) -> list[Broken]:
    """Of each few points the lowest, the highest and a gap; the first and the last point always."""
    if len(points) <= most:
        return points
    kept = {0, len(points) - 1}
    for numbers in _divided(range(len(points)), -(-2 * len(points) // most)):
        there = [(y, number) for number in numbers if (y := points[number][1]) is not None]
        gaps = [number for number in numbers if points[number][1] is None]
        kept.update(gaps[:1])
        if there:
            kept.update((min(there)[1], max(there)[1]))
    return [points[number] for number in sorted(kept)]


def _divided(numbers: range, size: int) -> Iterator[range]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _runs(points: Iterable[Broken]) -> Iterator[list[Point]]:
    """The points between gaps."""
    run: list[Point] = []
    for x, y in points:
        if y is not None:
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _grid(points: Sequence[Point], top: float, unit: str) -> tuple[_Plot, list[str]]:
    """The plot that all points fit into, and its level lines with their labels."""
    (x_low, x_high), (y_low, y_high) = ((min(values), max(values)) for values in zip(*points, strict=True))
    ticks = scales.ticks(y_low, y_high, unit)
    left = EDGE + min(WIDTH / 2, max(svg.breadth(label) for _, label in ticks))
    y = min(y_low, ticks[0][0]), max(y_high, ticks[-1][0])
    plot = _Plot(left, WIDTH - EDGE, top + 12, top + 12 + PLOT, (x_low, x_high), y)
    parts = []
    for value, label in ticks:
        at = plot.down(value)
        parts.append(svg.rule(plot.left, at, plot.right, at, 0.15 if value else 0.5))
        parts.append(svg.text(plot.left - 6, at + 5, label, text_anchor="end", fill_opacity=svg.FAINT))
    return plot, parts


def _x_axis(plot: _Plot, times: bool) -> Iterator[str]:
    """As many labels as there is room for, and the days below them."""
    low, high = plot.x
    ticks = (
        scales.time_ticks(low, high) if times else [tick for tick in scales.ticks(low, high) if low <= tick[0] <= high]
    )
    end = 0.0
    for value, label in ticks or [(low, scales.figure(low))]:
        half, at = svg.breadth(label) / 2, plot.across(value)
        x = min(max(at, half), WIDTH - half)
        if x - half >= end:
            end = x + half + svg.LETTER
            yield svg.rule(at, plot.bottom, at, plot.bottom + 4, 0.5)
            yield svg.text(x, plot.bottom + ROW - 2, label, text_anchor="middle", fill_opacity=svg.FAINT)
    if times:
        at = plot.bottom + 2 * ROW - 2
        yield svg.text(plot.right, at, scales.days(low, high), text_anchor="end", fill_opacity=svg.FAINT)


def _drawn(plot: _Plot, number: int, runs: Sequence[Sequence[Point]]) -> str:
    """The line of a series, and its shape at its points."""
    points = [point for run in runs for point in run]
    every = 1 if len(points) <= MOST_SHAPES else len(points) // 12
    marked = {*points[::every], points[-1], *(run[0] for run in runs if len(run) == 1)}
    path = "".join(_path(plot, run) for run in runs if len(run) > 1)
    shapes = "".join(f"M{_place(plot, point)}{SHAPES[number % len(SHAPES)]}" for point in sorted(marked))
    return (_stroked(path, number) if path else "") + svg.tag("path", d=shapes, fill=COLOURS[number])


def _stroked(path: str, number: int) -> str:
    look = {"stroke": COLOURS[number], "stroke_dasharray": DASHES[number % len(DASHES)]}
    return svg.tag("path", d=path, fill="none", stroke_width=2, stroke_linejoin="round", **look)


def _path(plot: _Plot, run: Sequence[Point]) -> str:
    return "M" + "L".join(_place(plot, point) for point in run)


def _place(plot: _Plot, point: Point) -> str:
    return f"{plot.across(point[0]):.1f} {plot.down(point[1]):.1f}"


def _hovers(plot: _Plot, runs: Mapping[str, Sequence[Sequence[Point]]], unit: str, times: bool) -> Iterator[str]:
    """Columns as high as the plot, each from half-way to its neighbours, that tell the figures of their points."""
    points = sorted((x, number, y) for number, each in enumerate(runs.values()) for run in each for x, y in run)
    names = [f"{svg.one_line(name)}: " if len(runs) > 1 else "" for name in runs]
    columns: list[tuple[float, list[tuple[str, str]]]] = []
    for x, number, y in points:
        at = plot.across(x)
        if not columns or at - columns[-1][0] >= NARROWEST:
            columns.append((at, []))
        where = scales.time(x) if times else scales.figure(x)
        columns[-1][1].append((where, names[number] + scales.figure(y, unit)))
    middles = [(one + other) / 2 for (one, _), (other, _) in itertools.pairwise(columns)]
    for (_, told), (start, end) in zip(columns, itertools.pairwise([plot.left, *middles, plot.right]), strict=True):
        yield svg.hover(start, plot.top, end - start, plot.bottom - plot.top, _column(told))


def _column(told: Sequence[tuple[str, str]]) -> str:
    """Where, and below it the figures there."""
    lines = [
        "\n".join([where, *(figure for _, figure in group)])
        for where, group in itertools.groupby(told[:MOST_TOLD], key=lambda each: each[0])
    ]
    return "\n".join([*lines, f"and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else lines)


def _bar_row(
    plot: _Plot, top: float, row: tuple[str, Mapping[str, float | None]], names: Sequence[str], unit: str
) -> Iterator[str]:
    """The label of a row, and a bar with its figure for each series."""
    label, values = row
    middle = top + len(names) * (BAR + 3) / 2
    yield svg.text(plot.left - 8, middle + 5, svg.cut(label, plot.left - 8), text_anchor="end")
    for number, name in enumerate(names):
        value, at = values.get(name), top + (number + 0.5) * (BAR + 3)
        zero, end = plot.across(0), plot.across(value or 0)
        told = "\N{EN DASH}" if value is None else scales.figure(value, unit)
        if end != zero:
            yield _bar(zero, end, at, number)
        yield svg.text(max(zero, end) + 6, at + 5, told)
        said = f"{label}, {svg.one_line(name)}: {told}" if len(names) > 1 else f"{label}: {told}"
        yield svg.hover(0, at - (BAR + 3) / 2, WIDTH, BAR + 3, said)


def _bar(start: float, end: float, y: float, number: int) -> str:
    """A bar with stripes of its own; a paler one below them shows where it ends."""
    dash = DASHES[number % len(DASHES)]
    look: dict[str, str | float] = {"stroke": COLOURS[number], "stroke_width": BAR}
    below = "" if dash == "none" else svg.stroke(start, end, y, stroke_opacity=0.35, **look)
    return below + svg.stroke(start, end, y, stroke_dasharray=dash, **look)


def _line_sample(x: float, y: float, number: int) -> str:
    shape = svg.tag("path", d=f"M{x + 14:.1f} {y:.1f}{SHAPES[number % len(SHAPES)]}", fill=COLOURS[number])
    return _stroked(f"M{x:.1f} {y:.1f}h28", number) + shape


def _bar_sample(x: float, y: float, number: int) -> str:
    return _bar(x, x + 28, y, number)


def _head(title: str, sample: Callable[[float, float, int], str], names: Sequence[str], more: int) -> tuple[str, float]:
    """The title, the legend where there are several series, and how far down they reach."""
    parts = [svg.text(0, 16, svg.cut(svg.one_line(title), WIDTH / 1.1), font_weight=600)]
    x, y = 0.0, 36.0
    for number, name in enumerate(names if len(names) > 1 else ()):
        whole = svg.one_line(name)
        text = svg.cut(whole, WIDTH - 40)
        if x and x + 36 + svg.breadth(text) > WIDTH:
            x, y = 0.0, y + ROW
        parts.append(svg.tag("g", svg.title(whole) + sample(x, y, number) + svg.text(x + 36, y + 5, text)))
        x += 36 + svg.breadth(text) + 2 * svg.LETTER
    if more:
        y += ROW
        parts.append(svg.text(0, y + 5, f"and {more} more series", fill_opacity=svg.FAINT))
    return "".join(parts), y + 10 if len(names) > 1 else y - 12


def _empty(title: str) -> str:
    head, top = _head(title, _line_sample, [], 0)
    look: dict[str, str | float] = {"stroke": "currentColor", "stroke_opacity": 0.4, "stroke_dasharray": "5 5"}
    frame = svg.tag("rect", x=1, y=top + 6, width=WIDTH - 2, height=70, rx=6, fill="none", **look)
    note = svg.text(WIDTH / 2, top + 46, NOTHING, text_anchor="middle", fill_opacity=svg.FAINT)
    return _svg(title, [NOTHING], top + 80, [head, frame, note])


def _svg(title: str, words: Sequence[str], height: float, body: Iterable[str]) -> str:
    style = f"width:100%;max-width:{WIDTH}px;height:auto"
    whole = svg.tag("desc", svg.escaped("\n".join(words))) + "".join(body)
    return svg.root(whole, viewBox=f"0 0 {WIDTH} {height:.0f}", aria_label=svg.one_line(title), style=style)


def _words(name: str, values: Sequence[float], unit: str) -> str:
    low, high, last = (scales.figure(value, unit) for value in (min(values), max(values), values[-1]))
    told = f"1 value, {last}." if len(values) == 1 else f"{len(values)} values from {low} to {high}, the last {last}."
    return f"{svg.one_line(name)}: {told}" if name else told


def _told(row: Mapping[str, float | None], names: Sequence[str], unit: str) -> str:
    """The figures of a row in words."""
    there = [(svg.one_line(name), value) for name in names if (value := row.get(name)) is not None]
    told = [(f"{name} " if len(names) > 1 else "") + scales.figure(value, unit) for name, value in there]
    return ", ".join(told) or "nothing"
