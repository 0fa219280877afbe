"""What is different between two JSON values."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from daglab.debugging import differences
from daglab.debugging.differences import Difference


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [Difference("a.b", "changed", 1, 2)]),
        ({"a": 1}, {"b": None}, [Difference("a", "removed", before=1), Difference("b", "added", after=None)]),
        ([1, 2, 3], [0, 1, 2, 3], [Difference("[0]", "added", after=0)]),
        ({"a": [{"n": 1}, {"n": 2}]}, {"a": [{"n": 1}, {"n": 3}]}, [Difference("a[1].n", "changed", 2, 3)]),
        ([1, 2, 3], [3], [Difference("[0]", "removed", before=1), Difference("[1]", "removed", before=2)]),
        (1, True, [Difference("$", "changed", 1, True)]),
        (1, [1], [Difference("$", "changed", 1, [1])]),
        ([], [], []),
        (None, None, []),
    ],
)
def test_differences(before: Any, after: Any, expected: list[Difference]) -> None:
    assert list(differences.between(before, after)) == expected


def value(chance: random.Random, depth: int = 4) -> Any:
    kind = chance.randrange(3 if depth else 1)
    if kind == 1:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 2:
        return {name: value(chance, depth - 1) for name in chance.sample("abcd", chance.randrange(4))}
    return chance.choice([None, True, False, 0, 1, 1.5, "", "x"])


def test_there_is_a_difference_exactly_where_the_texts_differ() -> None:
    for seed in range(2000):
        chance = random.Random(seed)
        one, other = value(chance), value(chance)
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
        assert (list(differences.between(one, other)) == []) is same, (one, other)
        assert list(differences.between(one, copy.deepcopy(one))) == []


def test_long_lists_are_compared_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "LONGEST_MATCHED", 2)
    found = list(differences.between([1, 2, 3], [1, 5, 3, 4]))
    assert found == [Difference("[1]", "changed", 2, 5), Difference("[3]", "added", after=4)]
