"""dagstermill notebooks, turned towards `notebook_asset`: what Dagster gave them and took from them by a context."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from daglab.migrating import cells, edits, imports

INJECTED = frozenset({"injected-parameters", "injected-teardown"})  # written by a run of dagstermill
DEEPEST = 5  # calls within calls
LEVELS = frozenset({"debug", "info", "warning", "warn", "error", "critical", "exception"})
PLAIN = frozenset({"len", "int", "float", "str", "bool", "round", "sum"})  # what these give can stand in metadata
OWN = f"{imports.PREFIX}mo.cli_args().to_dict()"
NEEDS = (
    "resources",
    "run_id",
    "run",
    "op_def",
    "job_def",
    "job_name",
    "run_config",
    "logging_tags",
    "solid_def",
    "repository_def",
)


@dataclass
class Names:
    """What the notebook calls dagstermill, its functions (name -> what it is), and its contexts."""

    modules: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)
    contexts: set[str] = field(default_factory=set)


def apply(draft: cells.Draft) -> cells.Draft:
    """Do without dagstermill: parameters come from the command line, results are declared for the asset's page.

    What Dagster alone can give (resources, events, values that are no metadata) is left to a person.
    """
    trees = {index: edits.parsed(cell.code) for index, cell in enumerate(draft.cells) if cell.kind == "code"}
    names = _names([tree for tree in trees.values() if tree is not None])
    if not names.modules and not names.functions:
        return draft
    tags = {each.number: set(each.tags) for each in draft.original.cells}
    kept: list[cells.Cell] = []
    notes: list[cells.Note] = []
    params: dict[str, object] = {}
    for index, cell in enumerate(draft.cells):
        number = cell.origins[0] if cell.origins else None
        tree = trees.get(index)
        own = set().union(*[tags.get(each, set()) for each in cell.origins])
        if own & INJECTED:
            notes.append(cells.Note("dagster", "Left out: a run of dagstermill had put it in.", number))
            continue
        if tree is None:
            kept.append(cell)
            continue
        if "parameters" in own:
            params.update(_literals(tree))
        params.update(_config(tree, names))
        notes += _notes(tree, names, number)
        code = _rewritten(cell.code, tree, names)
        if code.strip():
            kept.append(dataclasses.replace(cell, code=code))
        else:
            notes.append(cells.Note("dagster", "Left out: dagstermill is not needed any more.", number))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(kept)), *notes, _asset(draft, params))


def _names(trees: list[ast.Module]) -> Names:
    found = Names()
    nodes = [node for tree in trees for node in edits.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.Import):
            found.modules |= {each.asname or "dagstermill" for each in node.names if each.name == "dagstermill"}
        elif isinstance(node, ast.ImportFrom) and node.module == "dagstermill" and not node.level:
            found.functions.update({each.asname or each.name: each.name for each in node.names})
    for node in nodes:
        if isinstance(node, ast.Assign) and _called(node.value, found) in ("get_context", "reconstitute_job_context"):
            found.contexts |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return found


def _called(node: ast.AST, names: Names) -> str | None:
    """Which of dagstermill's functions a call is of."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Name):
        return names.functions.get(node.func.id)
    is_own = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    return node.func.attr if is_own and node.func.value.id in names.modules else None  # type: ignore[attr-defined]


def _rewritten(code: str, tree: ast.Module, names: Names) -> str:
    """The code without dagstermill; a call within another's arguments has its turn in the next round."""
    for _ in range(DEEPEST):
        again = _round(code, tree, names)
        parsed = edits.parsed(again)
        if again == code or parsed is None:
            break
        code, tree = again, parsed
    return _without_imports(code, tree)


def _round(code: str, tree: ast.Module, names: Names) -> str:
    new: dict[ast.expr, str] = {}
    inside: set[ast.AST] = set()
    for node in edits.walk(tree):
        if node in inside or not isinstance(node, ast.expr):
            continue
        text = _instead(code, node, names)
        if text is not None:
            new[node] = text
            inside |= set(edits.walk(node))
    return edits.replaced(code, tree, new)


def _instead(code: str, node: ast.expr, names: Names) -> str | None:
    if isinstance(node, ast.Attribute) and _is_of_context(node.value, names) and node.attr == "solid_config":
        return f"{ast.unparse(node.value)}.op_config"
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        made = node.func
        is_log = isinstance(made, ast.Attribute) and made.attr in LEVELS and isinstance(made.value, ast.Attribute)
        if is_log and made.value.attr == "log" and _is_of_context(made.value.value, names):  # type: ignore[attr-defined]
            return f"print({_text(code, node.args[0])})"
    kind = _called(node, names)
    if kind == "get_context":
        given = next((each.value for each in node.keywords if each.arg == "op_config"), None)  # type: ignore[attr-defined]
        given = given or (node.args[0] if node.args else None)  # type: ignore[attr-defined]
        config = f"{{**({_text(code, given)} or {{}}), **{OWN}}}" if given is not None else OWN
        log = f'{imports.PREFIX}logging.getLogger("notebook")'
        return f"{imports.PREFIX}types.SimpleNamespace(op_config={config}, log={log})"
    value, name = _result(node) if kind in ("yield_result", "yield_event") else (None, None)
    if value is None:
        return None
    if kind == "yield_result" and name is not None and _is_plain(value):
        return f"{imports.PREFIX}helpers.result({name!r}, {_text(code, value)})"
    return f"({_text(code, value)})"


def _result(node: ast.expr) -> tuple[ast.expr | None, str | None]:
    """The value and the name of what is given to Dagster; no name where it is computed."""
    given = {each.arg: each.value for each in node.keywords}  # type: ignore[attr-defined]
    for key, each in zip(("value", "output_name"), node.args, strict=False):  # type: ignore[attr-defined]
        given[key] = each
    name = given.get("output_name", ast.Constant("result"))
    value = given.get("value") or given.get("dagster_event")
    return value, name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None


def _is_plain(node: ast.expr) -> bool:
    """Whether it is a number or a text for certain."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in PLAIN
    return isinstance(node, (ast.Constant, ast.JoinedStr)) and not isinstance(
        getattr(node, "value", ""), (bytes, complex)
    )


def _is_of_context(node: ast.AST, names: Names) -> bool:
    return isinstance(node, ast.Name) and node.id in names.contexts


def _text(code: str, node: ast.expr) -> str:
    start, end = edits.span(code, node)
    return code[start:end]


def _without_imports(code: str, tree: ast.Module) -> str:
    new = []
    top = set(tree.body)
    for node in edits.walk(tree):
        is_from = isinstance(node, ast.ImportFrom) and node.module == "dagstermill" and not node.level
        if not is_from and not isinstance(node, ast.Import):
            continue
        left = [each for each in node.names if not is_from and each.name != "dagstermill"]  # type: ignore[attr-defined]
        if len(left) == len(node.names):  # type: ignore[attr-defined]
            continue
        start, end = edits.span(code, node)
        if left:
            new.append(edits.Edit(start, end, ast.unparse(ast.Import(left))))
        else:
            whole = node in top and code[end : end + 1] in ("\n", "")
            new.append(edits.Edit(start, end + (whole and end < len(code)), "" if whole else "pass"))
    return edits.apply(code, new)


def _literals(tree: ast.Module) -> Iterator[tuple[str, object]]:
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, (str, int, float, bool)):
            target = node.targets[0]  # type: ignore[attr-defined]
            yield from [(target.id, value.value)] if isinstance(target, ast.Name) else []


def _config(tree: ast.Module, names: Names) -> Iterator[tuple[str, object]]:
    """The defaults that a context is made with, where they are written out."""
    for node in edits.walk(tree):
        if _called(node, names) == "get_context":
            for each in (*node.args[:1], *(one.value for one in node.keywords if one.arg == "op_config")):  # type: ignore[attr-defined]
                for key, value in zip(each.keys, each.values, strict=True) if isinstance(each, ast.Dict) else ():
                    if isinstance(key, ast.Constant) and isinstance(key.value, str) and isinstance(value, ast.Constant):
                        yield key.value, value.value


def _notes(tree: ast.Module, names: Names, number: int | None) -> Iterator[cells.Note]:
    for node in edits.walk(tree):
        kind = _called(node, names)
        if kind == "get_context":
            yield cells.Note("dagster", "The context's op_config comes from `params` and the command line now.", number)
        elif kind == "yield_result":
            value, name = _result(node)  # type: ignore[arg-type]
            if value is not None and name is not None and _is_plain(value):
                yield cells.Note("dagster", f"The result {name!r} stands in the materialization now.", number)
            else:
                text = "A notebook asset hands no value on: store it here, or declare a number or text of it with "
                yield cells.Note("dagster", text + f"`helpers.result({name or 'result'!r}, ...)`.", number, True)
        elif kind == "yield_event":
            text = "This event does not reach Dagster: the asset makes its own materialization; declare what it is to "
            yield cells.Note("dagster", text + 'show with `helpers.result("name", value)`.', number, True)
        elif kind is not None:
            yield cells.Note("dagster", f"dagstermill's {kind} has no counterpart: take it out.", number, True)
        elif isinstance(node, ast.Attribute) and _is_of_context(node.value, names) and node.attr in NEEDS:
            text = f"`{ast.unparse(node)}` is Dagster's: a notebook asset does not have it; make it here."
            yield cells.Note("dagster", text, number, True)


def _asset(draft: cells.Draft, params: dict[str, object]) -> cells.Note:
    path = draft.original.path.with_suffix(".py")
    given = f", params={params!r}" if params else ""
    code = f"page = notebook_asset({path.name!r}, key={path.stem!r}{given})"
    text = "In the project, in place of define_dagstermill_asset: `from daglab.assets import notebook_asset` and "
    return cells.Note("dagster", f"{text}`{code}`; `daglab scaffold --as-asset {path.name}` writes it.", None, True)
