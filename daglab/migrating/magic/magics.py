"""IPython's magics and shell lines as Python."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass

from daglab.migrating import cells, edits
from daglab.migrating.magic import (
    escapes,
    expansion,
    installs,
    other_magics,
    rewrites,
    scripts,
    shell,
    sql,
    surroundings,
    timing,
)

DEEPEST = 8  # cell magics within each other
_WORD = re.compile(r"([^\W\d]\w*)(?:[ \t]+(.*))?")
_INSTALLERS = ("pip", "conda", "mamba", "micromamba", "uv")
_PROFILERS = (
    "lprun",
    "mprun",
    "snakeviz",
    "pyinstrument",
    "heat",
    "scalene",
    "scrun",
    "memray_flamegraph",
    "fil_profile",
)
_SIMPLE: dict[str, Callable[[str, rewrites.Setting], rewrites.Rewrite]] = {
    "cd": surroundings.cd,
    "env": surroundings.env,
    "pwd": surroundings.pwd,
    "set_env": surroundings.set_env,
    "run": scripts.run,
    "sx": shell.lines,
    "system": shell.lines,
}
_TIMED: dict[str, Callable[[str, rewrites.Setting], rewrites.Rewrite]] = {
    "time": timing.time,
    "memit": timing.memory,
    "prun": timing.profile,
    **dict.fromkeys(_PROFILERS, timing.unprofiled),
}
# What a line may begin with, when it is a cell's only one, without a percent sign.
AUTOMATIC = {
    *_SIMPLE, *_INSTALLERS, "time", "timeit", "prun", "pylab", *surroundings.ALIASES, *other_magics.DROPPED,
    *other_magics.MISSED, *other_magics.KEPT,
}  # fmt: skip


@dataclass(frozen=True)
class Body:
    """Python that was made of a cell, or why it stays text; `asides` are lines that became text beside it."""

    code: str = ""
    notes: tuple[cells.Note, ...] = ()
    requirements: tuple[str, ...] = ()
    kept: str = ""
    asides: tuple[tuple[str, str], ...] = ()
    cell: cells.Cell | None = None


def apply(draft: cells.Draft) -> cells.Draft:
    """The draft without magics and shell lines: what becomes no Python is kept as text, or dropped with a note."""
    text = scripts.BETWEEN.join(cell.code for cell in draft.cells if cell.kind == "code")
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    requirements = list(draft.requirements)
    names: set[str] = set()
    for cell in draft.cells:
        if cell.kind != "code":
            made.append(cell)
            continue
        code = escapes.cleaned(cell.code)
        number = cell.origins[0] if cell.origins else 0
        names |= _names(code)
        setting = rewrites.Setting(number, names, text, draft.original.path.parent)
        body = _python(code, setting)
        notes += dict.fromkeys(body.notes)
        requirements += body.requirements
        names |= {sql.ENGINE} if sql.ENGINE in body.code else set()
        made += _cells(cell, code, body)
        notes += _kept_notes(body, setting)
    done = dataclasses.replace(draft, cells=tuple(timing.shown(made)), requirements=tuple(dict.fromkeys(requirements)))
    return cells.with_notes(done, *notes)


def _cells(cell: cells.Cell, code: str, body: Body) -> list[cells.Cell]:
    """What a cell becomes: text beside it, itself, or nothing when all of it was dropped."""
    if body.kept:
        return [dataclasses.replace(cell, code=code, kind="text", why=body.kept)]
    beside = [dataclasses.replace(cell, code=line, kind="text", why=why) for line, why in body.asides]
    if body.cell:
        return [*beside, dataclasses.replace(body.cell, origins=cell.origins)]
    if body.code == code:
        return [dataclasses.replace(cell, code=code)]
    if not _does_anything(body.code):
        return beside
    return [*beside, dataclasses.replace(cell, code=body.code)]


def _kept_notes(body: Body, setting: rewrites.Setting) -> list[cells.Note]:
    if body.kept:
        return [setting.note("magic", f"Kept as text: {body.kept}.", needs_person=True)]
    return [setting.note("magic", f"A line is kept as text: {why}.", needs_person=True) for _, why in body.asides]


def _names(code: str, depth: int = 0) -> set[str]:
    """The names that a cell binds, its magics included."""
    magic = escapes.cell_magic(code)
    if magic and depth < DEEPEST:
        words = {word.partition("=")[2] or word for word in magic.arguments.split()}
        own = {word for word in words if word.isidentifier()} if magic.name in _NAMING else set()
        return own | (_names(magic.body, depth + 1) if magic.name in _PYTHON_BODIES else set())
    found = rewrites.bound(code)
    if found:
        return found
    skeleton = []
    for piece in escapes.pieces(code):
        if isinstance(piece, str):
            skeleton.append(piece)
        else:
            skeleton.append(f"{piece.before}None\n" if piece.target else f"{piece.before}pass\n")
            if piece.mark == "%" and piece.name in ("time", "run", "prun", "memit"):
                found |= rewrites.bound(piece.arguments.strip())
    return found | rewrites.bound("".join(skeleton))


_NAMING = ("capture", "bigquery", "sql", "bash", "sh", "script", "python", "python3", "perl", "ruby", "duckdb")
_PYTHON_BODIES = (*_TIMED, "capture", *other_magics.LOOKS)


def _python(code: str, setting: rewrites.Setting, depth: int = 0) -> Body:
    """A cleaned cell, or the body of a magic, as Python."""
    if depth > DEEPEST:
        return Body(kept="its magics lie too deep within each other")
    magic = escapes.cell_magic(code)
    if magic:
        return _whole(_cell_magic(magic, setting, depth), setting)
    code = _automatic(code, setting)
    if edits.parsed(code) is not None:
        code = rewrites.shortened(code)
    pieces = escapes.pieces(code)
    if not any(isinstance(piece, escapes.Escape) for piece in pieces):
        return _installing(code, setting)
    return _assembled(pieces, setting, depth)


def _assembled(pieces: list[str | escapes.Escape], setting: rewrites.Setting, depth: int) -> Body:
    """A cell's pieces with Python in the escapes' places."""
    last = max(at for at, piece in enumerate(pieces) if isinstance(piece, escapes.Escape) or _says_anything(piece))
    texts: list[str] = []
    notes: list[cells.Note] = []
    requirements: list[str] = []
    asides: list[tuple[str, str]] = []
    hush = False
    for at, piece in enumerate(pieces):
        if isinstance(piece, str):
            texts.append(piece)
            continue
        rewrite = _line(piece, setting, depth)
        notes += rewrite.notes
        requirements += rewrite.requirements
        if rewrite.kept and not piece.before:
            asides.append((piece.source.strip("\n"), rewrite.kept))
            hush = at == last
            continue
        new = None if rewrite.kept else _placed(piece, rewrite, shown=at == last)
        if new is None:
            why = rewrite.kept or "what it assigns has no counterpart"
            return Body(notes=tuple(notes), requirements=tuple(requirements), kept=why)
        texts.append(new)
        hush = at == last and not _says_anything(new)
    made = "".join(texts).strip("\n")
    if edits.parsed(made) is None:
        return Body("".join(piece if isinstance(piece, str) else piece.source for piece in pieces))
    return Body(rewrites.hushed(made) if hush else made, tuple(notes), tuple(requirements), asides=tuple(asides))


def _placed(escape: escapes.Escape, rewrite: rewrites.Rewrite, *, shown: bool) -> str | None:
    """The lines in an escape's place; None where they can't stand there."""
    statements = [rewrites.indented(each, escape.indent) for each in rewrite.statements]
    if escape.target:
        if (rewrite.value is None and not statements) or (statements and not rewrites.alone(escape)):
            return None
        return "\n".join([*statements, f"{escape.before}{rewrite.value or 'None'}", ""])
    if rewrite.value is not None and shown and not escape.indent:
        statements.append(rewrite.value)
    elif rewrite.value is not None and "(" in rewrite.value:
        statements.append(f"{escape.indent}_unshown = {rewrite.value}")
    if not statements and escape.indent:
        statements = [f"{escape.indent}pass"]
    return "\n".join([*statements, ""]) if statements else ""


def _says_anything(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.split("\n"))


def _whole(rewrite: rewrites.Rewrite, setting: rewrites.Setting) -> Body:
    """A whole cell's rewrite."""
    lines = [*rewrite.statements, *([rewrite.value] if rewrite.value is not None else [])]
    code = "\n".join(lines)
    if not rewrite.kept and code and edits.parsed(code) is None:
        return Body(notes=rewrite.notes, requirements=rewrite.requirements, kept="it is no Python")
    return Body(code, rewrite.notes, rewrite.requirements, rewrite.kept, cell=rewrite.cell)


def _line(escape: escapes.Escape, setting: rewrites.Setting, depth: int) -> rewrites.Rewrite:
    """What takes an escape's place."""
    text = escape.text
    if escape.mark in ("!", "!!"):
        installed = _installed(text, setting, assigned=bool(escape.target))
        if installed:
            return installed
        as_lines = escape.mark == "!!" or escape.target
        return shell.lines(text, setting) if as_lines else shell.command(text, setting)
    if escape.mark in ("?", "??"):
        return rewrites.dropped(setting.note("magic", "Dropped a question for help: marimo shows it while one types."))
    if escape.mark == "%":
        return _line_magic(escape.name, escape.arguments.rstrip(), setting, depth, assigned=bool(escape.target))
    return _call(escape.mark, text)


def _call(mark: str, text: str) -> rewrites.Rewrite:
    """`,f a b`, `;f a b`, `/f a b`: calls, their arguments quoted each, all in one, or not at all."""
    name, _, arguments = text.partition(" ")
    inner = {",": '"' + '", "'.join(arguments.split()) + '"', ";": f'"{arguments}"', "/": ", ".join(arguments.split())}
    code = f"{name}({inner[mark]})"
    tree = edits.parsed(code)
    if tree is None or len(tree.body) != 1 or not name:
        return rewrites.kept("it is no Python")
    return rewrites.Rewrite(value=code)


def _installed(text: str, setting: rewrites.Setting, *, assigned: bool = False) -> rewrites.Rewrite | None:
    """A line that installs packages: into the header; what else it does goes on."""
    found = installs.command(text, setting)
    if found is None:
        return None
    if not found.statements:
        return dataclasses.replace(found, value="[]" if assigned else None)
    rest = shell.lines(found.statements[0], setting) if assigned else shell.command(found.statements[0], setting)
    return dataclasses.replace(rest, notes=(*found.notes, *rest.notes), requirements=found.requirements)


def _line_magic(
    name: str, arguments: str, setting: rewrites.Setting, depth: int, *, assigned: bool = False
) -> rewrites.Rewrite:
    if name in _SIMPLE:
        return _SIMPLE[name](arguments, setting)
    if name in _INSTALLERS:
        run = f"{{sys.executable}} -m pip {arguments}" if name == "pip" else f"{name} {arguments}"
        return _installed(f"%{name} {arguments}", setting, assigned=assigned) or _tool(name, arguments, run, setting)
    if name in surroundings.ALIASES and not assigned:
        return surroundings.alias(name, arguments, setting)
    if name == "timeit":
        return timing.timeit(arguments, None, setting)
    if name in _TIMED:
        return _timed(name, arguments if name == "time" else timing.profiled(arguments), setting, depth)
    if name in ("sql", "duckdb", "dql", "jupysql"):
        return sql.query(arguments, None, setting)
    if name == "pylab":
        return other_magics.pylab(arguments, setting)
    if name == "xdel" and arguments.strip().isidentifier():
        return rewrites.Rewrite((f"del {arguments.strip()}",), notes=(setting.note("magic", "`%xdel` is `del`."),))
    return other_magics.line(name, arguments, setting)


def _tool(name: str, arguments: str, run: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%pip list` and its like: commands that install nothing."""
    if name != "pip":
        return shell.command(run, setting)
    words = ", ".join(expansion.code(setting.parts(word)) for word in rewrites.plain_words(arguments))
    ran = f'daglab__subprocess.run([daglab__sys.executable, "-m", "pip", {words}], capture_output=True)'
    note = setting.note("shell", "`%pip` is run by subprocess.")
    return rewrites.Rewrite((f'print({ran}.stdout.decode(errors="replace"), end="")',), notes=(note,))


def _timed(name: str, code: str, setting: rewrites.Setting, depth: int) -> rewrites.Rewrite:
    """A magic that has Python for its argument or body."""
    body = _python(escapes.cleaned(code), setting, depth + 1)
    if body.kept or body.asides or body.cell:
        return rewrites.kept(body.kept or "a line in it is a magic without a counterpart")
    if edits.parsed(body.code) is None:
        return rewrites.kept("it is no Python")
    if not _does_anything(body.code):
        return rewrites.Rewrite(notes=body.notes, requirements=body.requirements)
    made = _TIMED[name](body.code, setting)
    return dataclasses.replace(
        made, notes=(*body.notes, *made.notes), requirements=(*body.requirements, *made.requirements)
    )


def _cell_magic(magic: escapes.CellMagic, setting: rewrites.Setting, depth: int) -> rewrites.Rewrite:
    """What takes a whole cell's place."""
    name, arguments, body = magic.name, magic.arguments, magic.body
    if name in shell.PROGRAMS or name == "script":
        return shell.script(name if name != "script" else "", arguments, body, setting)
    if name in ("writefile", "file"):
        return surroundings.writefile(arguments, body, setting)
    around = {"capture": _captured, "timeit": _timeit}.get(name)
    if around:
        return around(arguments, body, setting, depth)
    if name in _TIMED:
        if name == "time" and arguments.strip() not in ("", "--no-raise-error") and body.strip():
            return rewrites.kept("IPython takes no statement behind `%%time`")
        alone = arguments if name == "time" and not body.strip() else ""
        return _timed(name, body or alone, setting, depth)
    if name in ("sql", "duckdb", "dql", "jupysql"):
        return sql.query(arguments, body, setting)
    if name == "bigquery":
        return sql.bigquery(arguments, body, setting)
    if name in ("!", "sx", "system"):
        return shell.lines(body, setting)
    if name in other_magics.LOOKS and other_magics.has_looks(setting):
        return _without_looks(name, arguments, body, setting, depth)
    return other_magics.cell(name, body, setting)


def _does_anything(code: str) -> bool:
    tree = edits.parsed(code)
    return tree is None or bool(tree.body)


def _captured(arguments: str, code: str, setting: rewrites.Setting, depth: int) -> rewrites.Rewrite:
    body = _python(escapes.cleaned(code), setting, depth + 1)
    if body.kept or body.asides or body.cell or edits.parsed(body.code) is None:
        return rewrites.kept(body.kept or "a line in it has no counterpart")
    if not _does_anything(body.code) and all(word.startswith("-") for word in arguments.split()):
        return rewrites.Rewrite(notes=body.notes, requirements=body.requirements)
    made = timing.capture(arguments, body.code, setting)
    return dataclasses.replace(made, notes=(*body.notes, *made.notes), requirements=body.requirements)


def _without_looks(name: str, arguments: str, code: str, setting: rewrites.Setting, depth: int) -> rewrites.Rewrite:
    body = _python(escapes.cleaned(code), setting, depth + 1)
    if body.kept or body.asides or body.cell or edits.parsed(body.code) is None:
        return rewrites.kept(body.kept or "a line in it has no counterpart")
    made = other_magics.without_looks(name, arguments, body.code.strip("\n"), setting)
    return dataclasses.replace(made, notes=(*body.notes, *made.notes), requirements=body.requirements)


def _timeit(arguments: str, code: str, setting: rewrites.Setting, depth: int) -> rewrites.Rewrite:
    body = _python(escapes.cleaned(code), setting, depth + 1)
    if body.kept or body.asides or body.cell:
        return rewrites.kept(body.kept or "a line in it has no counterpart")
    made = timing.timeit(arguments, body.code, setting)
    return dataclasses.replace(made, notes=(*body.notes, *made.notes), requirements=body.requirements)


def _automatic(code: str, setting: rewrites.Setting) -> str:
    """A cell of one line that begins with a magic's name: IPython puts the percent sign there."""
    line = code.strip("\n")
    hit = _WORD.fullmatch(line) if "\n" not in line and len(line) < escapes.LONGEST_NAME else None
    if not hit or hit[1] not in AUTOMATIC or hit[1] in setting.names or (hit[2] or "").startswith(("=", ",")):
        return code
    return f"%{line}"


def _installing(code: str, setting: rewrites.Setting) -> Body:
    """A cell of nothing but `pip install ...` lines, which IPython takes only one by one; others as they are."""
    lines = [line.strip() for line in code.split("\n") if _says_anything(line)]
    if not lines or not all(line.startswith(("pip ", "pip3 ", "conda ")) for line in lines):
        return Body(code)
    if edits.parsed(code) is not None:
        return Body(code)
    found = [installs.command(line, setting) for line in lines]
    made = [each for each in found if each is not None and not each.statements]
    if len(made) < len(lines):
        return Body(code)
    notes = tuple(note for each in made for note in each.notes)
    return Body("", notes, tuple(line for each in made for line in each.requirements))
