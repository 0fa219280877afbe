"""Magics that measure: `%time`, `%timeit`, `%prun`, `%memit` and what captures a cell's output."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Sequence

from daglab.migrating import cells, edits
from daglab.migrating.magic import rewrites

_TIMEIT = re.compile(r"\s*(?:-(?P<flag>[nrp])\s*(?P<number>\d+)|-(?P<bare>[oqtc]+)(?=\s|$)|-v\s+(?P<name>\w+))")
_PROFILED = re.compile(r"\s*-(?:[DlsTfmSu]\s*(?:\"[^\"]*\"|'[^']*'|\S+)|[rqcotim]+)(?=\s|$)")


def time(code: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%time`, `%%time`: the code, its names and its value as they were, and how long it took."""
    spent = rewrites.fresh("_spent", code)
    told = f'print(f"Wall time: {{{spent}.wall:.3g}} s")'
    note = setting.note("magic", "`%time` is measured by daglab's track_performance, which keeps a record.")
    return _within(f"daglab__helpers.track_performance({_name(setting)}) as {spent}", code, (told,), note)


def memory(code: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%memit`: the same for memory."""
    spent = rewrites.fresh("_spent", code)
    figures = ((f"{spent}.peak_memory", "peak memory"), (f"{spent}.memory_growth", "increment"))
    said = ", ".join(f"{name}: {{{value} / 2**20:.2f}} MiB" for value, name in figures)
    told = f'print(f"{said}")'
    note = setting.note("magic", "`%memit` is measured by daglab's track_performance, which keeps a record.")
    return _within(f"daglab__helpers.track_performance({_name(setting)}) as {spent}", code, (told,), note)


def profile(code: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%prun`: the code under Python's profiler, and its table."""
    made = rewrites.fresh("_profile", code)
    told = f'_ = daglab__pstats.Stats({made}).sort_stats("tottime").print_stats()'
    note = setting.note("magic", "`%prun` is Python's own profiler.")
    found = _within(f"daglab__cProfile.Profile() as {made}", code, (told,), note)
    return rewrites.Rewrite(found.statements, notes=found.notes, kept=found.kept)


def unprofiled(code: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%lprun`, `%mprun`, `%%heat`: the code without the profiler of another package."""
    note = setting.note(
        "magic", "Dropped a profiler of another package: what it measured is run without.", needs_person=True
    )
    tree = edits.parsed(code)
    if tree is None:
        return rewrites.kept("it is no Python")
    return rewrites.Rewrite((code,), notes=(note,))


def profiled(arguments: str) -> str:
    """What a profiler's magic is to run: its arguments without the options before it."""
    while hit := _PROFILED.match(arguments):
        arguments = arguments[hit.end() :]
    return arguments.strip()


def capture(arguments: str, code: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%%capture [name]`: the code, whose output nobody sees, or a name holds."""
    words = arguments.split()
    names = [word for word in words if not word.startswith("-")]
    if len(names) > 1 or not all(map(str.isidentifier, names)):
        return rewrites.kept("IPython does not take these arguments either")
    streams = [each for each in ("stdout", "stderr") if f"--no-{each}" not in words]
    held = {each: rewrites.fresh(f"_{each}", code) for each in streams}
    withs = [f"daglab__contextlib.redirect_{each}(daglab__io.StringIO()) as {name}" for each, name in held.items()]
    note = setting.note("magic", "`%%capture` keeps what the cell prints to itself.")
    plain = rewrites.Rewrite((code,), notes=(note,))
    found = _within(", ".join(withs), code, (), note) if withs else plain
    statements = found.statements
    value = found.value if "--no-display" in words else None
    if names:
        texts = {each: f"{held[each]}.getvalue()" if each in held else '""' for each in ("stdout", "stderr")}
        shows = ", ".join(f'print({text}, end=""{_FILES[each]})' for each, text in texts.items() if each in held)
        outputs = f"[{found.value}]" if found.value and value is None else "[]"
        # Bound now: another cell has a `_stdout` of its own.
        held_now = ", ".join(f"{name}={name}" for name in (*held.values(), *filter(None, [outputs[1:-1]])))
        show = f"lambda {held_now}: [{', '.join([shows, outputs[1:-1] or 'None'])}][-1]" if shows else "lambda: None"
        kept = f"stdout={texts['stdout']}, stderr={texts['stderr']}, outputs={outputs}, show={show}"
        statements = (*statements, f"{names[0]} = daglab__types.SimpleNamespace({kept})")
    return rewrites.Rewrite(statements, value, found.notes, kept=found.kept)


_FILES = {"stdout": "", "stderr": ", file=daglab__sys.stderr"}


def timeit(arguments: str, body: str | None, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%timeit statement`, `%%timeit [setup]` and its body: repeated, in a function, so that no name is left."""
    options, setup = timeit_options(arguments)
    if body is None:
        setup, body = "", setup
    timed = _function(setup, body)
    if not timed:
        return rewrites.kept("what it times can't stand in a function")
    made = "_prepared()" if setup.strip() else "_timed"
    loops = options.get("n") or f"daglab__timeit.Timer({made}).autorange()[0]"
    repeated = f"daglab__timeit.repeat({made}, number=_loops, repeat={options.get('r') or 7})"
    block = (
        f"with daglab__helpers.track_performance({_name(setting)}):",
        f"    _loops = {loops}",
        f"    _times = [_time / _loops for _time in {repeated}]",
    )
    statements = [timed, "\n".join(block)]
    if "q" not in options:
        spread = "{daglab__statistics.mean(_times):.3g} s ± {daglab__statistics.pstdev(_times):.3g} s per loop"
        statements.append(f'print(f"{spread} (mean ± std. dev. of {{len(_times)}} runs, {{_loops:,}} loops each)")')
    notes = (setting.note("magic", "`%timeit` repeats its statement by timeit, under daglab's track_performance."),)
    return rewrites.Rewrite(tuple(statements), _RESULT if "o" in options else None, notes)


_RESULT = (
    "daglab__types.SimpleNamespace(loops=_loops, repeat=len(_times), best=min(_times), worst=max(_times), "
    "average=daglab__statistics.mean(_times), stdev=daglab__statistics.pstdev(_times), timings=_times, "
    "all_runs=[_time * _loops for _time in _times])"
)


def _function(setup: str, body: str) -> str:
    """A function of what is timed, in one that prepares it where there is a setup; empty when it can't be one."""
    if edits.parsed(setup) is None or not _statements(body):
        return ""
    timed = f"def _timed():\n{rewrites.indented(body)}"
    if setup.strip():
        shared = sorted(rewrites.bound(setup) & rewrites.bound(body))
        declared = f"{rewrites.INDENT}nonlocal {', '.join(shared)}\n" if shared else ""
        inner = rewrites.indented(f"def _timed():\n{declared}{rewrites.indented(body)}")
        timed = f"def _prepared():\n{rewrites.indented(setup)}\n{inner}\n{rewrites.INDENT}return _timed"
    return timed if edits.parsed(timed) is not None else ""


def timeit_options(arguments: str) -> tuple[dict[str, str], str]:
    """The options of `%timeit`, and the statement after them."""
    options: dict[str, str] = {}
    while hit := _TIMEIT.match(arguments):
        if hit["flag"]:
            options[hit["flag"]] = hit["number"] if hit["number"] != "0" else ""
        for flag in hit["bare"] or "":
            options[flag] = flag
        arguments = arguments[hit.end() :]
    return options, arguments.strip()


def _within(head: str, code: str, after: Sequence[str], note: cells.Note) -> rewrites.Rewrite:
    """Code below a `with`, and its value, when it has one, after that."""
    value = rewrites.fresh("_value", code)
    apart, has_value = rewrites.shown_apart(code, value)
    if not _statements(apart):
        apart = f"{apart.rstrip()}\npass".lstrip()
    block = f"with {head}:\n{rewrites.indented(apart.rstrip())}"
    if edits.parsed(block) is None:
        return rewrites.kept("it can't stand below a `with`")
    if not has_value:
        return rewrites.Rewrite((block, *after), None, (note,))
    # A `with` may swallow an exception: bound before it, the name is surely this cell's own.
    return rewrites.Rewrite((f"{value} = None", block, *after), value, (note,))


def _statements(code: str) -> list[ast.stmt]:
    tree = edits.parsed(code)
    return tree.body if tree else []


def _name(setting: rewrites.Setting) -> str:
    return f'"cell {setting.number}"'


def shown(made: list[cells.Cell]) -> list[cells.Cell]:
    """Cells in which what `%%capture` holds is shown by its method, where it was called."""
    held = {
        name
        for cell in made
        if cell.kind == "code"
        for name in re.findall(r"(?m)^(\w+) = daglab__types\.SimpleNamespace\(stdout=", cell.code)
    }
    if not held:
        return made
    return [dataclasses.replace(cell, code=_showing(cell.code, held)) if cell.kind == "code" else cell for cell in made]


def _showing(code: str, held: set[str]) -> str:
    tree = edits.parsed(code)
    found = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in held and not node.args:
            found.append(edits.Edit(*edits.span(code, node.func), f"{node.func.id}.show"))
    return edits.apply(code, found)
