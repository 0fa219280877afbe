"""ipywidgets in a notebook: what marimo has too becomes marimo's, made in one cell and read in another."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from daglab.migrating import cells, edits
from daglab.migrating.displaying import controls, interacts, meanings, shown
from daglab.migrating.displaying.rewriting import Source, arguments, upwards

# In no Python: where a cell is divided; after the second, what is before is shown as a cell's end is.
_CUT, _SHOWN = "\0", "\1"
_STACKS = {"ipywidgets.HBox": "hstack", "ipywidgets.VBox": "vstack", "ipywidgets.Box": "hstack"}
_PLAIN = {"ipywidgets.HTML": "Html", "ipywidgets.HTMLMath": "md", "ipywidgets.Label": "md"}
_QUIET = {"ipywidgets.Layout", "ipywidgets.fixed"}
_TUPLES = {"ipywidgets.IntRangeSlider", "ipywidgets.FloatRangeSlider", "ipywidgets.SelectMultiple"}
_ROUNDS = 20


def apply(draft: cells.Draft) -> cells.Draft:
    """Turn controls that are made, shown and read into marimo's; all others stay, and the notes say so."""
    if not meanings.mentioned(draft.cells, "ipywidgets"):
        return draft
    book = _read(draft)
    if not any(name.startswith("ipywidgets.") for name in book.found.values()):
        return draft
    book.choose()
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    for cell, tree in zip(draft.cells, book.trees, strict=True):
        if tree is None:
            made.append(cell)
            continue
        code, said = book.rewritten(cell.code, tree)
        number = cell.origins[0] if cell.origins else None
        notes += [cells.Note("widget", text, number, needed) for text, needed in dict.fromkeys(said)]
        made += _parts(cell, code)
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def _parts(cell: cells.Cell, code: str) -> Iterator[cells.Cell]:
    """The cells that one becomes; what was not the end of it shows nothing, but for controls and what uses them."""
    pieces = re.split(f"({_CUT}|{_SHOWN})", code)
    kept = [(part.strip("\n"), end == _SHOWN) for part, end in zip(pieces[::2], [*pieces[1::2], _SHOWN], strict=True)]
    kept = [(part, shows) for part, shows in kept if part.strip()]
    for part, shows in kept if len(kept) > 1 else [(code, True)]:
        tree = None if shows else edits.parsed(part)
        last = tree.body[-1] if tree and tree.body else None
        quiet = isinstance(last, ast.Expr) and not _displays(last.value) and not shown.hidden(part)
        yield dataclasses.replace(cell, code=f"{part.rstrip()};" if quiet else part)


def _displays(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("display", "print")


def _read(draft: cells.Draft) -> _Book:
    read = list(meanings.each(draft.cells))
    found = {node: meaning for _, _, meant in read for node, meaning in meant.items()}
    return _Book([cell.code for cell in draft.cells], [tree for _, tree, _ in read], found)


@dataclass
class _Book:
    """A notebook's cells, what their names stand for, and which of its widgets become marimo's."""

    codes: list[str]
    trees: list[ast.Module | None]
    found: dict[ast.AST, str]
    chosen: dict[str, ast.Call] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.used = {name for tree in self.trees if tree for name in meanings.names(tree)}
        self.functions = {
            node.name: node for tree in self.trees if tree for node in tree.body if isinstance(node, ast.FunctionDef)
        }

    def meaning(self, node: ast.AST) -> str:
        """What a call calls."""
        return self.found.get(node.func, "") if isinstance(node, ast.Call) else ""

    def choose(self) -> None:
        """Keep the widgets of which all uses are known, until none is lost any more."""
        stored: dict[str, int] = {}
        for tree in self.trees:
            for node in ast.walk(tree) if tree else ():
                for each in meanings.bound(node) | ({node.arg} if isinstance(node, ast.arg) else set()):
                    stored[each] = stored.get(each, 0) + 1
        for tree in self.trees:
            for node in tree.body if tree else ():
                name = _target(node)
                if name and stored.get(name) == 1 and not name.startswith("_"):
                    value = node.value  # type: ignore[attr-defined]
                    if isinstance(value, ast.Call) and self._known(value):
                        self.chosen[name] = value
        for _ in range(_ROUNDS):
            lost = self._lost()
            if not lost:
                return
            self.chosen = {name: call for name, call in self.chosen.items() if name not in lost}
        self.chosen = {}

    def _known(self, call: ast.Call) -> bool:
        name = self.meaning(call)
        if name in _STACKS:
            return _children(call) is not None
        if name in _PLAIN:
            return len(arguments(call, "value") or ()) == 1
        return controls.known(call, name.removeprefix("ipywidgets."))

    def _lost(self) -> set[str]:
        """Widgets that are used in a way that marimo's don't know, or made where they can't be read."""
        lost: set[str] = set()
        for code, tree in zip(self.codes, self.trees, strict=True):
            if tree is None:
                continue
            allowed = self._allowed(code, tree)
            lost |= {
                node.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node not in allowed
            } & set(self.chosen)
            if self._cuts(Source(code), tree) is None:
                lost |= {name for node in tree.body if (name := _target(node)) in self.chosen}
        for name, call in self.chosen.items():
            if self.meaning(call) in _STACKS and not self._stacks(call):
                lost.add(name)
        return lost

    def _allowed(self, code: str, tree: ast.Module) -> set[ast.AST]:
        """Places where a widget's name may stand: read, shown, or in a stack that becomes marimo's."""
        allowed: set[ast.AST] = set()
        stacks = {each for node in (*self.chosen.values(), *self._shown(tree)) for each in self._held(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "value" and isinstance(node.ctx, ast.Load):
                if isinstance(node.value, ast.Name) and self.meaning(self.chosen.get(node.value.id, node)) not in {
                    *_STACKS,
                    *_PLAIN,
                }:
                    allowed.add(node.value)
            elif isinstance(node, ast.Expr):
                allowed.add(node.value)
            elif isinstance(node, ast.Call) and self.meaning(node) == "IPython.display.display":
                allowed.update(node.args)
            elif node in stacks and self.meaning(node) in _STACKS and self._stacks(node):
                allowed.update(_children(node) or ())
        return allowed - self._unreachable(tree)

    def _unreachable(self, tree: ast.Module) -> set[ast.AST]:
        """Names of widgets whose value must be rewritten, where an f-string's parts have no places."""
        if sys.version_info >= (3, 12):
            return set()
        several = {name for name, call in self.chosen.items() if self.meaning(call) in _TUPLES}
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)) if several else ()
        return {each for text in texts for each in ast.walk(text) if isinstance(each, ast.Name) and each.id in several}

    def _shown(self, tree: ast.Module) -> set[ast.AST]:
        """What a cell shows, or hands to display()."""
        found: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):
                found.add(node.value)
            elif self.meaning(node) == "IPython.display.display":
                found.update(node.args)  # type: ignore[attr-defined]
        return found

    def _inline(self, call: ast.Call) -> bool:
        """Whether a widget that is shown where it is made becomes marimo's."""
        if self.meaning(call) in _STACKS:
            return self._stacks(call)
        return self.meaning(call).startswith("ipywidgets.") and self._known(call)

    def _held(self, call: ast.AST) -> Iterator[ast.Call]:
        """The widgets that are made within a box, at any depth, and the box."""
        waiting = [call]
        while waiting:
            each = waiting.pop()
            if isinstance(each, ast.Call):
                yield each
                waiting += (_children(each) or ()) if self.meaning(each) in _STACKS else ()

    def _stacks(self, call: ast.Call) -> bool:
        """Whether all that a box holds becomes marimo's."""
        children = _children(call)
        return children is not None and all(
            each.id in self.chosen if isinstance(each, ast.Name) else isinstance(each, ast.Call) and self._inline(each)
            for each in children
        )

    def _cuts(self, source: Source, tree: ast.Module) -> list[ast.stmt] | None:
        """The statements before which a cell is divided, as marimo's controls are not read where they are made."""
        names = {name for node in tree.body if (name := _target(node)) and name in self.chosen}
        if not names:
            return []
        readers = shown.calling(
            [tree],
            lambda node: (
                isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
            ),
        )
        cuts: list[ast.stmt] = []
        made: set[str] = set()
        for node in tree.body:
            reads = any(
                (isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in readers)
                or (isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in made)
                for each in shown.at_once(node)
            )
            if reads and made:
                if node.col_offset or not _apart(tree, node):
                    return None
                cuts.append(node)
                made = set()
            name = _target(node)
            if name in names:
                made.add(str(name))
        return cuts

    def rewritten(self, code: str, tree: ast.Module) -> tuple[str, list[tuple[str, bool]]]:
        """A cell's code with marimo's controls, and what is to be said of it."""
        source = Source(code)
        said: list[tuple[str, bool]] = []
        mine: set[ast.AST] = set(self.chosen.values())
        mine |= {node for node in self._shown(tree) if isinstance(node, ast.Call) and self._inline(node)}
        mine = {each for node in mine for each in self._held(node)}
        cuts = set(self._cuts(source, tree) or ())
        top = set(tree.body)
        done: set[ast.AST] = set()
        for node in upwards(tree):
            if node in mine:
                source.replace(node, self._text(source, node))  # type: ignore[arg-type]
                said.append((f"{self.meaning(node).removeprefix('ipywidgets.')} became marimo's.", False))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in self.chosen:
                call = self.chosen[node.value.id]
                if self.meaning(call) in _TUPLES:
                    source.replace(node, f"tuple({source.text(node)})")
            elif node in top:
                done |= self._interact(source, node, said)
            if node in cuts:
                begin = source.span(node)[0]
                source.made.append(edits.Edit(begin, begin, _CUT))
        for node in ast.walk(tree):
            name = self.meaning(node)
            if name.startswith("ipywidgets.") and name not in _QUIET and node not in mine | done:
                what = name.removeprefix("ipywidgets.")
                said.append(
                    (
                        f"{what} stays ipywidgets', which marimo does not show: make it a control of mo.ui by hand.",
                        True,
                    )
                )
        return source.edited(), said

    def _text(self, source: Source, call: ast.Call) -> str:
        """The text of marimo's counterpart, which is known to be there."""
        name = self.meaning(call)
        if name in _PLAIN:
            given = arguments(call, "value") or {}
            return f"daglab__mo.{_PLAIN[name]}({source.text(given['value'])})"
        if name in _STACKS:
            each = ", ".join(source.text(child) for child in _children(call) or ())
            return f"daglab__mo.{_STACKS[name]}([{each}])"
        known = controls.control(source.text, call, name.removeprefix("ipywidgets."))
        return known.text if known else source.text(call)

    def _interact(self, source: Source, node: ast.stmt, said: list[tuple[str, bool]]) -> set[ast.AST]:
        """`interact(f, ...)` and `@interact(...)` in the notebook's own rows, in two cells; the calls that are done."""
        call = _interacting(node)
        if call is None or self.meaning(call) not in interacts.INTERACT:
            return set()
        own: ast.FunctionDef | ast.Lambda | None
        if isinstance(node, ast.FunctionDef):
            own, text = node, node.name
        else:
            first = call.args[0]
            own = first if isinstance(first, ast.Lambda) else self.functions.get(getattr(first, "id", ""))
            text = f"({source.text(first)})" if isinstance(first, ast.Lambda) else source.text(first)
        if own is None or (isinstance(own, ast.Lambda) and _CUT in text):
            return set()
        known = interacts.read(source, call, self.found, own, text)
        begin = source.places.at((call if isinstance(node, ast.FunctionDef) else node).lineno, 0)
        end = _line_end(source, node)
        if known is None or end is None or node.col_offset:
            return set()
        name = f"{text}_controls" if text.isidentifier() else "controls"
        while name in self.used:
            name += "_"
        self.used.add(name)
        made, called = known.texts(name)
        if isinstance(node, ast.FunctionDef):
            source.made.append(edits.Edit(begin, source.places.at(node.lineno, 0), ""))
            source.made.append(edits.Edit(end, end, f"\n\n\n{made}\n{_SHOWN}{called}\n{_SHOWN}"))
        else:
            source.made = [edit for edit in source.made if not begin <= edit.start < end]
            source.made.append(edits.Edit(begin, end, f"{made}\n{_SHOWN}{called}\n{_SHOWN}"))
        said.append(("interact() became controls, and a cell that calls the function with their values.", False))
        return {call, *(keyword.value for keyword in call.keywords)}


def _target(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _children(call: ast.Call) -> list[ast.expr] | None:
    """What a box holds, of a list that stands there."""
    given = [*call.args, *(each.value for each in call.keywords if each.arg == "children")]
    if len(given) != 1 or any(each.arg not in ("children", "layout") for each in call.keywords):
        return None
    return given[0].elts if isinstance(given[0], (ast.List, ast.Tuple)) else None


def _interacting(node: ast.stmt) -> ast.Call | None:
    """The call in `interact(f, ...)`, or in the only decorator of a function."""
    if isinstance(node, ast.FunctionDef) and len(node.decorator_list) == 1:
        only = node.decorator_list[0]
        return only if isinstance(only, ast.Call) and not only.args else None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and len(node.value.args) == 1:
        return node.value
    return None


def _line_end(source: Source, node: ast.stmt) -> int | None:
    """Where the line ends in which a statement does; None if another follows there."""
    end = source.span(node)[1]
    at = source.code.find("\n", end)
    rest = source.code[end : at if at >= 0 else None].strip().lstrip(";").strip()
    return None if rest and not rest.startswith("#") else (at if at >= 0 else len(source.code))


def _apart(tree: ast.Module, node: ast.stmt) -> bool:
    """Whether no name that marimo keeps to its cell is needed on both sides."""
    at = tree.body.index(node)
    before = {name for each in tree.body[:at] for name in _private(each)}
    return not before & {name for each in tree.body[at:] for name in _private(each)}


def _private(node: ast.stmt) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and each.id.startswith("_")}
