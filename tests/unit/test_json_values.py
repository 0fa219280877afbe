"""Values that JSON can hold, and the path to one that it can't."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import random
import string
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, json_values

Word = enum.Enum("Word", {"A": "a"}, type=str)


class Real(float):
    """As numpy.float64 derives from float."""


def value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value; keys are plain words."""
    kind = chance.randrange(9 if depth < 5 else 7)
    if kind == 7:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {word(chance): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    text = "".join(chr(chance.choice([*range(0xD800), *range(0xE000, 0x11000)])) for _ in range(chance.randrange(9)))
    integers = (0, -1, 2**53 + 1, chance.randrange(-(10**30), 10**30))
    floats = (0.1, -0.0, 1e308, 5e-324, chance.uniform(-1e9, 1e9))
    return [None, True, False, chance.choice(integers), chance.choice(floats), text, ""][kind]


def word(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters + "_", k=chance.randrange(1, 9)))


def places(found: Any, path: str) -> list[tuple[str, Any]]:
    """Every dict and list in a value, with its path."""
    below: list[tuple[str, Any]] = []
    if isinstance(found, dict):
        below = [(f"{path}.{key}", each) for key, each in found.items()]
    elif isinstance(found, list):
        below = [(f"{path}[{number}]", each) for number, each in enumerate(found)]
    mine = [(path, found)] if isinstance(found, (dict, list)) else []
    return mine + [place for name, each in below for place in places(each, name)]


@pytest.mark.parametrize("seed", range(100))
def test_json_values_come_back_as_they_were(seed: int) -> None:
    whole = {"values": value(random.Random(seed)), "more": value(random.Random(-seed - 1))}
    assert json_values.checked(whole, "values") is whole
    assert repr(json.loads(json_values.text(whole))) == repr(whole)


@pytest.mark.parametrize("seed", range(100))
def test_what_is_not_json_is_refused_with_its_path(seed: int) -> None:
    chance = random.Random(seed)
    whole = {"a": value(chance), "rows": [value(chance), {"day": value(chance)}]}
    path, container = chance.choice(places(whole, "values"))
    bad = chance.choice([{1}, (1, 2), float("nan"), float("inf"), b"x", object(), Real(1), Path("x"), "\ud800"])
    if isinstance(container, dict):
        container["bad"] = bad
        path += ".bad"
    else:
        container.append(bad)
        path += f"[{len(container) - 1}]"
    with pytest.raises(errors.InvalidInput) as caught:
        json_values.checked(whole, "values")
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"rows": [0, 1, 2, {"day": {1}}]}, "values.rows[3].day: a set is no JSON value."),
        ({"a": (1,)}, "values.a: a tuple is no JSON value."),
        ({"a": float("-inf")}, "values.a: -inf is no JSON value."),
        ({"a": datetime.date(2026, 1, 1)}, "values.a: a date is no JSON value."),
        ({"a": decimal.Decimal(1)}, "values.a: a Decimal is no JSON value."),
        ({"a": collections.OrderedDict()}, "values.a: an OrderedDict is no JSON value."),
        ({"a": Word.A}, "values.a: a Word is no JSON value."),
        ({"a": {1: 2}}, "values.a: the key '1' is an int, and a key is text."),
        ({(1, 2): 3}, "values: the key '(1, 2)' is a tuple, and a key is text."),
        ({"my key": {"a.b": {1}}}, 'values["my key"]["a.b"]: a set is no JSON value.'),
        ({"é": {1}}, 'values["\\u00e9"]: a set is no JSON value.'),
        ({"k" * 1000: {1}}, f'values["{"k" * 40}\\u2026"]: a set is no JSON value.'),
        ({"\udfff": 1}, "values: the key '\\udfff' is not text: half of a surrogate pair stands alone."),
        ({"a": 10**1000}, "values.a: the number is too large."),
        ([1], "values: a list is no object with names."),
        (None, "values: a NoneType is no object with names."),
        ("text", "values: a str is no object with names."),
    ],
)
def test_what_is_said(bad: object, said: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        json_values.checked(bad, "values")
    assert caught.value.message == said


def test_what_holds_itself() -> None:
    rows: list[Any] = [1]
    rows.append({"rows": rows})
    with pytest.raises(errors.InvalidInput, match=r"values\.a\[1\]\.rows: it holds itself"):
        json_values.checked({"a": rows}, "values")


def test_one_value_in_two_places_does_not_hold_itself() -> None:
    row = [1]
    json_values.checked({"a": row, "b": [row, row]}, "values")


@pytest.mark.parametrize("levels", [99, 100, 100_000])
def test_depth_has_an_end(levels: int) -> None:
    deep: Any = []
    for _ in range(levels - 1):
        deep = [deep]
    if levels < json_values.DEEPEST:
        json_values.checked({"a": deep}, "values")
        return
    with pytest.raises(errors.InvalidInput, match=r"^values\.a(\[0\])+.*: it lies deeper than 100 levels") as caught:
        json_values.checked({"a": deep}, "values")
    assert len(caught.value.message) < 300
    while deep:  # Python would free it by recursion
        deep = deep.pop()


def test_the_largest_number_comes_back() -> None:
    largest = 2**json_values.LARGEST_BITS - 1
    assert json.loads(json_values.text(json_values.checked({"a": -largest}, "values"))) == {"a": -largest}
