"""What a cell shows: in marimo its last expression takes the place of all that it has appended before."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Iterator

from daglab.migrating import cells, edits
from daglab.migrating.displaying.rewriting import Source

APPEND = "daglab__mo.output.append"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Methods and functions that give None; a cell that ends in one shows nothing.
_NONE = {
    "append",
    "extend",
    "insert",
    "sort",
    "reverse",
    "clear",
    "update",
    "add",
    "discard",
    "remove",
    "print",
    "show",
    "close",
    "savefig",
    "info",
    "write",
    "seed",
    "setdefaultencoding",
    "basicConfig",
    "sleep",
    "makedirs",
    "mkdir",
    "to_csv",
    "to_parquet",
    "to_excel",
    "to_pickle",
}
# What these give is a drawing, or a list of parts of one.
PARTS = {
    "annotate",
    "axhline",
    "axvline",
    "bar",
    "barh",
    "boxplot",
    "colorbar",
    "contour",
    "contourf",
    "errorbar",
    "fill_between",
    "hist",
    "imshow",
    "legend",
    "pie",
    "plot",
    "scatter",
    "set_title",
    "set_xlabel",
    "set_ylabel",
    "set_xlim",
    "set_ylim",
    "set_xticks",
    "set_yticks",
    "step",
    "stem",
    "text",
    "title",
    "tick_params",
    "violinplot",
    "xlabel",
    "ylabel",
    "xticks",
    "yticks",
    "xlim",
    "ylim",
    "suptitle",
    "tight_layout",
    "grid",
    "axis",
}
# Those that give something.
_SOMETHING = {
    "head",
    "tail",
    "describe",
    "sample",
    "value_counts",
    "groupby",
    "mean",
    "sum",
    "count",
    "nunique",
    "isna",
    "isnull",
    "corr",
    "len",
    "sorted",
    "type",
    "str",
    "repr",
    "int",
    "float",
    "abs",
    "round",
    "gcf",
    "list",
    "dict",
    "set",
    "tuple",
    "range",
    "reset_index",
    "set_index",
    "sort_values",
    "merge",
    "join",
    "pivot_table",
}
_SURE = (ast.BinOp, ast.Compare, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.DictComp)


def apply(draft: cells.Draft) -> cells.Draft:
    """Where a cell appends outputs, its last expression is appended too; a single one becomes the last expression."""
    if not any(APPEND in cell.code for cell in draft.cells):
        return draft
    trees = [edits.parsed(cell.code) if cell.kind == "code" else None for cell in draft.cells]
    showing = calling((tree for tree in trees if tree), _appends)
    made = [
        dataclasses.replace(cell, code=_settled(cell.code, tree, showing)) if tree and tree.body else cell
        for cell, tree in zip(draft.cells, trees, strict=True)
    ]
    return dataclasses.replace(draft, cells=tuple(made))


def calling(trees: Iterable[ast.Module], does: object) -> set[str]:
    """The names of functions and classes in which something is done, by themselves or by another of them."""
    inside: dict[str, set[str]] = {}
    found: set[str] = set()
    for tree in trees:
        for node in edits.walk(tree):
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                names = inside.setdefault(node.name, set())
                for inner in edits.walk(node):
                    if isinstance(inner, ast.Name):
                        names.add(inner.id)
                    if does(inner):  # type: ignore[operator]
                        found.add(node.name)
    new = set(found)
    while new:
        new = {name for name, names in inside.items() if name not in found and names & new}
        found |= new
    return found


def at_once(node: ast.AST) -> Iterator[ast.AST]:
    """What a statement does when it is run: all nodes but those in functions that it defines."""
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, _FUNCTIONS):
            stack += [*each.decorator_list, *each.args.defaults]
            continue
        yield each
        stack += edits.children(each)


def never(node: ast.expr) -> bool:
    """Whether an expression gives None for sure."""
    if isinstance(node, ast.Await):
        return False
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):  # `show(x)` may be the notebook's own
            return node.func.id in ("print", "sleep")
        return (isinstance(node.func, ast.Attribute) and node.func.attr in _NONE) or _of_output(node.func)
    return isinstance(node, ast.Constant) and node.value is None


def is_part(node: ast.expr) -> bool:
    """Whether an expression is a call that gives a part of a drawing, by its name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARTS


def hidden(code: str) -> bool:
    """Whether a cell's last semicolon hides what its last expression gives."""
    import io
    import tokenize

    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER, tokenize.STRING) or token.string == ")":
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        return code.rstrip().endswith(";")
    return last == ";"


def free(name: str, code: str) -> str:
    """The name, or one like it that the code has not."""
    while name in code:
        name += "_"
    return name


def appended(code: str, source: Source, node: ast.expr) -> str:
    """The text that shows an expression beside others, if it gives something."""
    text = source.text(node)
    if isinstance(node, ast.GeneratorExp):
        text = f"({text.strip('()')})" if not text.startswith("(") else text
    if isinstance(node, ast.Tuple) and node.elts and source.span(node)[0] == source.span(node.elts[0])[0]:
        text = f"({text})"
    if isinstance(node, _SURE) or (isinstance(node, ast.Constant) and node.value is not None) or _gives(node):
        return f"{APPEND}({text})"
    if isinstance(node, ast.Name):
        return f"if {text} is not None:\n    {APPEND}({text})"
    name = free("_shown", code)
    return (
        f"{name} = (\n    {text}\n)\nif {name} is not None:\n    {APPEND}({name})"
        if "\n" in text
        else (f"{name} = {text}\nif {name} is not None:\n    {APPEND}({name})")
    )


def _gives(node: ast.expr) -> bool:
    """Whether a call gives something for sure, by its name."""
    if isinstance(node, ast.Call):
        return (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in _SOMETHING
    return isinstance(node, ast.Attribute) and node.attr in ("shape", "dtypes", "columns", "index", "T", "size")


def _of_output(node: ast.AST) -> bool:
    """Whether this is one of `mo.output`'s functions."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
        return False
    module = node.value.value
    return node.value.attr == "output" and isinstance(module, ast.Name) and module.id == "daglab__mo"


def _appends(node: ast.AST) -> bool:
    return _of_output(node) and node.attr == "append"  # type: ignore[attr-defined]


def _shows(node: ast.AST, showing: set[str]) -> bool:
    return any(
        _appends(each) or (isinstance(each, ast.Name) and each.id in showing and isinstance(each.ctx, ast.Load))
        for each in at_once(node)
    )


def _settled(code: str, tree: ast.Module, showing: set[str]) -> str:
    last = tree.body[-1]
    if not isinstance(last, ast.Expr) or hidden(code):
        return code
    before = any(_shows(node, showing) for node in tree.body[:-1])
    source = Source(code)
    value = last.value
    if isinstance(value, ast.Call) and _appends(value.func) and len(value.args) == 1 and not before:
        if not any(_shows(each, showing) for each in value.args):
            return _alone(code, source, value)
        return code
    if never(value) or not (before or _shows(value, showing)):
        return code
    begin, end = source.span(last)
    if source.places.at(last.lineno, 0) != begin:  # after a semicolon
        return code[:begin] + "\n" + appended(code, source, value) + code[end:]
    return code[:begin] + appended(code, source, value) + code[end:]


def _alone(code: str, source: Source, call: ast.Call) -> str:
    """The only thing that a cell appends as its last expression, which looks best."""
    begin, end = source.span(call)
    _, name_end = source.span(call.func)
    inner = source.span(call.args[0])
    if "\n" in code[name_end : inner[0]] or "\n" in code[inner[0] : inner[1]] or code[inner[1] : end].strip() != ")":
        if "," in code[inner[1] : end]:
            return code
        return code[:begin] + code[name_end:]
    return code[:begin] + code[slice(*inner)] + code[end:]
