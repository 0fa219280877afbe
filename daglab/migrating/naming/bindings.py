"""What a cell's code does with the names of the notebook: binds, reads, deletes them, at once or when it is called.

Names of functions' own, of comprehensions and of class bodies are not the notebook's. Nothing is executed.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from daglab.migrating import edits
from daglab.migrating.naming import calls, scopes

VALUE, RESULT, NOTHING = "value", "result", "nothing"  # what of a name's function goes on into the result


@dataclass(eq=False)
class Unit:
    """Code that runs when it is called, and what it does with the notebook's names then.

    `values` are the names whose value may go on from it, `leaks` says that it may hand out itself or a part of it.
    """

    reads: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    leaks: bool = False

    @property
    def names(self) -> set[str]:
        """All that it may touch."""
        return self.reads | self.writes


@dataclass(eq=False)
class Mention:
    """A place where a name of the notebook stands; `unit` is the deferred code that it stands in.

    `how` is "read", "bind", "delete" or "declare" (an annotation without a value).
    """

    name: str
    node: ast.AST
    how: str
    unit: Unit | None


@dataclass(frozen=True)
class Event:
    """What happens at once: `how` is "read", "bind", "maybe" (bound perhaps) or "delete"; `flow` says what goes on."""

    how: str
    name: str
    flow: str = VALUE


@dataclass
class Step:
    """A statement, or the head of one: events in their order, the code it makes, then its branches.

    `kind` is "plain", "if" (one branch or none), "choice" (one of them surely), "loop", "try" or "dead" (nothing
    follows). `made` is code that it keeps, `run` what runs at once; `receivers` may keep what is given to them;
    `hands` says that the result of a call is dropped, `calls` that something is called, `alias` that a name is bound
    to another's value; `surely` is what a loop binds in any case.
    """

    kind: str = "plain"
    events: list[Event] = field(default_factory=list)
    made: list[Unit] = field(default_factory=list)
    run: list[Unit] = field(default_factory=list)
    receivers: set[str] = field(default_factory=set)
    hands: bool = False
    calls: bool = False
    surely: set[str] = field(default_factory=set)
    alias: bool = False
    branches: list[list[Step]] = field(default_factory=list)


@dataclass
class Binding:
    """All that is known of one cell's names.

    `imports` are imported names at the top of the cell, by what they mean; `phantoms` are local names of functions that
    marimo takes for the notebook's; `texts` are words in strings that name variables when they run; `computed` says
    that such a string is made then; `attributes` are names that class bodies bind; `supers` are each class's
    own name in `super(Name, self)`.
    """

    tree: ast.Module
    steps: list[Step]
    mentions: list[Mention]
    imports: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    phantoms: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    computed: bool = False
    attributes: set[str] = field(default_factory=set)
    supers: set[ast.AST] = field(default_factory=set)

    def means_own_class(self, mention: Mention) -> bool:
        """Whether a function has a name in `super(Name, self)` alone: any other class than its own is a TypeError."""
        return mention.node in self.supers and all(
            each.node in self.supers
            for each in self.mentions
            if each.unit is mention.unit and each.name == mention.name
        )

    @property
    def bound(self) -> set[str]:
        """The names that marimo takes for defined here."""
        return {each.name for each in self.mentions if each.how in ("bind", "declare")}

    @property
    def mentioned(self) -> set[str]:
        """All names of the notebook that stand in it."""
        return {each.name for each in self.mentions}


def lines(code: str) -> str:
    """A cell's text with its lines ended as Python counts them."""
    return code.replace("\r\n", "\n").replace("\r", "\n")


def read(code: str, kept: Collection[str] = ()) -> Binding | None:
    """What a cell binds and reads; None for what is no Python, or too deep to be looked at.

    `kept` are calls that may keep the functions given to them, whatever their names promise.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes
            tree = ast.parse(code)
        reader = _Reader(calls.EAGER.difference(kept))
        steps = reader.block(tree.body)
    except edits.TOO_MUCH:
        return None
    found = Binding(tree, steps, reader.mentions, phantoms=reader.phantoms, attributes=reader.attributes)
    found.supers = set(_supers(tree))
    for statement in tree.body:
        for name, meaning in scopes.imported(statement):
            found.imports.setdefault(name, set()).add(meaning)
    return found


def _supers(tree: ast.Module) -> Iterator[ast.AST]:
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
                    yield from (each for each in node.args[:1] if getattr(each, "id", None) == statement.name)


class _Reader(scopes.Resolver):
    """Walks a cell's code in the order in which Python evaluates it."""

    def __init__(self, eager: Collection[str]) -> None:
        super().__init__()
        self.eager = eager
        self.mentions: list[Mention] = []
        self.unit: Unit | None = None
        self.step = Step()
        self.flow = VALUE
        self.perhaps = False

    def block(self, body: Iterable[ast.stmt]) -> list[Step]:
        """The steps of a row of statements."""
        steps: list[Step] = []
        for statement in body:
            steps += self.statement(statement)
        return steps

    def statement(self, node: ast.stmt) -> list[Step]:
        """The steps of a statement."""
        compound = getattr(self, f"_{type(node).__name__.lower()}", None)
        if compound is not None:
            return list(compound(node))
        step = self.atom(node)
        if isinstance(node, (ast.Raise, ast.Break, ast.Continue)):
            step.kind = "dead"
        return [step]

    def atom(self, *nodes: ast.AST | None, kind: str = "plain") -> Step:
        """One step of what has no statements in it."""
        before, self.step = self.step, Step(kind)
        for node in nodes:
            if node is not None:
                self.visit(node)
        made, self.step = self.step, before
        if len(nodes) == 1:
            node = nodes[0]
            made.hands = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            made.alias = isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        return made

    # Statements with statements in them.
    def _if(self, node: ast.If) -> Iterator[Step]:
        step = self.atom(node.test, kind="choice")
        step.branches = [self.block(node.body), self.block(node.orelse)]
        yield step

    def _for(self, node: ast.For | ast.AsyncFor) -> Iterator[Step]:
        step = self.atom(node.iter, kind="loop")
        carried = [Event("read", each.name, each.flow) for each in step.events if each.how == "read"]
        target = self.atom(node.target)
        target.events[:0] = carried
        step.branches = [[target, *self.block(node.body)]]
        if _never_empty(node.iter):
            step.surely = {each.name for each in target.events if each.how == "bind"}
        yield step
        yield from self.block(node.orelse)

    _asyncfor = _for

    def _while(self, node: ast.While) -> Iterator[Step]:
        step = self.atom(node.test, kind="loop")
        step.branches = [self.block(node.body)]
        yield step
        yield from self.block(node.orelse)

    def _with(self, node: ast.With | ast.AsyncWith) -> Iterator[Step]:
        parts: list[ast.AST | None] = []
        for item in node.items:
            parts += [item.context_expr, item.optional_vars]
        step = self.atom(*parts)
        yield step
        body = self.block(node.body)
        if any(_swallows(item.context_expr) for item in node.items):
            yield Step("if", branches=[body])
        else:
            yield from body

    _asyncwith = _with

    def _try(self, node: ast.Try) -> Iterator[Step]:
        step = Step("try")
        step.branches = [[*self.block(node.body), *self.block(node.orelse)]]
        for handler in node.handlers:
            head = self.atom(handler.type)
            with self.hidden(handler.name):
                step.branches.append([head, *self.block(handler.body)])
        yield step
        yield from self.block(node.finalbody)

    _trystar = _try

    def _match(self, node: ast.Match) -> Iterator[Step]:
        step = self.atom(node.subject, kind="choice")
        for case in node.cases:
            before, self.perhaps = self.perhaps, True
            head = self.atom(case.pattern)
            self.perhaps = before
            sure = self.atom(case.guard)
            bound = Step(events=[Event("bind", each.name) for each in head.events if each.how == "maybe"])
            step.branches.append([head, bound, sure, *self.block(case.body)])
        if not any(scopes.takes_all(case) for case in node.cases):
            step.branches.append([])
        yield step

    def _functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[Step]:
        step = self.atom(node)
        step.calls = step.calls or bool(scopes.decorators(node) - calls.TAME)
        yield step

    _asyncfunctiondef = _functiondef
    _classdef = _functiondef

    # What marimo and Python make of a name.
    def met(self, name: str, node: ast.AST, how: str) -> None:
        """A name of the notebook stands here."""
        self.mentions.append(Mention(name, node, how, self.unit))
        if how == "global":
            return
        if self.unit is not None:
            (self.unit.reads if how == "read" else self.unit.writes).add(name)
            if how == "read" and self.flow == VALUE:
                self.unit.values.add(name)
            return
        kind = {"declare": "maybe", "bind": "maybe" if self.perhaps else "bind"}.get(how, how)
        self.step.events.append(Event(kind, name, self.flow))

    def deferred(self, nodes: Iterable[ast.AST], leaks: bool = False) -> None:
        """Code that is run later, or now and then."""
        before = self.unit
        if before is None:
            method = any(scope.kind == "class" for scope in self.stack)
            self.unit = Unit(leaks=leaks or method)  # what a class makes has its methods
            (self.step.run if self.flow == NOTHING else self.step.made).append(self.unit)
        else:
            before.leaks = before.leaks or self.flow == VALUE
        flow, self.flow = self.flow, VALUE
        for node in nodes:
            if isinstance(node, ast.stmt):
                self.statement_in_function(node)
            else:
                self.visit(node)
        self.flow = flow
        self.unit = before

    def statement_in_function(self, node: ast.stmt) -> None:
        """Statements of a function's body need no steps."""
        self.visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """What follows the first may not be evaluated."""
        self.visit(node.values[0])
        self._maybe(node.values[1:])

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """One of two is evaluated."""
        self.visit(node.test)
        self._maybe([node.body, node.orelse])

    def _maybe(self, nodes: Iterable[ast.AST]) -> None:
        before, self.perhaps = self.perhaps, True
        for node in nodes:
            self.visit(node)
        self.perhaps = before

    def visit_Call(self, node: ast.Call) -> None:
        """What of the functions named in a call may be kept by its result."""
        before = self.flow
        name = scopes.last_name(node.func)
        self.step.calls = self.step.calls or self.unit is None
        if isinstance(node.func, ast.Name):
            self.flow = RESULT if before == VALUE else before
            self.visit(node.func)
        else:
            self.visit(node.func)
            if name not in self.eager and self.unit is None:
                self.step.receivers.update(scopes.roots([node.func]))
        lazy = name in calls.LAZY and (isinstance(node.func, ast.Name) or _of_itertools(node.func))
        for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
            done = (name in self.eager and not lazy) or (name in calls.CONSUMERS and _consumed(value))
            self.flow = NOTHING if done or before == NOTHING else VALUE
            if isinstance(value, ast.GeneratorExp) and (name in calls.CONSUMERS or name in self.eager):
                self.now(value)
            else:
                self.visit(value)
        self.flow = before

    def visit_Assign(self, node: ast.Assign) -> None:
        """The value, then what is bound."""
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)
            self._receives(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """A name is read, and bound."""
        if isinstance(node.target, ast.Name) and self.resolves(node.target.id):
            if self.unit is None:
                self.step.events.append(Event("read", node.target.id))
            else:
                self.unit.reads.add(node.target.id)
        self.visit(node.value)
        self.visit(node.target)
        self._receives(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Without a value nothing is bound, though marimo takes it for a definition."""
        if node.value is not None:
            self.visit(node.value)
        if self.annotates:
            self.visit(node.annotation)
        if node.value is None and isinstance(node.target, ast.Name):
            self.store(node.target.id, node.target, "declare")
        else:
            self.visit(node.target)

    def _receives(self, target: ast.AST) -> None:
        if self.unit is None and isinstance(target, (ast.Attribute, ast.Subscript)):
            self.step.receivers.update(scopes.roots([target]))


def _of_itertools(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and scopes.last_name(node.value) == "itertools"


def _consumed(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls.LAZY


def _never_empty(node: ast.expr) -> bool:
    """A literal with something in it, or range of one number above zero."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return any(not isinstance(each, ast.Starred) for each in node.elts)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, bytes)) and bool(node.value)
    return False


def _swallows(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    return scopes.last_name(called) not in ("open",)
