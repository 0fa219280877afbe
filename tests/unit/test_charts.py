"""Charts: SVG that is valid whatever is drawn, inside its frame, to be read on light and dark pages."""

from __future__ import annotations

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from daglab import charts, svg

SVG = "{http://www.w3.org/2000/svg}"
NOW = 1_793_000_000.0
HOSTILE = [
    "</svg><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)", "&amp;&#0;]]>",
    "\x00\x08", "\ud800", "\ufffe\uffff", "a\u202eb", "<title>", "<!--", "x" * 10_000, "", "   ", "\n\t", "日本語" * 40,
]  # fmt: skip
HARD = [
    0, -0.0, 1, -1, 5e-324, -5e-324, 1e-300, 1e300, -1e300, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan, 10**400,
    1e15, 1e15 + 1, 0.1, 0.30000000000000004, 59.9999, 119.9999, 120, 2**40, Fraction(1, 3), Decimal("1.5"),
]  # fmt: skip
UNITS = ["", "s", "bytes", "%"]


def tree(chart: str) -> ET.Element:
    """The chart as XML, after the checks that hold for every one."""
    root = ET.fromstring(chart)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") is not None
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {"svg", "desc", "title", "g", "text", "path", "line", "rect", "circle"}
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("id", "href", "class")
            assert not re.search(r"url\(|nan|inf|https?:", value) or name == "aria-label", (name, value)
    assert_inside(root)
    return root


def assert_inside(root: ET.Element) -> None:
    """Every line, shape and area lies in the frame, but for the hair that a shape at its edge sticks out."""
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    for x, y in places(root):
        assert -0.01 <= x <= width + 0.01, x
        assert -0.01 <= y <= height + 0.01, y


def places(root: ET.Element) -> Iterator[tuple[float, float]]:
    for element in root.iter():
        for names in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
            if names[0] in element.attrib:
                yield float(element.attrib[names[0]]), float(element.attrib[names[1]])
        if "width" in element.attrib:
            x, y, width, height = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
            yield x + width, y + height
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", element.get("d", "")):
            yield float(x), float(y)


def lines(root: ET.Element) -> list[list[list[tuple[float, float]]]]:
    """The lines of a chart, for each series those between gaps; without those of the legend."""
    paths = [element.get("d", "") for element in root.findall(f"{SVG}path") if element.get("fill") == "none"]
    return [
        [[(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", run)] for run in path.split("M")[1:]]
        for path in paths
    ]


def shapes(root: ET.Element) -> list[int]:
    """How many points of each series have their shape."""
    found = [element for element in root.findall(f"{SVG}path") if element.get("fill") != "none"]
    return [element.get("d", "").count("M") for element in found]


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def hovers(root: ET.Element) -> list[str]:
    return [rect.findtext(f"{SVG}title") or "" for rect in root.iter(f"{SVG}rect")]


def words(root: ET.Element) -> str:
    return root.findtext(f"{SVG}desc") or ""


# lines


def test_a_line_and_what_is_told_of_it() -> None:
    root = tree(charts.line({"load": [(1, 2.0), (2, 4.0), (4, 3.0)]}, title="Load", unit="s"))
    assert root.get("aria-label") == "Load"
    assert words(root) == "load: 3 values from 2 s to 4 s, the last 3 s."
    assert hovers(root) == ["1\n2 s", "2\n4 s", "4\n3 s"]
    assert texts(root)[0] == "Load"
    assert {"0 s", "1 s", "4 s"} <= set(texts(root))
    [[[first, second, third]]] = lines(root)
    assert first[0] < second[0] < third[0]
    assert second[0] - first[0] == pytest.approx((third[0] - second[0]) / 2, abs=0.2)
    assert second[1] < third[1] < first[1]
    assert shapes(root) == [3]


def test_several_series_have_a_legend_and_differ_without_colour() -> None:
    series = {f"s{number}": [(x, float(number)) for x in range(3)] for number in range(8)}
    root = tree(charts.line(series, title="Eight"))
    assert set(series) <= set(texts(root))
    drawn = [element for element in root.findall(f"{SVG}path") if element.get("fill") == "none"]
    marks = [element for element in root.findall(f"{SVG}path") if element.get("fill") != "none"]
    kinds = [
        (charts.SHAPES.index(re.split(r"M[\d.]+ [\d.]+", m.get("d", ""))[1]), d.get("stroke-dasharray"))
        for d, m in zip(drawn, marks, strict=True)
    ]
    assert len(set(kinds)) == 8
    assert len({element.get("stroke") for element in drawn}) == 8
    first = hovers(root)[0].splitlines()
    assert first == ["0", *(f"s{number}: {number}" for number in range(8))]


def test_more_series_than_can_be_told_apart() -> None:
    root = tree(charts.line({f"s{number}": [(0, 1)] for number in range(11)}, title="Eleven"))
    assert "and 3 more series" in texts(root)
    assert len(lines(root)) == 0
    assert shapes(root) == [1] * 8


def test_a_gap_breaks_the_line_and_a_point_alone_is_a_dot() -> None:
    points = [(0, 1), (1, 2), (2, None), (3, 2), (4, math.nan), (5, 1), (6, 2)]
    root = tree(charts.line({"a": points}, title="Gaps"))
    [runs] = lines(root)
    assert [len(run) for run in runs] == [2, 2]
    assert shapes(root) == [5]
    assert [hover.split("\n")[0] for hover in hovers(root)] == ["0", "1", "3", "5", "6"]
    alone = tree(charts.line({"a": [(5, 7)]}, title="One"))
    assert (lines(alone), shapes(alone)) == ([], [1])
    assert words(alone) == "a: 1 value, 7."


def test_of_many_points_every_few_have_their_shape_and_those_alone() -> None:
    points: list[tuple[float, float | None]] = [(x, 1.0) for x in range(100)]
    few = shapes(tree(charts.line({"a": points}, title="Many")))
    points[50] = points[52] = (51, None)
    assert few == [14]
    assert shapes(tree(charts.line({"a": points}, title="Many"))) == [15]


def test_points_are_drawn_in_the_order_of_x() -> None:
    root = tree(charts.line({"a": [(3, 1), (1, 2), (2, 3)]}, title="Order"))
    [[run]] = lines(root)
    assert [x for x, _ in run] == sorted(x for x, _ in run)
    assert words(root).endswith("the last 1.")


def test_times_are_told_in_utc() -> None:
    root = tree(charts.line({"a": [(NOW, 1), (NOW + 7200, 2)]}, title="Times", times=True))
    assert hovers(root)[0] == "2026-10-26 07:33:20 UTC\n1"
    assert {"08:00", "09:00", "2026-10-26, UTC"} <= set(texts(root))
    far = tree(charts.line({"a": [(1e18, 1), (-1e18, 2), (NOW, 3)]}, title="Times", times=True))
    assert len(hovers(far)) == 1


def test_many_points_are_thinned_and_the_extremes_stay() -> None:
    chance = random.Random(6)
    points: list[tuple[float, float | None]] = [(x, chance.random()) for x in range(100_000)]
    points[70_001], points[30_001], points[50_000] = (70_001, 9.0), (30_001, -9.0), (50_000, None)
    root = tree(charts.line({"a": points}, title="Many"))
    [runs] = lines(root)
    drawn = list(itertools.chain(*runs))
    assert 300 < len(drawn) <= charts.MOST_POINTS + 2
    assert len(runs) == 2
    assert words(root).startswith("a: 99999 values from -9 to 9")
    assert {"-9", "9"} <= {line for hover in hovers(root) for line in hover.split("\n")}
    middle = sum(y for _, y in drawn) / len(drawn)
    assert min(y for _, y in drawn) < middle - 60
    assert max(y for _, y in drawn) > middle + 60
    assert len(charts.line({"a": points}, title="Many")) < 60_000


def test_generated_lines_are_valid_and_inside() -> None:
    chance = random.Random(6)
    for _ in range(400):
        scale, shift = 10 ** chance.uniform(-12, 18), chance.choice([0, 0, 1, -1, 1e6, -1e9])
        names = [f"s{number}" for number in range(chance.randint(1, 4))]
        series: dict[str, list[tuple[float, float | None]]] = {
            name: [
                (chance.uniform(-5, 5) * scale, None if chance.random() < 0.1 else shift + chance.gauss(0, 1) * scale)
                for _ in range(chance.randint(0, 60))
            ]
            for name in names
        }
        unit, times = chance.choice(UNITS), chance.random() < 0.3
        root = tree(charts.line(series, title="Any", unit=unit, times=times))
        assert_level_lines_frame_the_points(root)


def assert_level_lines_frame_the_points(root: ET.Element) -> None:
    levels = [
        float(str(element.get("y1")))
        for element in root.findall(f"{SVG}line")
        if element.get("y1") == element.get("y2")
    ]
    for _, y in itertools.chain(*itertools.chain(*lines(root))):
        assert min(levels) - 0.1 <= y <= max(levels) + 0.1


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("times", [False, True])
def test_hard_numbers(unit: str, times: bool) -> None:
    for one, other in itertools.product(HARD, HARD):
        given: Any = [(one, other), (other, one), (1, other), (one, 2)]
        tree(charts.line({"a": given}, title="Hard", unit=unit, times=times))
    everything: Any = [(x, y) for x, y in enumerate(HARD)]
    tree(charts.line({"a": everything}, title="Hard", unit=unit, times=times))


def test_no_two_labels_of_an_axis_lie_upon_each_other() -> None:
    chance = random.Random(6)
    for _ in range(200):
        high = 10 ** chance.uniform(-6, 9)
        root = tree(charts.line({"a": [(NOW, 1), (NOW + high, 2)]}, title="Times", times=True))
        bottom = max(
            float(str(text.get("y"))) for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "middle"
        )
        found = [
            text
            for text in root.iter(f"{SVG}text")
            if float(str(text.get("y"))) == bottom and text.get("text-anchor") == "middle"
        ]
        assert found
        for one, other in itertools.pairwise(found):
            widths = svg.breadth(one.text or "") / 2 + svg.breadth(other.text or "") / 2
            assert float(str(other.get("x"))) - float(str(one.get("x"))) >= widths


# bars


def test_bars_and_what_is_told_of_them() -> None:
    rows = [("load", {"deployed": 12.5, "in process": 5.0}), ("save", {"deployed": None, "in process": 200.0})]
    root = tree(charts.bars(rows, title="Steps", unit="s"))
    assert hovers(root) == [
        "load, deployed: 12.5 s", "load, in process: 5 s", "save, deployed: –", "save, in process: 3:20 min",
    ]  # fmt: skip
    assert words(root) == "load: deployed 12.5 s, in process 5 s.\nsave: in process 3:20 min."
    assert {"Steps", "load", "save", "deployed", "in process", "12.5 s", "–"} <= set(texts(root))
    widths = sorted({span for span in bar_widths(root) if span != 28})
    assert widths[1] / widths[0] == pytest.approx(2.5, rel=0.01)
    assert widths[2] / widths[0] == pytest.approx(40, rel=0.01)


def bar_widths(root: ET.Element) -> list[float]:
    bars = [line for line in root.iter(f"{SVG}line") if line.get("stroke") in charts.COLOURS]
    return [round(abs(float(str(bar.get("x2"))) - float(str(bar.get("x1")))), 2) for bar in bars]


def test_a_negative_bar_goes_the_other_way() -> None:
    root = tree(charts.bars([("up", {"a": 2.0}), ("down", {"a": -1.0}), ("none", {"a": 0.0})], title="Both"))
    up, down = (line for line in root.iter(f"{SVG}line") if line.get("stroke") == charts.COLOURS[0])
    assert up.get("x1") == down.get("x1")
    assert float(str(down.get("x2"))) < float(str(down.get("x1"))) < float(str(up.get("x2")))
    assert hovers(root) == ["up: 2", "down: -1", "none: 0"]


def test_negative_bars_alone_end_at_zero() -> None:
    root = tree(charts.bars([("a", {"x": -1.0}), ("b", {"x": -2.0})], title="Below"))
    one, other = (line for line in root.iter(f"{SVG}line") if line.get("stroke") == charts.COLOURS[0])
    zero = float(str(one.get("x1")))
    assert float(str(other.get("x1"))) == zero > float(str(one.get("x2"))) > float(str(other.get("x2")))
    assert bar_widths(root)[1] == pytest.approx(2 * bar_widths(root)[0], abs=0.1)


def test_there_is_room_for_a_bar_between_long_texts() -> None:
    root = tree(charts.bars([("x" * 50, {"a": -1e14})], title="Long", unit="of something"))
    assert bar_widths(root) == [40]


def test_a_long_label_is_cut_and_told_in_full() -> None:
    label = "analytics/marts/daily_revenue_by_region_and_channel"
    root = tree(charts.bars([(label, {"a": 1.0})], title="Long"))
    assert hovers(root) == [f"{label}: 1"]
    (cut,) = (text for text in texts(root) if "…" in text)
    assert label.startswith(cut.split("…")[0])
    assert label.endswith(cut.split("…")[1])


def test_rows_beyond_the_fortieth_are_counted() -> None:
    root = tree(charts.bars([(f"r{number}", {"a": 1.0}) for number in range(45)], title="Many"))
    assert "and 5 more" in texts(root)
    assert len(hovers(root)) == 40


@pytest.mark.parametrize("unit", UNITS)
def test_bars_of_hard_numbers(unit: str) -> None:
    for one, other in itertools.product(HARD, HARD):
        rows: Any = [("a", {"x": one, "y": other}), ("b", {"y": one})]
        root = tree(charts.bars(rows, title="Hard", unit=unit))
        assert all(width <= charts.WIDTH for width in bar_widths(root))


# all of them


@pytest.mark.parametrize(
    "draw",
    [
        lambda text: charts.line({text: [(1, 2), (2, 3)], "b": [(1, 1)]}, title=text, unit="s"),
        lambda text: charts.line({text: [(1, 2)]}, title=text, unit=text),
        lambda text: charts.bars([(text, {text: 1.0, "b": 2.0})], title=text, unit=text),
        lambda text: charts.line({}, title=text),
    ],
)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(draw: Callable[[str], str], text: str) -> None:
    chart = draw(text)
    tree(chart)
    assert not re.search(r"<(script|img|title><)", chart)
    assert len(chart) < 20_000


def test_an_ordinary_text_is_told_as_it_is() -> None:
    root = tree(charts.line({'a < b & "c"': [(1, 2)], "d": [(1, 2)]}, title="Größe > 5"))
    assert root.get("aria-label") == "Größe > 5"
    assert {'a < b & "c"', "Größe > 5"} <= set(texts(root))


@pytest.mark.parametrize(
    "chart",
    [
        charts.line({}, title="Runs"),
        charts.line({"a": []}, title="Runs"),
        charts.line({"a": [(1, None), (math.nan, 1)]}, title="Runs"),
        charts.bars([], title="Runs"),
        charts.bars([("a", {})], title="Runs"),
        charts.bars([("a", {"b": math.inf})], title="Runs"),
    ],
)
def test_nothing_to_show(chart: str) -> None:
    root = tree(chart)
    assert texts(root) == ["Runs", "nothing to show yet"]
    assert words(root) == "nothing to show yet"


def test_text_is_large_enough_on_a_phone() -> None:
    root = tree(charts.line({"a": [(1, 2)]}, title="Phone"))
    width = float(str(root.get("viewBox")).split()[2])
    assert float(str(root.get("font-size"))) * 340 / width > 9.9
    assert f"width:100%;max-width:{width:.0f}px" in str(root.get("style"))


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["#ffffff", "#181c1a"])
@pytest.mark.parametrize("colour", charts.COLOURS)
def test_the_colours_stand_out_on_light_and_dark_pages(colour: str, page: str) -> None:
    dark, light = sorted((luminance(colour), luminance(page)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_everything_but_the_series_has_the_colour_of_the_page() -> None:
    root = tree(charts.bars([("a", {"b": 1.0, "c": 2.0})], title="Colours"))
    colours = {element.get(name) for element in root.iter() for name in ("fill", "stroke")}
    assert colours == {None, "currentColor", "transparent", *charts.COLOURS[:2]}


@pytest.mark.parametrize(("text", "width", "cut"), [("abc", 100, "abc"), ("abcdefghij", 42, "ab…ij"), ("abc", 1, "…")])
def test_a_text_is_cut_in_its_middle(text: str, width: float, cut: str) -> None:
    assert svg.cut(text, width) == cut
