"""Python's scopes: whose a name is, the notebook's or a function's, a class's, a comprehension's own."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(eq=False)
class Scope:
    """Names of a function's, class's or comprehension's own; `seen` are those bound so far in the text."""

    kind: str
    own: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)


class Resolver(ast.NodeVisitor):
    """Tells names of the notebook from others; `met` is called for each of them, in the order of evaluation."""

    def __init__(self) -> None:
        self.stack: list[Scope] = []
        self.handlers: list[str] = []
        self.phantoms: set[str] = set()
        self.attributes: set[str] = set()

    def met(self, name: str, node: ast.AST, how: str) -> None:
        """A name of the notebook stands here."""
        raise NotImplementedError

    def deferred(self, nodes: Iterable[ast.AST], leaks: bool = False) -> None:
        """These nodes are run later."""
        raise NotImplementedError

    @property
    def annotates(self) -> bool:
        """Whether annotations of variables are evaluated here: not in functions."""
        return not any(scope.kind == "function" for scope in self.stack)

    @contextlib.contextmanager
    def hidden(self, name: str | None) -> Iterator[None]:
        """Within a handler its name is neither defined nor read, for marimo."""
        self.handlers.append(name or "")
        yield
        self.handlers.pop()

    @contextlib.contextmanager
    def scope(self, made: Scope) -> Iterator[Scope]:
        """Names are looked up in this scope first."""
        self.stack.append(made)
        yield made
        self.stack.pop()

    def resolves(self, name: str) -> bool:
        """Whether a name means the notebook's here."""
        if name in self.handlers:
            return False
        if name.startswith("__") and not name.endswith("__") and any(each.kind == "class" for each in self.stack):
            return False  # Python makes _Class__name of it
        for depth, scope in enumerate(reversed(self.stack)):
            if name in scope.shared:
                return True
            if scope.kind == "class":
                if depth == 0 and name in scope.seen:
                    return False
            elif name in scope.own:
                if depth == 0 and scope.kind == "function" and name not in scope.seen:
                    self.phantoms.add(name)
                return False
        return True

    def store(self, name: str, node: ast.AST, how: str = "bind") -> None:
        """A name is bound here."""
        if self.stack:
            scope = self.stack[-1]
            scope.seen.add(name)
            if scope.kind == "class" and name not in scope.shared:
                self.attributes.add(name)
                return
        if self.resolves(name):
            self.met(name, node, how)

    def visit_Name(self, node: ast.Name) -> None:
        """A name, read, bound or deleted."""
        if isinstance(node.ctx, ast.Store):
            self.store(node.id, node)
        elif isinstance(node.ctx, ast.Del):
            if self.stack and self.stack[-1].kind == "class" and node.id in self.stack[-1].seen:
                return
            if self.resolves(node.id):
                self.met(node.id, node, "delete")
        elif self.resolves(node.id):
            self.met(node.id, node, "read")

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """In a comprehension it binds outside of it."""
        self.visit(node.value)
        inner = []
        while self.stack and self.stack[-1].kind == "comprehension":
            inner.append(self.stack.pop())
        self.visit(node.target)
        self.stack += reversed(inner)

    def visit_Global(self, node: ast.Global) -> None:
        """The places of the names themselves."""
        for name in node.names:
            if name not in self.handlers:
                self.met(name, node, "global")

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        """What is imported is bound."""
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            if name != "*":
                self.store(name, alias)

    visit_ImportFrom = visit_Import

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        """A pattern that binds."""
        if node.pattern is not None:
            self.visit(node.pattern)
        if node.name is not None:
            self.store(node.name, node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        """The rest of a sequence."""
        if node.name is not None:
            self.store(node.name, node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        """The rest of a mapping."""
        self.generic_visit(node)
        if node.rest is not None:
            self.store(node.rest, node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Handlers within functions."""
        if node.type is not None:
            self.visit(node.type)
        if node.name and self.stack:
            self.stack[-1].seen.add(node.name)
        for each in node.body:
            self.visit(each)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        """What is looped over comes first, though marimo looks at the target before it."""
        if self.stack and self.stack[-1].kind == "function":
            self.stack[-1].seen |= {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)}
        for part in (node.iter, node.target, *node.body, *node.orelse):
            self.visit(part)

    visit_AsyncFor = visit_For

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Decorators, defaults and annotations at once, the body when it is called."""
        for part in node.decorator_list:
            self.visit(part)
        for part in _evaluated(node.args):
            self.visit(part)
        generics = {each.name for each in getattr(node, "type_params", ())}
        with self.scope(Scope("comprehension", set(generics))):
            for argument in _arguments(node.args):
                if argument.annotation is not None:
                    self.visit(argument.annotation)
            if node.returns is not None:
                self.visit(node.returns)
            inner = Scope("function", *_locals(node.body), seen={each.arg for each in _arguments(node.args)})
            inner.own |= inner.seen - inner.shared
            with self.scope(inner):
                self.deferred(node.body, leaks=_hands_out(node))
        self.store(node.name, node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A function in an expression."""
        for part in _evaluated(node.args):
            self.visit(part)
        names = {each.arg for each in _arguments(node.args)}
        with self.scope(Scope("function", set(names), seen=set(names))):
            self.deferred([node.body], leaks=any(isinstance(each, ast.Lambda) for each in ast.walk(node.body)))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body runs at once, its methods later."""
        for part in node.decorator_list:
            self.visit(part)
        generics = {each.name for each in getattr(node, "type_params", ())}
        with self.scope(Scope("comprehension", set(generics))):
            for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
                self.visit(base)
            inner = Scope("class", shared=_locals(node.body)[1])
            with self.scope(inner):
                for each in node.body:
                    self.visit(each)
        self.store(node.name, node)

    def visit_TypeAlias(self, node: ast.AST) -> None:
        """`type X = ...`, evaluated when it is asked for."""
        self.visit(node.name)  # type: ignore[attr-defined]
        generics = {each.name for each in node.type_params}  # type: ignore[attr-defined]
        with self.scope(Scope("function", set(generics), seen=set(generics))):
            self.deferred([node.value], leaks=True)  # type: ignore[attr-defined]

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.DictComp) -> None:
        """Evaluated at once, its loop variables its own."""
        self.now(node)

    visit_SetComp = visit_ListComp
    visit_DictComp = visit_ListComp

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """The first iterable at once, the rest when it is asked for."""
        self.visit(node.generators[0].iter)
        with self._comprehension(node):
            self.deferred(_parts(node)[1:], leaks=True)

    def now(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        """A comprehension whose parts are evaluated here."""
        self.visit(node.generators[0].iter)
        with self._comprehension(node):
            for part in _parts(node)[1:]:
                self.visit(part)

    def _comprehension(self, node: ast.AST) -> contextlib.AbstractContextManager[Scope]:
        own = {
            each.id
            for generator in node.generators  # type: ignore[attr-defined]
            for each in ast.walk(generator.target)
            if isinstance(each, ast.Name)
        }
        return self.scope(Scope("comprehension", own, seen=own))


def _parts(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> list[ast.expr]:
    """What a comprehension evaluates, in its order."""
    parts: list[ast.expr] = []
    for generator in node.generators:
        parts += [generator.iter, generator.target, *generator.ifs]
    return [*parts, node.key, node.value] if isinstance(node, ast.DictComp) else [*parts, node.elt]


def _arguments(node: ast.arguments) -> list[ast.arg]:
    extra = [each for each in (node.vararg, node.kwarg) if each is not None]
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *extra]


def _evaluated(node: ast.arguments) -> list[ast.expr]:
    return [*node.defaults, *(each for each in node.kw_defaults if each is not None)]


def _hands_out(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a call may give back code of its own: a generator, a coroutine."""
    if isinstance(node, ast.AsyncFunctionDef):
        return True
    return any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(node))


class _Own(ast.NodeVisitor):
    """The names that a function's body binds, and those that it declares global."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.shared: set[str] = set()
        self.outer: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.own.add(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.shared.update(node.names)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.own.update(alias.asname or alias.name.split(".")[0] for alias in node.names)

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.own.add(node.name)
        for part in node.decorator_list:
            self.visit(part)
        if not isinstance(node, ast.ClassDef):
            for part in _evaluated(node.args):
                self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ClassDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in _evaluated(node.args):
            self.visit(part)

    def visit_ListComp(self, node: ast.AST) -> None:
        for each in ast.walk(node):
            if isinstance(each, ast.NamedExpr) and isinstance(each.target, ast.Name):
                self.own.add(each.target.id)

    visit_SetComp = visit_ListComp
    visit_DictComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.outer.update(node.names)

    def generic_visit(self, node: ast.AST) -> None:
        name = (
            getattr(node, "name", None) if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) else None
        )
        rest = node.rest if isinstance(node, ast.MatchMapping) else None
        self.own.update(each for each in (name, rest) if each)
        super().generic_visit(node)


def _locals(body: Iterable[ast.stmt]) -> tuple[set[str], set[str]]:
    """What a body binds as its own, and what it declares global."""
    seen = _Own()
    for each in body:
        seen.visit(each)
    return seen.own - seen.shared - seen.outer, seen.shared


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`, `a` of `a`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    """The names of a function's or class's decorators, called or not."""
    return {last_name(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list}


def roots(nodes: Iterable[ast.AST]) -> set[str]:
    """The names at which `a.b[0].c()` and the like begin."""
    found = set()
    for node in nodes:
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call, ast.Starred)):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            found.add(node.id)
    return found


def takes_all(case: ast.match_case) -> bool:
    """Whether a case always matches."""
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None


def imported(statement: ast.stmt) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names that an import binds, and what each of them means."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname is None:
                yield alias.name.split(".")[0], ("import", alias.name.split(".")[0])
            else:
                yield alias.asname, ("import", alias.name)
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            module = "." * statement.level + (statement.module or "")
            yield alias.asname or alias.name, ("from", module, alias.name)
