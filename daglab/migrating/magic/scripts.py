"""`%run`: Python files that a notebook runs, and the names that they bring into it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from daglab.migrating import edits
from daglab.migrating.magic import expansion, rewrites

BETWEEN = "\n\0\n"  # two cells in a notebook's whole code: no Python has a NUL
LARGEST = 1_000_000  # bytes of a file that is read for its names


def run(arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%run FILE [ARGUMENTS]`, `%run -m MODULE`: by runpy; the names that the notebook uses are taken from it."""
    words = rewrites.plain_words(arguments)
    module = ""
    while words and words[0].startswith("-"):
        flag = words.pop(0)
        if flag == "-m" and words:
            module = words[0]
            break
        if flag not in ("-n", "-e", "-G", "--"):
            return rewrites.kept(f"`%run {flag}` has no counterpart")
    if not words or words[0].endswith(".ipynb"):
        return rewrites.kept("another notebook can't be run within this one: import what it offers from a module")
    name = words[0] if module or words[0].endswith((".py", ".ipy")) else f"{words[0]}.py"
    if name.endswith(".ipy"):
        return rewrites.kept("a file in IPython's own syntax can't be run by Python")
    called = [expansion.code(setting.parts(word)) for word in [name, *words[1:]]]
    how = "run_module" if module else "run_path"
    main = ', run_name="__main__"' if "-n" not in arguments.split() else ""
    extra = ", alter_sys=True" if module else ""
    ran = f"_ran = daglab__runpy.{how}({called[0]}{main}{extra})"
    statements = [ran]
    if len(called) > 1:
        argv = f"_argv, daglab__sys.argv = daglab__sys.argv, [{', '.join(called)}]"
        statements = [argv, f"try:\n    {ran}\nfinally:\n    daglab__sys.argv = _argv"]
    known = None if module else _names(setting.folder, name) or _written(setting.text, name)
    if known is None:
        told = f"`%run` is runpy; what names {name} brings into the notebook is not known: import them."
        return rewrites.Rewrite(tuple(statements), notes=(setting.note("magic", told, needs_person=True),))
    used = sorted(each for each in known if re.search(rf"\b{re.escape(each)}\b", setting.text))
    statements += [f'{each} = _ran["{each}"]' for each in used]
    told = "`%run` is runpy" + (f"; it brings {', '.join(used)}." if used else ".")
    return rewrites.Rewrite(tuple(statements), notes=(setting.note("magic", told),))


def _names(folder: Path, name: str) -> set[str] | None:
    """The names at the top of a file in or below the notebook's folder; None where that can't be told."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        tree = edits.parsed(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RuntimeError):
        return None
    return _top(tree)


def _written(text: str, name: str) -> set[str] | None:
    """The names at the top of a file that the notebook writes itself; None where it writes none of that name."""
    written = re.compile(rf"%%(?:writefile|file)[ \t]+{re.escape(name)}[ \t]*\n")
    found = [(written.match(code), code) for code in map(str.lstrip, text.split(BETWEEN))]
    bodies = [code[begin.end() :] for begin, code in found if begin]
    return _top(edits.parsed(bodies[-1])) if bodies else None


def _top(tree: ast.Module | None) -> set[str] | None:
    if tree is None:
        return None
    found: set[str] = set()
    for node in tree.body:
        found |= {each for each in rewrites.top_names(node) if not each.startswith("__")}
    return None if "*" in found else found
