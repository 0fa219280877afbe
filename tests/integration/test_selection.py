"""Selections beside the installed Dagster: what it selects and what it refuses, over random graphs."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from daglab import errors
from daglab.deployment import entities, selection

GRAPHS, EXPRESSIONS = 20, 300  # of each graph
GROUPS = ("mart", "raw", "default", "a_1", "key")
KINDS = ("python", "s3", "csv")
OWNERS = ("team:sales", "data@example.com")
TAGS = {"tier": ("gold", "1", ""), "domain": ("shop", "a-b.c")}
SCRAPS = [*'"*+()=:, \t.<>/-_1é\\\n', "and", "or", "not", "key:", "tag:", "sinks(", "<null>", "job", "AND", "&"]


def one_of(dice: random.Random, *makers: Callable[[], str]) -> str:
    return dice.choice(makers)()


class Writer:
    """Writes random selections over the names that there are."""

    def __init__(self, dice: random.Random, names: list[str]) -> None:
        self.dice = dice
        self.names = names

    def expression(self, depth: int) -> str:
        dice = self.dice
        if depth <= 0:
            return self.around(self.field())
        inner = lambda: self.expression(depth - 1)  # noqa: E731
        return one_of(
            dice,
            lambda: f"{inner()}{self.blank()} {dice.choice(('and', 'or', 'AND', 'OR'))} {inner()}",
            lambda: f"{dice.choice(('not', 'NOT'))} {inner()}",
            lambda: self.around(f"({self.blank()}{inner()})"),
            lambda: self.around(f"{dice.choice(('sinks', 'roots'))}({inner()}{self.blank()})"),
            lambda: self.around(self.field()),
            lambda: "*",
        )

    def around(self, text: str) -> str:
        up, down = (
            self.dice.choice(("", "", "+", "1+", "2 +", "0+")),
            self.dice.choice(("", "", "+", "+1", "+ 2", "+0")),
        )
        return f"{up}{text}{down}"

    def field(self) -> str:
        dice = self.dice
        return one_of(
            dice,
            lambda: f"key:{self.value(self.pattern())}",
            lambda: f"group:{self.value(dice.choice((*GROUPS, 'm*', '')))}",
            lambda: f"kind:{self.value(dice.choice((*KINDS, 'go')))}",
            lambda: f"owner:{self.value(dice.choice((*OWNERS, 'nobody')))}",
            self.tag,
            lambda: (
                f"partitions:{self.value(dice.choice(('none', 'static', 'dynamic', 'time', 'multipartitions', 'x')))}"
            ),
            lambda: f"is:{dice.choice(('external', 'materializable', 'other'))}",
            lambda: f"status:{self.value('healthy')}",
        )

    def tag(self) -> str:
        name, values = self.dice.choice([*TAGS.items(), ("dagster/kind/s3", ("", "x"))])
        value = self.dice.choice(values)
        return f"tag:{self.value(name)}" + (f"={self.value(value)}" if value or self.dice.random() < 0.5 else "")

    def value(self, text: str) -> str:
        return self.dice.choice((f'"{text}"', f'"{text}"', text, text, "<null>" if self.dice.random() < 0.2 else text))

    def pattern(self) -> str:
        name = self.dice.choice(self.names)
        return self.dice.choice((name, name, f"{name[:2]}*", f"*{name[-2:]}", "*", "nothing", "job", "group"))

    def blank(self) -> str:
        return self.dice.choice(("", "", " ", "\t\n "))

    def older(self) -> str:
        signs = ("", "+", "++", "*", "*+", "+*")
        name = self.dice.choice((*self.names, "nothing", "and", "key"))
        return f"{self.dice.choice(signs)}{name}{self.dice.choice(signs)}"

    def damaged(self, text: str) -> str:
        at = self.dice.randrange(len(text) + 1)
        return text[:at] + self.dice.choice(SCRAPS) + text[at + self.dice.choice((0, 0, 1, 2)) :]

    def text(self) -> str:
        text = self.older() if self.dice.random() < 0.15 else self.expression(self.dice.randrange(4))
        for _ in range(self.dice.choice((0, 0, 0, 1, 1, 2))):
            text = self.damaged(text)
        return text


@pytest.fixture(scope="module")
def dagster(need: Callable[..., None]) -> Any:
    try:
        import dagster
    except ImportError:
        need(False, "dagster is not installed")
    return dagster


def random_graph(dagster: Any, dice: random.Random) -> Any:
    """Dagster's own graph of some assets, each on a few earlier ones; some are external."""
    partitions = {
        "static": dagster.StaticPartitionsDefinition(["a"]),
        "dynamic": dagster.DynamicPartitionsDefinition(name="d"),
        "time": dagster.DailyPartitionsDefinition("2026-11-01"),
    }
    made: list[Any] = []
    keys: list[list[str]] = []
    for number in range(dice.randrange(1, 25)):
        key = [*dice.choice(([], ["src"], ["raw", "x"])), f"{dice.choice('abo')}_{number}"]
        said = {
            "key": key,
            "group_name": dice.choice(GROUPS),
            "deps": [dagster.AssetKey(each) for each in keys if dice.random() < 0.15],
            "tags": {name: dice.choice(values) for name, values in TAGS.items() if dice.random() < 0.5},
            "kinds": {kind for kind in KINDS if dice.random() < 0.3},
            "owners": [owner for owner in OWNERS if dice.random() < 0.3],
            "partitions_def": partitions.get(dice.choice((*partitions, "none", "none"))),
        }
        keys.append(key)
        made.append(dagster.AssetSpec(**said) if dice.random() < 0.2 else dagster.asset(**said)(lambda: None))
    return dagster.Definitions(assets=made).resolve_asset_graph()


def listed(graph: Any) -> list[entities.Asset]:
    """The assets of Dagster's graph as `entities` lists those of a deployment."""
    kinds = {"Static": "STATIC", "Dynamic": "DYNAMIC", "Daily": "TIME_WINDOW"}
    return [
        entities.Asset(
            key=tuple(node.key.path),
            group=node.group_name,
            description=None,
            kinds=tuple(node.kinds),
            tags={key: value for key, value in node.tags.items() if not key.startswith("dagster/kind/")},
            owners=tuple(node.owners),
            executable=node.is_executable,
            partitions=node.partitions_def
            and kinds[type(node.partitions_def).__name__.removesuffix("PartitionsDefinition")],
            dimensions=(),
            jobs=(),
            dependencies=tuple(key.to_user_string() for key in node.parent_keys),
            repository="__repository__",
            location="main",
            materializable=node.is_materializable,
        )
        for node in graph.asset_nodes
    ]


def dagsters_answer(dagster: Any, text: str, graph: Any) -> set[str] | None:
    """The names that Dagster selects, None where it refuses."""
    try:
        with warnings.catch_warnings():  # it calls part of its own language beta
            warnings.simplefilter("ignore")
            return {key.to_user_string() for key in dagster.AssetSelection.from_string(text).resolve(graph)}
    except Exception:  # whatever it raises is its refusal: there is no one class
        return None


def daglabs_answer(text: str, assets: list[entities.Asset]) -> set[str] | None:
    try:
        return {asset.name for asset in selection.select(selection.read(text), assets)}
    except errors.DaglabError:
        return None


@pytest.mark.long
@pytest.mark.parametrize("seed", range(GRAPHS))
def test_as_dagster_selects_and_refuses(dagster: Any, seed: int) -> None:
    dice = random.Random(seed)
    graph = random_graph(dagster, dice)
    assets = listed(graph)
    writer = Writer(dice, [asset.name for asset in assets])
    texts = []
    while len(texts) < EXPRESSIONS:
        # A list is divided before it is read; what job: selects a process with the code alone can't tell.
        if "," not in (text := writer.text()) and "job:" not in text:
            texts.append(text)
    answers = {text: (daglabs_answer(text, assets), dagsters_answer(dagster, text, graph)) for text in texts}
    assert {text: both for text, both in answers.items() if both[0] != both[1]} == {}
    refused = sum(both[1] is None for both in answers.values())
    assert EXPRESSIONS / 10 < refused < EXPRESSIONS * 9 / 10  # both are tried
