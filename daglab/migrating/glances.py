"""What a cell binds and reads of the notebook's names, at a glance: no branch is followed, no call."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Glance:
    """Names of the notebook: `bound` by a cell, `read` before the cell itself binds them, `later` within functions.

    `used` are all that it reads, wherever. `bound` holds those that a function declares global, too.
    """

    bound: frozenset[str]
    read: frozenset[str]
    later: frozenset[str]
    used: frozenset[str]
    deleted: frozenset[str] = frozenset()


def at(tree: ast.Module) -> Glance:
    """Look at a cell's tree, of any depth."""
    visitor = _Visitor()
    try:
        visitor.visit(tree)
    except RecursionError:
        return _shallow(tree)
    return Glance(
        frozenset(visitor.bound),
        frozenset(visitor.read),
        frozenset(visitor.later),
        frozenset(visitor.used),
        frozenset(visitor.deleted),
    )


def _shallow(tree: ast.Module) -> Glance:
    """For what is nested too deeply to be walked through: every name counts."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = frozenset(node.id for node in names if isinstance(node.ctx, ast.Store))
    used = frozenset(node.id for node in names if isinstance(node.ctx, ast.Load))
    return Glance(bound, used - bound, frozenset(), used)


class _Visitor(ast.NodeVisitor):
    """Walks in the order of execution. `inner` are the names of the scopes that we are in, besides the notebook's."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.read: set[str] = set()
        self.later: set[str] = set()
        self.used: set[str] = set()
        self.deleted: set[str] = set()
        self.inner: list[set[str]] = []
        self.in_function = 0

    # names

    def binds(self, name: str) -> None:
        if self.inner:
            self.inner[-1].add(name)
        else:
            self.bound.add(name)
            self.deleted.discard(name)

    def reads(self, name: str) -> None:
        if any(name in scope for scope in self.inner):
            return
        self.used.add(name)
        if self.in_function:
            self.later.add(name)
        elif name not in self.bound or name in self.deleted:
            self.read.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.reads(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.binds(node.id)
        elif not self.inner:
            self.reads(node.id)
            self.deleted.add(node.id)

    # statements whose fields stand in another order than they are executed

    def visit_Assign(self, node: ast.Assign) -> None:
        self.each([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.each([node.value, node.annotation])
        if node.value is not None:
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.reads(node.target.id)
        self.each([node.value, node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.each([node.value, node.target])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.each([node.iter, node.target, *node.body, *node.orelse])

    visit_AsyncFor = visit_For

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                name = alias.asname or alias.name
                self.binds(name if alias.asname or isinstance(node, ast.ImportFrom) else name.partition(".")[0])

    visit_ImportFrom = visit_Import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.each([node.type])
        if node.name:
            self.binds(node.name)
        self.each(node.body)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.each([node.pattern])
        if node.name:
            self.binds(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.binds(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self.binds(node.rest)

    # scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        rest = [each for each in (arguments.vararg, arguments.kwarg) if each]
        self.each([*getattr(node, "decorator_list", []), *arguments.defaults, *arguments.kw_defaults])
        self.each([*(each.annotation for each in (*named, *rest)), getattr(node, "returns", None)])
        body = node.body if isinstance(node.body, list) else [node.body]
        declared, local = _locals(body)
        self.bound |= declared
        self.inner.append((local | {each.arg for each in (*named, *rest)}) - declared)
        self.in_function += 1
        self.each(body)
        self.in_function -= 1
        self.inner.pop()
        if not isinstance(node, ast.Lambda):
            self.binds(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_Lambda = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.each([*node.decorator_list, *node.bases, *node.keywords])
        self.inner.append(set())
        self.each(node.body)
        self.inner.pop()
        self.binds(node.name)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)
        targets = [each.target for each in node.generators]
        self.inner.append({each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)})
        for index, each in enumerate(node.generators):
            self.each([each.iter] if index else [])
            self.each(each.ifs)
        self.each([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.inner.pop()

    visit_SetComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp
    visit_DictComp = visit_ListComp

    def each(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)


def _locals(body: Sequence[ast.AST]) -> tuple[set[str], set[str]]:
    """What a function declares global, and what it binds, in inner scopes too, which is enough for a glance."""
    declared, local = set(), set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Global):
                declared |= set(node.names)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                local.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                local.add(node.name)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                local |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ExceptHandler) and node.name:
                local.add(node.name)
    return declared, local
