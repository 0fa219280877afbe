"""New names put where the old ones stand; all else of a cell's text stays."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence

from daglab.migrating import edits
from daglab.migrating.naming import bindings, calls, scopes

_FSTRING = re.compile(r"[fF][rR]?['\"]")  # of an f-string, or what looks like one
_NAME = r"[^\W\d]\w*"
DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def renamed(code: str, found: bindings.Binding, new: Mapping[bindings.Mention, str]) -> tuple[str, ast.Module]:
    """The text with mentions renamed, and its tree; `code` has no carriage returns."""
    changed = {mention: name for mention, name in new.items() if name != mention.name}
    if not changed:
        return code, found.tree
    places = edits.Places(code)
    inside = _in_fstrings(found.tree) if sys.version_info < (3, 12) and _FSTRING.search(code) else {}
    made: list[edits.Edit] = []
    strings: dict[ast.AST, dict[str, str]] = {}
    done: set[tuple[ast.AST, str]] = set()
    for mention, name in changed.items():
        if (mention.node, mention.name) in done:
            continue
        done.add((mention.node, mention.name))
        outer = inside.get(mention.node)
        if outer is not None:
            strings.setdefault(outer, {})[mention.name] = name
        elif not isinstance(mention.node, (ast.Global, ast.alias)):
            made.append(_edit(places, mention, name))
    made += _listed(places, changed)
    named: dict[ast.AST, dict[str, str]] = {}
    for mention, name in changed.items():
        named.setdefault(mention.node, {})[mention.name] = name
    for node, names in named.items():
        if isinstance(node, ast.alias) and _is_inner(node):
            _part(found.tree, node)
        _rename(node, names)
    made += [_string(places, node, inner) for node, inner in strings.items()]
    text = edits.apply(code, made)
    tree = _parsed(text)
    if tree is None or ast.dump(tree) != ast.dump(found.tree):
        text = ast.unparse(found.tree)  # whatever stood in the way, the meaning is kept
        tree = ast.parse(text)
    return text, tree


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes
            return ast.parse(text)
    except edits.TOO_MUCH:
        return None


def _in_fstrings(tree: ast.Module) -> dict[ast.AST, ast.AST]:
    """For all that lies in f-strings the outermost f-string; before Python 3.12 it has no place of its own."""
    found: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node not in found:
            found.update((inner, node) for inner in ast.walk(node))
    return found


def _edit(places: edits.Places, mention: bindings.Mention, name: str) -> edits.Edit:
    node = mention.node
    begin, end = places.span(node)
    if isinstance(node, ast.Name):
        return edits.Edit(begin, end, name)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        found = re.compile(rf"(?:async\s+)?(?:def|class)\s+({_NAME})").match(places.code, begin)
        return edits.Edit(found.start(1), found.end(1), name) if found else edits.Edit(begin, begin, "")
    last = None
    for last in re.compile(_NAME).finditer(places.code, begin, end):  # noqa: B007
        pass
    return edits.Edit(last.start(), last.end(), name) if last else edits.Edit(begin, begin, "")


def _listed(places: edits.Places, changed: Mapping[bindings.Mention, str]) -> list[edits.Edit]:
    """Imported names, and those of `global`."""
    made = []
    shared: dict[ast.Global, dict[str, str]] = {}
    for mention, name in changed.items():
        if isinstance(mention.node, ast.Global):
            shared.setdefault(mention.node, {})[mention.name] = name
        elif isinstance(mention.node, ast.alias):
            made.append(edits.Edit(*places.span(mention.node), _alias(mention.node, name)))
    for node, names in shared.items():
        listed = list(dict.fromkeys(names.get(each, each) for each in node.names))
        made.append(edits.Edit(*places.span(node), "global " + ", ".join(listed)))
    return made


def _alias(node: ast.alias, name: str) -> str:
    if _is_inner(node):
        return f"{node.name} as {_own(node)}, {node.name.split('.')[0]} as {name}"
    return f"{node.name} as {name}"


def _is_inner(node: ast.alias) -> bool:
    """Whether it imports a module in a package, and binds the package: `import os.path`."""
    return node.asname is None and "." in node.name


def _own(node: ast.alias) -> str:
    return f"_{node.name.replace('.', '_')}"


def _part(tree: ast.Module, node: ast.alias) -> None:
    """In the tree, too, the module is imported by a name of the cell's own, and the package beside it."""
    owner = next(each for each in ast.walk(tree) if isinstance(each, ast.Import) and node in each.names)
    owner.names.insert(owner.names.index(node), ast.alias(node.name, _own(node)))
    node.name = node.name.split(".")[0]


def _rename(node: ast.AST, names: Mapping[str, str]) -> None:
    if isinstance(node, ast.Name):
        node.id = names[node.id]
    elif isinstance(node, ast.Global):
        node.names = list(dict.fromkeys(names.get(each, each) for each in node.names))
    elif isinstance(node, ast.alias):
        node.asname = next(iter(names.values()))
    elif isinstance(node, ast.MatchMapping):
        node.rest = names[node.rest or ""]
    else:
        node.name = names[node.name]  # type: ignore[attr-defined]


def _string(places: edits.Places, node: ast.AST, names: Mapping[str, str]) -> edits.Edit:
    """An f-string with names within its braces renamed; the tree has the new names by now."""
    begin, end = places.span(node)
    text = places.code[begin:end]
    pieces, at, depth = [], 0, 0
    for found in re.finditer(rf"\{{\{{|\}}\}}|[{{}}]|(?<![\w.]){_NAME}", text):
        mark = found[0]
        if (mark == "{{" and not depth) or (mark == "}}" and not depth):
            continue
        if mark[0] in "{}":
            depth += mark.count("{") - mark.count("}")
        elif depth and mark in names and not re.match(r"\s*=[^=]", text[found.end() :]):
            pieces += [text[at : found.start()], names[mark]]
            at = found.end()
    made = "".join([*pieces, text[at:]])
    try:
        same = ast.dump(ast.parse(made, mode="eval").body) == ast.dump(node)
    except edits.TOO_MUCH:
        same = False
    return edits.Edit(begin, end, made if same else ast.unparse(node))


def lines(rows: Iterable[str]) -> str:
    """Lines to stand before others."""
    return "".join(f"{row}\n" for row in rows)


def gone(code: str, begin: int, end: int) -> edits.Edit:
    """A statement's whole line, where it stands alone on it."""
    line, rest = code.rfind("\n", 0, begin) + 1, code.find("\n", end)
    rest = len(code) if rest < 0 else rest + 1
    if code[line:begin].strip() or code[end:rest].strip():
        return edits.Edit(begin, end, "pass")
    return edits.Edit(line, rest, "")


def named_as_before(text: str, tree: ast.Module, old: Mapping[str, str]) -> str:
    """Classes and functions that were renamed still say their old names.

    A decorator may ask for the name at once: it is called by hand, below the line that gives the name back.
    """
    places = edits.Places(text)
    made = []
    for node in tree.body:
        if isinstance(node, DEFINED) and node.name in old:
            _, end = places.span(node)
            if not text[end : (text + "\n").index("\n", end)].strip().startswith(";"):
                stop = (text + "\n").index("\n", end)
                rows = [f"{node.name}.__name__ = {node.name}.__qualname__ = {old[node.name]!r}"]
                if scopes.decorators(node) - calls.TAME and _may_be_by_hand(places, node):
                    calling, gone_ = _by_hand(places, node)
                    made += gone_
                    rows.append(f"{node.name} = {calling}")
                made.append(edits.Edit(stop, stop, "".join(f"\n{row}" for row in rows)))
    return edits.apply(text, made)


def _may_be_by_hand(places: edits.Places, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Not where its own code names it: until its decorators are done, that is what was called so before."""
    starts = (places.span(each)[0] for each in node.decorator_list)
    plain = all(places.code[:start].rstrip(" \t").endswith("@") for start in starts)
    return plain and not any(isinstance(each, ast.Name) and each.id == node.name for each in ast.walk(node))


def _by_hand(
    places: edits.Places, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
) -> tuple[str, list[edits.Edit]]:
    """The call of a function's decorators, and their lines' end."""
    calling, made = node.name, []
    for each in reversed(node.decorator_list):
        begin, end = places.span(each)
        text = places.code[begin:end]
        plain = isinstance(each, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)) and "\n" not in text
        calling = f"{text if plain else f'({text})'}({calling})"
        made.append(gone(places.code, places.code.rindex("@", 0, begin), end))
    return calling, [dataclasses.replace(each, new="") for each in made]


def without_copies(copies: Sequence[tuple[str, str, bool]], body: str) -> tuple[list[int], str]:
    """Which copies of older values (`old`, `new`, guarded) a cell still begins with, and its code.

    `df_1 = df` above `df_1 = df_1[...]` is `df_1 = df[...]`, where nothing of it may run later.
    """
    kept = []
    for place, (old, new, guarded) in enumerate(copies):
        made = None if guarded else _taken_in(old, new, body)
        if made is None:
            kept.append(place)
        else:
            body = made
    return kept, body


def _taken_in(old: str, new: str, body: str) -> str | None:
    """The code with the older name where its first assignment to the newer one reads it; None where it has none."""
    tree, word = edits.parsed(body), re.compile(rf"\b{re.escape(new)}\b")
    if tree is None:
        return None
    first = next((node for node in tree.body if word.search(body[slice(*edits.span(body, node))])), None)
    if not isinstance(first, ast.Assign) or [ast.unparse(each) for each in first.targets] != [new]:
        return None
    reads: dict[ast.expr, str] = {}
    for node in edits.walk(first.value):
        if isinstance(node, ast.Name) and node.id == new:
            reads[node] = old
        elif isinstance(node, (ast.Lambda, ast.GeneratorExp, ast.NamedExpr)) and word.search(ast.unparse(node)):
            return None  # it may run after the assignment, or be one
    return edits.replaced(body, tree, reads)
