"""The Python that takes an escape's place, and what those who write it know of the notebook."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daglab import redaction
from daglab.migrating import cells, edits
from daglab.migrating.magic import escapes, expansion

INDENT = "    "
LONGEST = 50_000  # characters of arguments in which quotes are looked at
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Setting:
    """Where an escape stands: its cell, the names that the notebook has by then, and the notebook's whole code."""

    number: int
    names: Collection[str]
    text: str = ""
    folder: Path = field(default_factory=Path)

    def parts(self, text: str) -> expansion.Parts:
        """The text with what IPython puts into it."""
        return expansion.parts(text, self.names)

    def code(self, text: str) -> str:
        """Python for the text with what IPython puts into it."""
        return expansion.code(self.parts(text))

    def note(self, kind: str, text: str, *, needs_person: bool = False) -> cells.Note:
        """A note about the cell, without what looks like a secret."""
        return cells.Note(kind, redaction.masked_text(text), self.number, needs_person)


@dataclass(frozen=True)
class Rewrite:
    """Statements to run, then the value that Jupyter would give; neither when nothing is left of it.

    `kept` says why it stays text instead; `cell` is a whole cell that is no code.
    """

    statements: tuple[str, ...] = ()
    value: str | None = None
    notes: tuple[cells.Note, ...] = ()
    requirements: tuple[str, ...] = ()
    kept: str = ""
    cell: cells.Cell | None = None


def dropped(note: cells.Note) -> Rewrite:
    """Nothing is left but a note."""
    return Rewrite(notes=(note,))


def kept(why: str) -> Rewrite:
    """It stays text, and says why."""
    return Rewrite(kept=why)


def indented(code: str, by: str = INDENT) -> str:
    """Python one level deeper; lines that begin within a string stay as they are."""
    within = _lines_in_strings(code)
    lines = code.split("\n")
    return "\n".join(line if not line.strip() or at in within else by + line for at, line in enumerate(lines, 1))


def shown_apart(code: str, name: str) -> tuple[str, bool]:
    """Code whose last expression, where it has one that shows, is assigned to a name instead; and whether it has."""
    tree = edits.parsed(code)
    if tree is None or not tree.body or not isinstance(tree.body[-1], ast.Expr) or hides(code, tree):
        return code, False
    start, end = edits.span(code, tree.body[-1].value)
    return edits.apply(code, [edits.Edit(start, start, f"{name} = ("), edits.Edit(end, end, ")")]), True


def hides(code: str, tree: ast.Module) -> bool:
    """Whether a semicolon after the last statement keeps its value from being shown."""
    _, end = edits.span(code, tree.body[-1])
    return code[end:].lstrip().startswith(";")


def fresh(name: str, code: str) -> str:
    """A name that the code does not have."""
    while name in code:
        name += "_"
    return name


def bound(code: str) -> set[str]:
    """The names that Python code binds anywhere, within functions too; none for what is no Python."""
    tree = edits.parsed(code)
    if tree is None:
        return set()
    found: set[str] = set()
    for node in edits.walk(tree):
        found.update(_bound_by(node))
    return found


def top_names(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file binds, "*" for a star import; those within functions not."""
    found: set[str] = set()
    waiting: list[ast.AST] = [node]
    while waiting:
        at = waiting.pop()
        found.update(_bound_by(at))
        if not isinstance(at, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)):
            waiting += edits.children(at)
    return found


def _bound_by(node: ast.AST) -> Sequence[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return [node.id]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.alias):
        return [(node.asname or node.name).partition(".")[0]]
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        return [node.name] if node.name else []
    return []


def _lines_in_strings(code: str) -> set[int]:
    """The lines, from 1, that begin within a string; those of one statement after its first do no harm."""
    if '"""' not in code and "'''" not in code and "\\\n" not in code:
        return set()
    tree = edits.parsed(code)
    found: set[int] = set()
    for node in edits.walk(tree) if tree else ():
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))):
            found.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return found


def plain_words(text: str) -> list[str]:
    """A magic's arguments one by one, without the quotes around them; split at white space where they don't close."""
    import shlex

    if len(text) > LONGEST:  # shlex takes the square of a word's length
        return text.split()
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def alone(escape: escapes.Escape) -> bool:
    """Whether statements may stand before an escape: it is one itself, or all that its line does is assign it."""
    if not escape.target:
        return True
    tree = edits.parsed(f"{escape.target} None")
    return not escape.open and tree is not None and len(tree.body) == 1 and isinstance(tree.body[0], _ASSIGNMENTS)


def hushed(code: str) -> str:
    """Code that shows no value at its end."""
    tree = edits.parsed(code)
    if tree is None or not tree.body or not isinstance(tree.body[-1], ast.Expr) or hides(code, tree):
        return code
    value = tree.body[-1].value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
        return code
    _, end = edits.span(code, tree.body[-1])
    return f"{code[:end]};{code[end:]}"


def shortened(code: str) -> str:
    """`get_ipython().run_line_magic("name", "...")` and its kin, as a statement or assigned, in their short form."""
    if "get_ipython" not in code:
        return code
    tree = edits.parsed(code)
    found = []
    for node in edits.walk(tree) if tree else ():
        if isinstance(node, (ast.Expr, ast.Assign)) and (short := _short(node.value)):
            found.append(edits.Edit(*edits.span(code, node.value), short))
    return edits.apply(code, found)


def _short(node: ast.expr) -> str:
    """The short form of a call of IPython's; empty for any other."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.keywords:
        return ""
    if ast.unparse(node.func.value) != "get_ipython()":
        return ""
    values = [each.value for each in node.args if isinstance(each, ast.Constant)]
    texts = [each for each in values if isinstance(each, str) and "\n" not in each]
    if len(texts) != len(node.args) or not texts:
        return ""
    method, first = node.func.attr, texts[0]
    if method == "run_line_magic" and len(texts) == 2:
        return f"%{first} {texts[1]}".rstrip()
    if method == "magic" and len(texts) == 1:
        return first if first.startswith("%") else f"%{first}"
    return f"!{first}" if method in ("system", "getoutput") and len(texts) == 1 else ""
