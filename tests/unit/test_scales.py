"""Figures as people read them, and round ticks that cover what is shown."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from daglab import scales


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"), (0.1 + 0.2, "", "0.3"), (1234, "", "1,234"), (1234567.8, "", "1,234,568"),
        (-12.5, "%", "-12.5 %"), (1e20, "", "1e+20"), (1e-9, "rows", "1e-09 rows"), (0, "s", "0 s"),
        (1.5, "s", "1.5 s"), (0.0123, "s", "12.3 ms"), (4.2e-6, "s", "4.2 µs"), (119, "s", "119 s"),
        (120, "s", "2:00 min"), (3725.4, "s", "1:02:05 h"), (-130, "s", "-2:10 min"), (0, "bytes", "0 B"),
        (1023, "bytes", "1,023 B"), (1536, "bytes", "1.5 KiB"), (-5 * 2**30, "bytes", "-5 GiB"),
        (3 * 2**50, "bytes", "3,072 TiB"),
    ],
)  # fmt: skip
def test_a_figure(value: float, unit: str, text: str) -> None:
    assert scales.figure(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (0, 10, "", ["0", "2", "4", "6", "8", "10"]),
        (9, 18, "s", ["0 s", "5 s", "10 s", "15 s", "20 s"]),
        (0.5, 0.9, "s", ["0 ms", "200 ms", "400 ms", "600 ms", "800 ms", "1,000 ms"]),
        (0, 600, "s", ["0 min", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        (0, 3 * 2**20, "bytes", ["0 MiB", "1 MiB", "2 MiB", "3 MiB"]),
        (0, 50_000, "rows", ["0k rows", "10k rows", "20k rows", "30k rows", "40k rows", "50k rows"]),
        (1_000_000, 1_000_004, "", ["1,000,000", "1,000,001", "1,000,002", "1,000,003", "1,000,004"]),
        (-3, 4, "", ["-4", "-2", "0", "2", "4"]),
        (5, 5, "", ["0", "1", "2", "3", "4", "5"]),
        (0, 0, "bytes", ["0.0 B", "0.2 B", "0.4 B", "0.6 B", "0.8 B", "1.0 B"]),
        (0, 1e-9, "", ["0", "2e-10", "4e-10", "6e-10", "8e-10", "1e-09"]),
        (0, 5e20, "", ["0", "1e+20", "2e+20", "3e+20", "4e+20", "5e+20"]),
    ],
)
def test_the_labels_of_an_axis(low: float, high: float, unit: str, labels: list[str]) -> None:
    assert [label for _, label in scales.ticks(low, high, unit)] == labels


@pytest.mark.parametrize("unit", ["", "s", "bytes", "%"])
def test_ticks_cover_what_is_shown_and_differ(unit: str) -> None:
    chance = random.Random(6)
    for _ in range(3000):
        low = chance.choice([0, 1, -1]) * 10 ** chance.uniform(-30, 30)
        high = low + abs(low) * 10 ** chance.uniform(-6, 3)
        ticks = scales.ticks(low, high, unit)
        values, labels = zip(*ticks, strict=True)
        slack = (values[-1] - values[0]) * 1e-6
        assert values[0] <= low + slack
        assert values[-1] >= high - slack
        assert 2 <= len(ticks) <= scales.TICKS + 2
        assert len(set(labels)) == len(labels), labels
        gaps = [two - one for one, two in itertools.pairwise(values)]
        assert max(gaps) == pytest.approx(min(gaps), rel=1e-3)
        assert max(map(len, labels)) <= 22


def test_the_ticks_of_time() -> None:
    day = 20_000 * 86400.0
    assert [label for _, label in scales.time_ticks(day, day + 4)] == [f"00:00:0{second}" for second in range(5)]
    assert [label for _, label in scales.time_ticks(day + 60, day + 3600)] == ["00:15", "00:30", "00:45", "01:00"]
    assert [label for _, label in scales.time_ticks(day, day + 3 * 86400)] == ["4 Oct", "5 Oct", "6 Oct", "7 Oct"]
    assert [label for _, label in scales.time_ticks(day, day)] == ["00:00:00"]
    assert [label for _, label in scales.time_ticks(day, day + 0.02)] == [
        "00:00:00.000",
        "00:00:00.010",
        "00:00:00.020",
    ]
    assert scales.days(day, day + 5) == "2024-10-04, UTC"
    assert scales.days(day, day + 86400) == "2024-10-04 to 2024-10-05, UTC"


def test_ticks_of_time_lie_inside_and_are_few() -> None:
    chance = random.Random(6)
    for _ in range(2000):
        low = chance.uniform(-scales.LATEST, scales.LATEST)
        high = min(scales.LATEST, low + 10 ** chance.uniform(0, 11))
        ticks = scales.time_ticks(low, high)
        assert len(ticks) <= scales.TICKS + 1
        assert all(low <= value <= high for value, _ in ticks)
        assert all(math.isfinite(value) for value, _ in ticks)
