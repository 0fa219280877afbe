"""Figures as people read them, and axes with round ticks: numbers, seconds, bytes, times."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

# From which size on, what it is divided by, and what stands behind it then.
UNITS = {
    "": ((1e15, 1.0, ""), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"), (0.0, 1.0, "")),
    "s": (
        (172800.0, 86400.0, " d"),
        (7200.0, 3600.0, " h"),
        (120.0, 60.0, " min"),
        (1.0, 1.0, " s"),
        (1e-3, 1e-3, " ms"),
        (0.0, 1e-6, " µs"),
    ),
    "bytes": (
        *((1024.0**power, 1024.0**power, f" {prefix}iB") for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "K"))),
        (0.0, 1.0, " B"),
    ),
}
TICKS = 5  # gaps between ticks at most, or one more
SECOND_STEPS = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30)
STEPS = (
    *SECOND_STEPS,
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)),
    *(86400 * days for days in (1, 2, 7, 14, 30, 91, 182, 365)),
)
LATEST = 6e10  # seconds before and after 1970 that a date can be told of
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NOTHING = 1e-290  # below it a step can't be told from zero


def figure(value: float, unit: str = "") -> str:
    """A number in full: `unit` is "s", "bytes", or what stands behind a plain number."""
    size = abs(value)
    if unit not in ("s", "bytes"):
        number = f"{value:,.0f}" if 1e5 <= size < 1e15 else f"{value:,.6g}"
        return f"{number} {unit}".rstrip()
    if unit == "s" and 120 <= size < 1e9:
        minutes, seconds = divmod(round(size), 60)
        hours, minutes = divmod(minutes, 60)
        long = f"{hours}:{minutes:02}:{seconds:02} h" if hours else f"{minutes}:{seconds:02} min"
        return f"-{long}" if value < 0 else long
    factor, suffix = _factor(size, unit)
    return f"{value / factor:,.4g}{suffix}"


def counted(number: int, what: str, several: str | None = None) -> str:
    """A number with what it is of: 1 node, 3 nodes."""
    return f"{figure(number)} {what if number == 1 else several or what + 's'}"


def time(seconds: float) -> str:
    """A time in seconds since 1970 as a date and a time of day, in UTC."""
    return f"{_moment(seconds):%Y-%m-%d %H:%M:%S} UTC"


def ticks(low: float, high: float, unit: str = "") -> list[tuple[float, str]]:
    """Round values from `low` or below to `high` or above, at least two, with their labels.

    Durations and sizes begin with zero, and so does all that comes near to it.
    """
    low, high = _opened(low, high, unit)
    factor, suffix = _factor(max(abs(low), abs(high)), unit)
    step = _step((high - low) / factor)
    if step < 0.001:  # too fine for the unit: 1,000,002 instead of 1.000002M
        factor, suffix = 1.0, _factor(1.0, unit)[1]
        step = _step(high - low)
    first, last = math.floor(low / factor / step), math.ceil(high / factor / step)
    values = [number * step for number in range(first, last + 1)]
    return [(value * factor, _label(value, step, values) + suffix) for value in values]


def time_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round times in UTC from `low` to `high`, in seconds since 1970, with their labels; where both are one, that."""
    if high - low < STEPS[0]:
        return [(low, _time_label(low, 1))]
    step = next((step for step in STEPS if (high - low) / step <= TICKS), None)
    step = step or STEPS[-1] * math.ceil((high - low) / STEPS[-1] / TICKS)
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(number * step, _time_label(number * step, step)) for number in numbers]


def days(low: float, high: float) -> str:
    """The day, or the first and the last one, in UTC."""
    first, last = f"{_moment(low):%Y-%m-%d}", f"{_moment(high):%Y-%m-%d}"
    return f"{first}, UTC" if first == last else f"{first} to {last}, UTC"


def _factor(size: float, unit: str) -> tuple[float, str]:
    if not size:
        size = 1.0
    behind = "" if unit in UNITS else f" {unit}"
    return next((factor, suffix + behind) for least, factor, suffix in UNITS.get(unit, UNITS[""]) if size >= least)


def _opened(low: float, high: float, unit: str) -> tuple[float, float]:
    """The ends of an axis: one that is worth looking at, also of a single value."""
    if low > 0 and (unit in ("s", "bytes") or low <= high / 2):
        low = 0.0
    elif high < 0 and (unit in ("s", "bytes") or high >= low / 2):
        high = 0.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high - low > _NOTHING else (0.0, 1.0)


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(span / TICKS))
    return next(power * times for times in (1, 2, 5, 10, 20) if span / (power * times) <= TICKS)


def _label(value: float, step: float, values: list[float]) -> str:
    most = max(map(abs, values))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals <= 4 and most < 1e9:
        return f"{value:,.{decimals}f}"
    digits = math.floor(math.log10(most)) - math.floor(math.log10(step) + 1e-9) + 1
    return f"{value:.{max(digits, 1)}g}"


def _time_label(seconds: float, step: float) -> str:
    moment = _moment(seconds)
    if step < 1:
        return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
    if step < 60:
        return f"{moment:%H:%M:%S}"
    if step < 86400:
        return f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d}" if step >= 30 * 86400 else f"{moment.day} {moment:%b}"


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=round(1000 * seconds))


def took(seconds: float | None) -> str:
    """A duration as a person reads it."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
