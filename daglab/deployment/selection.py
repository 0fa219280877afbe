"""Selections: Dagster's language for choosing assets, resolved over the assets that the deployment lists.

Dagster has no way to ask its server what a selection holds: it parses them in the process that has the code. The
language is small, so it is read here, by hand: a parser generator's library would cost more than these lines, and
could not point at the column. What is said of Dagster was seen in 1.13; the tests ask the installed Dagster itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from daglab import errors, parse
from daglab.deployment import entities

TOKEN = re.compile(
    r"""(?P<quoted> "[^"\\\n\r]*" ) | (?P<word> [A-Za-z_*][A-Za-z0-9_/*]* ) | (?P<digits> [0-9]+ )
    | (?P<null> <null> ) | (?P<sign> [=+:(),] )""",
    re.VERBOSE,
)
# One key with what is above and below it, as in `*orders+`: the older language, which has no fields.
CLAUSE = re.compile(r"(\*?\+*)([./\w\[\]?-]+)(\+*\*?)")
BLANK = " \t\r\n"
OPERATORS = ("and", "or", "not", "AND", "OR", "NOT")
FUNCTIONS = ("sinks", "roots")
FIELDS = ("key", "group", "kind", "tag", "owner", "code_location", "partitions", "is", "job")
# Dagster+ keeps what the first six ask for; no asset says which sensors and schedules it is of before Dagster 1.8.
DAGSTER_PLUS = ("status", "column", "table_name", "column_tag", "changed_in_branch", "automation_type")
UNKNOWN_TO_ASSETS = ("sensor", "schedule")
RESERVED = {*OPERATORS, *FUNCTIONS, *FIELDS, *DAGSTER_PLUS} - {"job"}  # the others have to be quoted as a value
PARTITIONS = {"static": "STATIC", "dynamic": "DYNAMIC", "time": "TIME_WINDOW", "multipartitions": "MULTIPARTITIONED"}
KIND_TAG = "dagster/kind/"
ALL = sys.maxsize  # steps: all the way
LONGEST_NUMBER = 19  # digits; Python itself refuses to read very many

Names = frozenset[str]


@dataclass(frozen=True)
class Graph:
    """The assets by name (`a/b`; several locations may have one), and the names right above and below each."""

    assets: Mapping[str, tuple[entities.Asset, ...]]
    above: Mapping[str, Names]
    below: Mapping[str, Names]

    @property
    def made(self) -> Names:
        """Those that Dagster can materialize."""
        return self.where(lambda asset: asset.materializable)

    def where(self, holds: Callable[[entities.Asset], bool]) -> Names:
        """The names of the assets for which something holds."""
        return frozenset(name for name, assets in self.assets.items() if any(map(holds, assets)))


Expression = Callable[[Graph], Names]


@dataclass(frozen=True)
class Selection:
    """A selection that was read: `resolve` finds its assets, `fields` are those whose values it compares."""

    text: str
    resolve: Expression
    fields: frozenset[str]


def read(text: str) -> Selection:
    """The selection that a text stands for; of several with commas between them, what any of them holds.

    Raises `WrongUsage` that points at the column of what is wrong, and for a field that can't be answered here.
    """
    parts = [_read_one(text, start, end) for start, end in _parts(text)]
    if len(parts) == 1:
        return parts[0]
    fields = frozenset(field for part in parts for field in part.fields)
    return Selection(text, _union([part.resolve for part in parts]), fields)


def graph(assets: Iterable[entities.Asset]) -> Graph:
    """The graph of assets; a dependency that is no asset itself is left out."""
    found: dict[str, list[entities.Asset]] = {}
    for asset in assets:
        found.setdefault(asset.name, []).append(asset)
    above = {
        name: frozenset(other for asset in same for other in asset.dependencies if other in found)
        for name, same in found.items()
    }
    below: dict[str, set[str]] = {name: set() for name in found}
    for name, others in above.items():
        for other in others:
            below[other].add(name)
    return Graph(
        {name: tuple(same) for name, same in found.items()},
        above,
        {name: frozenset(others) for name, others in below.items()},
    )


def select(selection: Selection, assets: Collection[entities.Asset]) -> list[entities.Asset]:
    """The assets that a selection holds, in their order. Raises `InvalidInput` for a key that is not there."""
    try:
        names = selection.resolve(graph(assets))
    except RecursionError:
        raise _too_deep() from None
    return [asset for asset in assets if asset.name in names]


def check_fields(selection: Selection, workspace: entities.Workspace) -> None:
    """Raise `NotSetUp` for a field whose values this version of Dagster does not tell."""
    for field, name in (("tag", "tags"), ("owner", "owners")):
        if field in selection.fields and name not in workspace.asset_fields:
            raise errors.NotSetUp(
                f"Dagster {workspace.version} does not tell the {name} of assets, and {field}: compares them.",
                "Use Dagster 1.8 or newer, or select by key, group, kind or code_location.",
            )


def _parts(text: str) -> list[tuple[int, int]]:
    """Where each selection of a list begins and ends; a comma in quotes does not divide."""
    commas = [match.start() for match in re.finditer(r'"[^"]*"|,', text) if match[0] == ","]
    return list(zip([0, *(at + 1 for at in commas)], [*commas, len(text)], strict=True))


def _read_one(text: str, start: int, end: int) -> Selection:
    part, parser = text[start:end], _Parser(text, start, end)
    try:
        found = Selection(part, parser.everything(), frozenset(parser.fields))
    except RecursionError:
        raise _too_deep() from None
    except errors.WrongUsage:
        if older := _older(part):
            return older
        raise
    for field in parser.fields.intersection((*DAGSTER_PLUS, *UNKNOWN_TO_ASSETS)):
        who = "only Dagster+ knows that" if field in DAGSTER_PLUS else "the list of assets does not tell"
        raise errors.WrongUsage(f"{field}: can't be answered: {who}.", f"Select by {', '.join(FIELDS)}.")
    return found


def _older(part: str) -> Selection | None:
    """What Dagster takes where its grammar fails: one key with `*` and `+` around it, and one tag without quotes."""
    if clause := CLAUSE.fullmatch(part.strip()):
        up, name, down = clause.groups()
        return Selection(part, _around(_key(name), _steps(up), _steps(down)), frozenset())
    key, _, value = part.removeprefix("tag:").partition("=")
    if part.startswith("tag:") and "=" not in value:
        return Selection(part, _tag(key, value), frozenset({"tag"}))
    return None


def _steps(signs: str) -> int | None:
    """How far `++` goes; None for nothing."""
    return ALL if "*" in signs else len(signs) or None


def _too_deep() -> errors.WrongUsage:
    return errors.WrongUsage("The selection is nested too deeply.", "Write it with fewer parentheses.")


class _Parser:
    """Reads one selection, term by term. What is read is a function that finds the names in a graph."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.at = start  # where the token begins
        self.end = end
        self.token = self.kind = ""
        self.fields: set[str] = set()
        self.next()

    def everything(self) -> Expression:
        found = self.any_of()
        if self.kind != "end":
            self.refuse("`and` or `or` is missing")
        return found

    def any_of(self) -> Expression:
        terms = [self.all_of()]
        while self.takes("or", "OR"):
            terms.append(self.all_of())
        return _union(terms)

    def all_of(self) -> Expression:
        terms = [self.term()]
        while self.takes("and", "AND"):
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else lambda graph: frozenset.intersection(*(term(graph) for term in terms))

    def term(self) -> Expression:
        if self.takes("not", "NOT"):
            without = self.term()
            return lambda graph: graph.made - without(graph)
        if self.takes("*"):
            return lambda graph: graph.made
        up = self.steps_up()
        found = self.operand()
        return _around(found, up, self.steps_down())

    def steps_up(self) -> int | None:
        if self.kind == "digits":
            number = self.number()
            self.needs("+", "a + belongs after the number of steps")
            return number
        return ALL if self.takes("+") else None

    def steps_down(self) -> int | None:
        if not self.takes("+"):
            return None
        return self.number() if self.kind == "digits" else ALL

    def operand(self) -> Expression:
        """Something in parentheses, perhaps of a function, or a field with its value."""
        if self.takes("("):
            return self.enclosed()
        for name, function in (("sinks", _sinks), ("roots", _roots)):
            if self.takes(name):
                self.needs("(", f"a ( belongs after {name}")
                return _applied(function, self.enclosed())
        name = self.token
        if self.kind != "word" or name not in (*FIELDS, *DAGSTER_PLUS, *UNKNOWN_TO_ASSETS):
            bare = self.kind == "word" and name not in RESERVED and "*" not in name
            self.refuse(f"a field with a value is missing, as {f'key:{name}' if bare else 'group:mart'}")
        self.next()
        self.needs(":", f"a : belongs after {name}")
        self.fields.add(name)
        return self.field(name)

    def enclosed(self) -> Expression:
        found = self.any_of()
        self.needs(")", "a ) is missing")
        return found

    def field(self, name: str) -> Expression:
        column, value = self.at, self.value(wild=name == "key")
        if name in ("tag", "column_tag"):
            other = self.value() if self.takes("=") else None
            if value is None:
                self.refuse("a tag has a name", column)
            return _tag(value, other or "")
        if name == "is" and value not in ("external", "materializable"):
            self.refuse("it is external or materializable", column)
        return _of_field(name, value)

    def value(self, *, wild: bool = False) -> str | None:
        """A value; None for <null>. Where `wild`, it may hold * without quotes, and is never <null>."""
        word, kind = self.token, self.kind
        refused = RESERVED.union(("*", *UNKNOWN_TO_ASSETS, "job") if wild else ("*",))
        plain = kind == "word" and word not in refused and (wild or "*" not in word)
        if not (kind == "quoted" or plain or (kind == "null" and not wild)):
            self.refuse("a value is missing; one that holds more than letters, digits, _ and / has to be quoted")
        self.next()
        return None if kind == "null" else word.strip('"')

    def number(self) -> int:
        number = int(self.token) if len(self.token) < LONGEST_NUMBER else ALL
        self.next()
        return number

    def takes(self, *words: str) -> bool:
        """Whether the token is one of these; then the next one is looked at."""
        if self.kind not in ("word", "sign") or self.token not in words:
            return False
        self.next()
        return True

    def needs(self, sign: str, problem: str) -> None:
        if not self.takes(sign):
            self.refuse(problem)

    def next(self) -> None:
        """Go on to the next token; at its end the text has an empty one."""
        self.at += len(self.token)
        while self.at < self.end and self.text[self.at] in BLANK:
            self.at += 1
        found = TOKEN.match(self.text, self.at, self.end)
        self.token, self.kind = (found[0], str(found.lastgroup)) if found else ("", "end")
        if not found and self.at < self.end:
            self.refuse("this can't stand here without quotes")

    def refuse(self, problem: str, column: int | None = None) -> NoReturn:
        """Raise `WrongUsage` that points at the token, or at another column, from 0 on."""
        column = self.at if column is None else column
        shown = "".join(letter if letter.isprintable() else " " for letter in self.text)
        raise errors.WrongUsage(
            f"The selection is not valid at column {column + 1}: {problem}.\n  {shown}\n  {' ' * column}^",
            f'Fields are {", ".join(FIELDS)}, as in: group:mart and not key:"raw_*"',
        )


def _union(terms: Sequence[Expression]) -> Expression:
    return terms[0] if len(terms) == 1 else lambda graph: frozenset().union(*(term(graph) for term in terms))


def _applied(function: Callable[[Graph, Names], Names], found: Expression) -> Expression:
    return lambda graph: function(graph, found(graph))


def _around(found: Expression, up: int | None, down: int | None) -> Expression:
    """With what is so many steps above and below; None for not at all. Nothing external comes from above."""
    if up is None and down is None:
        return found

    def names(graph: Graph) -> Names:
        start = found(graph)
        above = _within(start, graph.above, up) & graph.made if up is not None else frozenset()
        return above | (_within(start, graph.below, down) if down is not None else frozenset())

    return names


def _within(start: Names, edges: Mapping[str, Names], steps: int) -> Names:
    """What is at most so many steps along the edges from the start, which is 0 steps away."""
    reached, fresh = set(start), set(start)
    while fresh and steps > 0:
        fresh = {other for name in fresh for other in edges[name]} - reached
        reached |= fresh
        steps -= 1
    return frozenset(reached)


def _sinks(graph: Graph, names: Names) -> Names:
    """Those that nothing else of them is made from, at whatever remove."""
    return names - _beyond(names, graph.above)


def _roots(graph: Graph, names: Names) -> Names:
    """Those that are made from nothing else of them, at whatever remove."""
    return names - _beyond(names, graph.below)


def _beyond(names: Names, edges: Mapping[str, Names]) -> Names:
    """What is one step or more from one of the names; that an asset needs itself does not count."""
    first = frozenset(other for name in names for other in edges[name] if other != name)
    return _within(first, edges, ALL)


def _key(name: str) -> Expression:
    def names(graph: Graph) -> Names:
        if name not in graph.assets:
            near = parse.did_you_mean(name, graph.assets)
            hint = near or "`daglab discover --filter assets` lists the assets there are."
            raise errors.InvalidInput(f"There is no asset {name}.", hint)
        return frozenset({name})

    return names


def _tag(key: str, value: str) -> Expression:
    kind = key.removeprefix(KIND_TAG) if key.startswith(KIND_TAG) else None  # kept apart from the tags

    def holds(asset: entities.Asset) -> bool:
        found = asset.tags.get(key) if kind is None else "" if kind in asset.kinds else None
        return asset.materializable and found == value

    return lambda graph: graph.where(holds)


def _is_like(name: str, first: str, others: Sequence[str]) -> bool:
    """Whether a name is `first`, then anything and each of the `others` in turn: a star stands between them."""
    if not others:
        return name == first
    *middle, last = others
    if not name.startswith(first):
        return False
    place = len(first)
    for part in middle:
        if (found := name.find(part, place)) < 0:
            return False
        place = found + len(part)
    return name.endswith(last) and len(name) - len(last) >= place


def _of_field(field: str, value: str | None) -> Expression:
    """The assets whose field has the value; None asks for those without one, where a field may lack it."""
    first, *others = (value or "").split("*")

    def holds(asset: entities.Asset) -> bool:
        if field == "key":
            return _is_like(asset.name, first, others)
        if field == "group":
            return asset.materializable and bool(value) and _is_like(asset.group or "default", first, others)
        if field == "kind":
            return asset.materializable and (not asset.kinds if value is None else value in asset.kinds)
        if field == "partitions":
            return asset.partitions == PARTITIONS.get(value or "", None if value in (None, "none") else "")
        if field == "is":
            return asset.materializable == (value == "materializable")
        if field == "code_location":
            repository, _, location = (value or "").rpartition("@")
            return asset.location == location and repository in ("", asset.repository)
        return value in (asset.owners if field == "owner" else asset.jobs)

    return lambda graph: graph.where(holds)
