"""What IPython puts in place of `$name` and `{expression}` in a shell line or a magic's arguments.

IPython gives a line to the shell as it stands when anything in it can't be evaluated: `{print $1}` of awk, `$HOME`,
braces of the shell. Here only names that the notebook has by then count.
"""

from __future__ import annotations

import ast
import builtins
import re
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from daglab.migrating import edits

_DOLLAR = re.compile(r"\$(\$?[\w.]+)")
_LONGEST = 100_000  # characters of a line in which names are looked for
_WRAPPED = (ast.Lambda, ast.Dict, ast.Set, ast.DictComp, ast.SetComp, ast.NamedExpr, ast.Tuple, ast.IfExp)


@dataclass(frozen=True)
class Expression:
    """Python that stands in a text; `conversion` is "r", "s", "a" or nothing."""

    code: str
    conversion: str = ""


Parts = tuple["str | Expression", ...]


def parts(text: str, names: Collection[str]) -> Parts:
    """Text and expressions, as IPython finds them; the text as it stands where one of them can't be evaluated."""
    if len(text) > _LONGEST or ("$" not in text and "{" not in text and "}" not in text):
        return (text,)
    found: list[str | Expression] = []
    try:
        for literal, field, spec, conversion in string.Formatter().parse(text):
            found += _dollars(literal)
            if field is not None:
                found.append(Expression((f"{field}:{spec}" if spec else field).strip(" \t"), conversion or ""))
    except ValueError:
        return (text,)
    if all(isinstance(each, str) or _evaluates(each, names) for each in found):
        return tuple(found)
    return (text,)


def plain(found: Parts) -> str | None:
    """The text, when there is no expression in it."""
    return None if any(isinstance(each, Expression) for each in found) else "".join(map(str, found))


def code(found: Sequence[str | Expression]) -> str:
    """Python for the text: a literal, or an f-string that Python 3.10 reads, too."""
    if not any(isinstance(each, Expression) for each in found):
        return literal("".join(map(str, found)))
    inner = [each.code for each in found if isinstance(each, Expression)]
    if not any("\\" in each or "#" in each or "\n" in each for each in inner):
        text = "".join(each for each in found if isinstance(each, str))
        for quote in ("'", '"') if '"' in text and "'" not in text else ('"', "'"):
            if not any(quote in each for each in inner):
                return _fstring(found, quote)
        if not any('"""' in each for each in inner):
            return _fstring(found, '"""')
    template = "".join(
        each.replace("{", "{{").replace("}", "}}")
        if isinstance(each, str)
        else "{" + (f"!{each.conversion}" if each.conversion else "") + "}"
        for each in found
    )
    return f"{literal(template)}.format({', '.join(f'({each})' for each in inner)})"


def literal(text: str) -> str:
    """A Python literal for the text: over several lines where that is easier to read and the same."""
    if text.count("\n") > 1 and text.replace("\n", "").isprintable() and "\\" not in text and '"""' not in text:
        lines = text.split("\n")
        if not text.endswith('"') and not any(line != line.rstrip() for line in lines):
            return f'"""\\\n{text}"""'
    return _quoted(text)


def _quoted(text: str) -> str:
    return '"' + _escaped(text, '"') + '"' if '"' not in text else repr(text)


def _escaped(text: str, quote: str) -> str:
    """The text as it stands between such quotes; repr() knows all but the double ones."""
    inner = repr('"' + text)[2:-1]  # in single quotes, as both or neither stand in it
    if quote == "'":
        return inner
    return re.sub(r"\\.|\"", lambda hit: {"\\'": "'", '"': '\\"'}.get(hit[0], hit[0]), inner, flags=re.DOTALL)


def _fstring(found: Sequence[str | Expression], quote: str) -> str:
    pieces = []
    for each in found:
        if isinstance(each, str):
            pieces.append(_escaped(each, quote[0]).replace("{", "{{").replace("}", "}}"))
        else:
            wrapped = f"({each.code})" if isinstance(_tree(each.code), _WRAPPED) else each.code
            pieces.append("{" + wrapped + (f"!{each.conversion}" if each.conversion else "") + "}")
    return f"f{quote}{''.join(pieces)}{quote}"


def _dollars(text: str) -> list[str | Expression]:
    """`$name` where an even number of single quotes follows, as IPython has it; `$$name` is `$name`."""
    found: list[str | Expression] = []
    at, after = 0, text.count("'")
    for hit in _DOLLAR.finditer(text):
        after -= text.count("'", at, hit.end())
        if hit[1].startswith("$") and after % 2 == 0:
            found.append(text[at : hit.start()] + hit[1])
        elif after % 2 == 0:
            found += [text[at : hit.start()], Expression(hit[1])]
        else:
            found.append(text[at : hit.end()])
        at = hit.end()
    return [*found, text[at:]]


def _tree(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except edits.TOO_MUCH:
        return None


def _evaluates(expression: Expression, names: Collection[str]) -> bool:
    tree = _tree(expression.code)
    if tree is None:
        return False
    try:
        used = {node.id: isinstance(node.ctx, ast.Load) for node in ast.walk(tree) if isinstance(node, ast.Name)}
        own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        compile(expression.code, "expression", "eval", dont_inherit=True)
    except edits.TOO_MUCH:
        return False
    return all(name in names or name in own or hasattr(builtins, name) for name in used)
