"""What tests of properties share: how they are tried, what is tried, and what may come of it."""

from __future__ import annotations

import copy
import functools
import itertools
import math
import string
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from daglab import errors

# The inputs are the same in every run: what fails here fails again.
tried = settings(
    derandomize=True, deadline=None, database=None, max_examples=40, suppress_health_check=list(HealthCheck)
)

texts = st.text(max_size=30)
words = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
numbers = st.integers(-(2**63), 2**63) | st.integers(-1000, 1000).map(lambda each: each / 4)  # YAML has no 1e-05
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(leaves, lambda each: st.lists(each, max_size=3) | st.dictionaries(words, each, max_size=3))

MISSING = object()
hints: Callable[[Any], dict[str, Any]] = functools.cache(
    typing.get_type_hints
)  # the annotations of a class or function
# All that Python reads in JSON, of each type: nothing, huge, deep, half a letter.
WRONG_TEXTS = ["", "x", "-1", "9" * 5000, "1e999", "\ud800", "\x00", "[" * 20_000, "{", "__typename", "x" * 20_000]
WRONG = [MISSING, None, True, False, 0, -1, 0.5, 2**63, 10**400, float("inf"), float("nan"), *WRONG_TEXTS]
WRONG += [[], [None], ["x"], [[]], [{}], {}, {"x": 1}, {"__typename": "PythonError", "message": 5}]


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What it gives back; an error on purpose, which says something and can be printed. Others come through."""
    try:
        return function(*arguments)
    except errors.DaglabError as error:
        failed = error
    assert failed.message
    assert failed.hint
    return failed


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that is in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inside for found in places(each, (*path, key)))]


def put(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A JSON value with another one at a place of it, or without it where that is `MISSING`."""
    if not path:
        return None if value is MISSING else value
    result, (key, *inside) = copy.copy(whole), path
    try:
        if value is MISSING and not inside:
            del result[key]
        else:
            result[key] = put(whole[key], tuple(inside), value)
    except (KeyError, IndexError, TypeError):  # one that was changed before, and has no such place
        return whole
    return result


def changed(whole: Any) -> st.SearchStrategy[Any]:
    """A JSON value with something else at up to three places of it."""
    one = st.tuples(st.sampled_from(places(whole)), values | st.just(MISSING))
    return st.lists(one, max_size=3).map(
        lambda each: functools.reduce(lambda found, more: put(found, *more), each, whole)
    )


def variants(whole: Any, wrong: Sequence[Any] = WRONG) -> Iterator[Any]:
    """A JSON value with a wrong one at one place of it: each of them at each place, and its own texts there, too."""
    own = {each for each in (at(whole, path) for path in places(whole)) if isinstance(each, str)}
    for path, value in itertools.product(places(whole), [*wrong, *sorted(own)]):
        yield put(whole, path, value)


def at(whole: Any, path: tuple[Any, ...]) -> Any:
    """What is at a place of a JSON value."""
    return functools.reduce(lambda holder, key: holder[key], path, whole)


def fits(value: Any, kind: Any) -> bool:
    """Whether a value, with all that is in it, is of the type that an annotation names; a truth is no number."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if hasattr(kind, "__dataclass_fields__"):
        return type(value) is kind and all(fits(getattr(value, name), each) for name, each in hints(kind).items())
    if origin is tuple:
        wanted = inside[:1] * len(value) if inside[-1] is ... else inside
        return type(value) is tuple and len(value) == len(wanted) and all(map(fits, value, wanted))
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            fits(key, inside[0]) and fits(each, inside[1]) for key, each in value.items()
        )
    if origin is not None:  # a list or a set
        return isinstance(value, origin) and all(fits(each, inside[0]) for each in value)
    return type(value) is kind and (kind is not float or math.isfinite(value))
