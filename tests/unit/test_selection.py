"""Selections by hand: places, lists, what is told of mistakes. Dagster itself is asked in integration."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daglab import errors
from daglab.deployment import entities, selection

BLANK = entities.Asset(
    key=("x",),
    group=None,
    description=None,
    kinds=(),
    tags={},
    owners=(),
    executable=True,
    partitions=None,
    dimensions=(),
    jobs=("__ASSET_JOB",),
    dependencies=(),
    repository="__repository__",
    location="main",
)


def asset(name: str, *above: str, **more: Any) -> entities.Asset:
    return dataclasses.replace(BLANK, key=tuple(name.split("/")), dependencies=above, **more)


# a -> b -> c -> d, and e beside them; s is external, above a
ASSETS = [
    asset("s", materializable=False, executable=False, group="raw"),
    asset("a", "s", group="raw", tags={"tier": "gold", "empty": ""}, kinds=("sql",), jobs=("__ASSET_JOB", "nightly")),
    asset("b", "a", group="mart", owners=("team:data",)),
    asset("c", "b", "not/listed", location="second"),
    asset("src/d", "c", location="second", repository="old", partitions="STATIC"),
    asset("e"),
    asset("e", location="second"),
]


def names(text: str, assets: list[entities.Asset] = ASSETS) -> list[str]:
    return [each.name for each in selection.select(selection.read(text), assets)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b", ["b"]),
        ("+b", ["a", "b"]),
        ("*src/d", ["a", "b", "c", "src/d"]),
        ("b++", ["b", "c", "src/d"]),
        ('key:"src/*"', ["src/d"]),
        ("group:raw", ["a"]),
        ('key:"s"', ["s"]),
        ("code_location:second", ["c", "src/d", "e", "e"]),
        ('code_location:"old@second"', ["src/d"]),
        ('code_location:"old@main"', []),
        ("code_location:<null>", []),
        ("job:nightly", ["a"]),
        ("job:<null>", []),
        ("tag:tier=gold or tag:empty", ["a"]),
        ("partitions:static", ["src/d"]),
        ("1+key:c+1", ["b", "c", "src/d"]),
        ("sinks(key:a or key:c)", ["c"]),
        ("roots(*)", ["a", "e", "e"]),
        ("not key:e", ["a", "b", "c", "src/d"]),
        ("a,b , group:mart", ["a", "b"]),
        ('tag:"a,b"="c", b', ["b"]),
    ],
)
def test_what_is_selected(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "a field with a value is missing"),
        ("group:mart and", 15, "a field with a value is missing"),
        ("group:", 7, "a value is missing"),
        ("group:a-b", 8, "this can't stand here without quotes"),
        ("group mart", 7, "a : belongs after group"),
        ("grop:mart", 1, "a field with a value is missing"),
        ("key:a key:b", 7, "`and` or `or` is missing"),
        ("(key:a", 7, "a ) is missing"),
        ("2 key:a", 3, "a + belongs"),
        ("sinks key:a", 7, "a ( belongs"),
        ("is:big", 4, "it is external or materializable"),
        ("a, (b)", 5, "a field with a value is missing"),
        ('key:"a', 5, "this can't stand here"),
        ("a,,b", 3, "a field with a value is missing"),
        ("group:not", 7, "a value is missing"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, column: int, problem: str) -> None:
    with pytest.raises(errors.WrongUsage) as caught:
        selection.read(text)
    first, shown, arrow = caught.value.message.split("\n")
    assert first.startswith(f"The selection is not valid at column {column}: {problem}")
    assert shown == f"  {text}"
    assert arrow.index("^") == column + 1


@pytest.mark.parametrize("field", [*selection.DAGSTER_PLUS, *selection.UNKNOWN_TO_ASSETS])
def test_what_can_t_be_answered_is_refused(field: str) -> None:
    with pytest.raises(errors.WrongUsage, match=f"{field}: can't be answered") as caught:
        selection.read(f"key:a or {field}:x")
    assert ("Dagster\\+" in caught.value.message or "Dagster+" in caught.value.message) == (
        field in selection.DAGSTER_PLUS
    )


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(errors.InvalidInput, match="There is no asset src/e") as caught:
        names("src/e")
    assert "Did you mean src/d" in str(caught.value.hint)


def test_hostile_letters_stay_on_their_line() -> None:
    with pytest.raises(errors.WrongUsage) as caught:
        selection.read("group:\x1b[2J\nx")
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message.split("\n")) == 3


@pytest.mark.parametrize("text", ["(" * 5000 + "key:a" + ")" * 5000, "not " * 5000 + "key:a"])
def test_deep_nesting_is_an_error(text: str) -> None:
    with pytest.raises(errors.WrongUsage, match="nested too deeply"):
        names(text)


def test_long_and_wide_ones_are_no_trouble() -> None:
    assert names(" or ".join(["key:a"] * 5000)) == ["a"]
    assert names(" and ".join(["key:a"] * 5000)) == ["a"]
    chain = [asset("n0"), *(asset(f"n{number}", f"n{number - 1}") for number in range(1, 5000))]
    assert names("sinks(+key:n4999)", chain) == ["n4999"]
    assert names("roots(key:n4999 or *)", chain) == ["n0"]


@pytest.mark.parametrize(("text", "field"), [("tag:a=b", "tag"), ("tag:a-b", "tag"), ("a, owner:x", "owner")])
def test_an_old_dagster_that_does_not_tell(text: str, field: str) -> None:
    old = entities.Workspace("1.5.14", (), (), frozenset({"groupName"}))
    with pytest.raises(errors.NotSetUp, match=f"1.5.14 does not tell .* {field}: compares"):
        selection.check_fields(selection.read(text), old)
    selection.check_fields(selection.read("group:a"), old)
    selection.check_fields(selection.read(text), dataclasses.replace(old, asset_fields=frozenset({"tags", "owners"})))


def test_a_loop_through_several_locations_ends() -> None:
    loop = [asset("a", "b"), asset("b", "a", location="second"), asset("c", "c")]
    assert names("*a*", loop) == ["a", "b"]
    assert names("sinks(*)", loop) == ["c"]
