"""Figures that Jupyter's inline backend shows at the end of a cell, shown by marimo.

That backend shows all figures that are open when a cell ends, and closes them. marimo closes them too, but shows only
what the cell ends in. What `plt.show()` shows stands in marimo's console, which `marimo run` leaves out: where the
outputs tell how many figures there were, the cell ends in them.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping

from daglab.migrating import cells, edits
from daglab.migrating.displaying import meanings, shown
from daglab.migrating.displaying.rewriting import Source

_QUIET = {
    "matplotlib.pyplot": [
        "show",
        "close",
        "style",
        "rcParams",
        "rc",
        "rcdefaults",
        "rc_context",
        "switch_backend",
        "ion",
        "ioff",
        "cm",
        "colormaps",
        "get_cmap",
        "savefig",
        "isinteractive",
        "set_cmap",
        "setp",
        "getp",
        "get_fignums",
        "fignum_exists",
    ],
    "seaborn": [
        "set",
        "set_theme",
        "set_style",
        "set_palette",
        "set_context",
        "load_dataset",
        "color_palette",
        "axes_style",
        "reset_defaults",
        "get_dataset_names",
        "set_color_codes",
        "plotting_context",
        "cubehelix_palette",
        "palettes",
    ],
}
_METHODS = {"plot", "hist", "boxplot"}
_FIGURE = re.compile(r"<(Figure size|matplotlib\.figure\.Figure)")
_DRAWN = re.compile(r"<(Axes|Figure|matplotlib|seaborn)|\[<matplotlib|Text\(|array\(\[+<(Axes|matplotlib)|\(array\(")


def apply(draft: cells.Draft) -> cells.Draft:
    """Add `plt.show()` where a cell leaves figures open, and nothing where the last expression is all there is."""
    if not meanings.mentioned(draft.cells, "matplotlib", "pylab", "seaborn", "pandas"):
        return draft
    known = dict(meanings.BUILTINS)
    found: dict[ast.AST, str] = {}
    trees: list[ast.Module | None] = []
    for _, tree, meant in meanings.each(draft.cells, known):
        trees.append(tree)
        found |= meant
    if not any(name.split(".")[0] in ("matplotlib", "seaborn", "pandas", "pylab") for name in known.values()):
        return draft
    view = _View(found, draft, trees)
    made, notes = [], []
    for cell, tree in zip(draft.cells, trees, strict=True):
        code = view.settled(cell, tree) if tree and tree.body else cell.code
        if code != cell.code:
            notes.append(
                cells.Note("display", "Shows the open figures at its end, as Jupyter does by itself.", _number(cell))
            )
        made.append(dataclasses.replace(cell, code=code))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def _number(cell: cells.Cell) -> int | None:
    return cell.origins[0] if cell.origins else None


class _View:
    """What is known of a notebook's drawing."""

    def __init__(self, found: Mapping[ast.AST, str], draft: cells.Draft, trees: list[ast.Module | None]) -> None:
        self.found = found
        self.recorded = {each.number: each.outputs for each in draft.original.cells}
        self.runs = any(self.recorded.values())
        some = [tree for tree in trees if tree]
        modules = {name.split(".")[0] for name in found.values()}
        self.methods = not modules & {"polars", "hvplot", "holoviews"}
        showing = shown.calling(some, self._show)
        self.drawing = shown.calling(some, self._draws_itself) - showing
        self.showing = showing
        self.parts = {
            target.id
            for tree in some
            for node in edits.walk(tree)
            if isinstance(node, ast.Assign) and self._is_part(node.value)
            for each in node.targets
            for target in edits.walk(each)
            if isinstance(target, ast.Name)
        }
        plain = {"daglab__plt"}
        for tree in some:
            for node in tree.body:
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    plain |= {name for name, full in meanings.imported(node).items() if full == "matplotlib.pyplot"}
        stored = {name for tree in some for node in edits.walk(tree) for name in meanings.bound(node)}
        self.pyplot = min(plain - stored, key=lambda name: (name == "daglab__plt", name))

    def _show(self, node: ast.AST) -> bool:
        return self.found.get(node) in ("matplotlib.pyplot.show", "matplotlib.pyplot.close")

    def _draws_itself(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        name = self.found.get(node.func, "")
        for module, quiet in _QUIET.items():
            if name.startswith(f"{module}."):
                return name.removeprefix(f"{module}.").split(".")[0] not in quiet
        return self.methods and not name and self._method(node.func)

    @staticmethod
    def _method(node: ast.expr) -> bool:
        if not isinstance(node, ast.Attribute):
            return False
        inner = node.value
        return node.attr in _METHODS or (isinstance(inner, ast.Attribute) and inner.attr == "plot")

    def _is_part(self, node: ast.expr) -> bool:
        """Whether an expression gives a drawing or parts of one."""
        while isinstance(node, (ast.Subscript, ast.Starred)):
            node = node.value
        if isinstance(node, ast.Name):
            return node.id in getattr(self, "parts", ())
        if not isinstance(node, ast.Call):
            return False
        attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        return self._draws_itself(node) or attribute in shown.PARTS

    def _draws(self, node: ast.AST, figure: bool) -> bool:
        for each in shown.at_once(node):
            if isinstance(each, ast.Call):
                by_method = not self.found.get(each.func) and isinstance(each.func, ast.Attribute)
                if self._draws_itself(each) and (figure or not by_method or not self.runs):
                    return True
            elif isinstance(each, ast.Name) and each.id in self.drawing and isinstance(each.ctx, ast.Load):
                return True
        return False

    def _shows(self, node: ast.AST) -> bool:
        return any(
            self._show(each) or (isinstance(each, ast.Name) and each.id in self.showing) for each in shown.at_once(node)
        )

    def settled(self, cell: cells.Cell, tree: ast.Module) -> str:
        """The cell's code with `plt.show()` where it is needed."""
        outputs = [each for number in cell.origins for each in self.recorded.get(number, ())]
        drawings = [each for each in outputs if each.get("output_type") == "display_data"]
        drawings = [each for each in drawings if _FIGURE.match(_plain(each))]
        figure = bool(drawings)
        drawn = max((at for at, node in enumerate(tree.body) if self._draws(node, figure)), default=-1)
        seen = max((at for at, node in enumerate(tree.body) if self._shows(node)), default=-1)
        if figure and drawn < 0:
            drawn = len(tree.body) - 1
        if drawn < 0 or seen >= drawn:
            return self._with_own(cell.code, tree, len(drawings))
        return self._with_show(cell.code, tree, outputs, len(drawings) if seen < 0 else 0)

    def _with_own(self, code: str, tree: ast.Module, figures: int) -> str:
        """The code whose own `plt.show()` at the end, where it is the only one, gives way to the figure."""
        last = tree.body[-1]
        call = last.value if isinstance(last, ast.Expr) else None
        if figures != 1 or not isinstance(call, ast.Call) or call.args or call.keywords or shown.hidden(code):
            return code
        if self.found.get(call.func) != "matplotlib.pyplot.show" or any(self._shows(node) for node in tree.body[:-1]):
            return code
        source = Source(code)
        begin, end = source.span(call)
        return f"{code[:begin]}{self._open(1)}{code[end:]}"

    def _open(self, figures: int) -> str:
        """What gives the open figures."""
        several = f"daglab__mo.vstack([{self.pyplot}.figure(_each) for _each in {self.pyplot}.get_fignums()])"
        return f"{self.pyplot}.gcf()" if figures == 1 else several

    def _with_show(self, code: str, tree: ast.Module, outputs: list[Mapping[str, object]], figures: int) -> str:
        last = tree.body[-1]
        show = self._open(figures) if figures else f"{self.pyplot}.show()"
        after = f"{code.rstrip()}\n{show}"
        if not isinstance(last, ast.Expr) or shown.never(last.value) or shown.hidden(code):
            return after
        value = last.value
        if isinstance(value, ast.Name) and value.id in self.parts:
            return code
        results = [_plain(each) for each in outputs if each.get("output_type") == "execute_result"]
        if self._is_part(value) or (outputs and not results) or any(_DRAWN.match(each) for each in results):
            return after
        source = Source(code)
        begin, end = source.span(last)
        if source.places.at(last.lineno, 0) != begin:
            return after
        if figures and results:
            text = source.text(value)
            text = f"({text})" if isinstance(value, (ast.Tuple, ast.NamedExpr)) else text
            return f"{code[:begin]}daglab__mo.vstack([{text}, {show}]){code[end:]}"
        if figures:
            return after
        if not any(isinstance(each, (ast.Call, ast.Await)) for each in edits.walk(value)):
            return f"{code[:begin]}{show}\n{code[begin:]}"
        name = shown.free("_shown", code)
        return f"{code[:begin]}{name} = {source.text(last)}{code[end:].rstrip()}\n{show}\n{name}"


def _plain(output: Mapping[str, object]) -> str:
    data = output.get("data")
    text = data.get("text/plain", "") if isinstance(data, Mapping) else ""
    return text if isinstance(text, str) else "".join(map(str, text)) if isinstance(text, list) else ""
