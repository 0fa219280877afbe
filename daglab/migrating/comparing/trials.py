"""Runs of a Jupyter notebook and of the marimo notebook made of it, each in a child that leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import processes
from daglab.migrating import cells
from daglab.migrating.comparing import noise, probes, scratch

SCRIPT = Path(__file__).resolve().parents[2] / "children" / "comparison.py"
KERNEL = "daglab"
TIMEOUT = "timeout"  # the flaw of a run that was ended
# Installs are for the header of the new notebook; no comparison changes the environment.
_INSTALLS = (
    r"(?:\S*python[\w.]*\s+-m\s+|\{\s*sys\.executable\s*\}\s+-m\s+|sudo\s+)?"
    r"(?:pip[\w.]*|conda|mamba|micromamba|uv|poetry|apt|apt-get|brew)\b"
    r"(?=[^\n]*\b(?:install|uninstall|add|remove|update|upgrade|sync|create)\b)(?:[^\n]*\\\n)*[^\n]*"
)
_MAGIC = re.compile(rf"^([ \t]*)(?:%%?|!{{1,2}})[ \t]*{_INSTALLS}", re.MULTILINE)
_IN_SHELL = re.compile(rf"^([ \t]*){_INSTALLS}", re.MULTILINE)
_SHELL = re.compile(r"\s*%%(?:bash|sh|script\s+\S*sh)\b")
_SILENT: Mapping[str, Any] = {
    "stdout": "",
    "stderr": "",
    "shown": [],
    "error": None,
    "ended": True,
    "stopped": False,
}
_WORDS = re.compile(r"\b(pandas)\b")


@dataclass(frozen=True)
class Place:
    """The project's Python, the environment of what it runs, and the seconds that each run may take."""

    python: Sequence[str]
    env: Mapping[str, str]
    timeout: float


@dataclass(frozen=True)
class Ran:
    """What a run told: what each cell did, by Jupyter's number, for the new notebook by its place in the draft.

    `last` is the cell that began and came to no end, `flaw` why: `TIMEOUT`, or what was said of it.
    """

    cells: Mapping[int, Mapping[str, Any]]
    last: int | None = None
    flaw: str | None = None


def run_original(original: cells.Jupyter, idle: Collection[int], place: Place) -> Ran:
    """Run the Jupyter notebook by nbclient, to the first cell that raises; those in `idle` are left out."""
    wanted = [
        {"number": each.number, "source": without_installs(each.source), "tags": list(each.tags)}
        for each in original.cells
        if each.kind == "code" and each.source.strip() and each.number not in idle
    ]
    with tempfile.TemporaryDirectory(prefix="daglab-") as folder:
        top = Path(folder).resolve()
        env = {**_environment(place.env, top), **_jupyter(top, place.python)}
        inside = scratch.copy(original.path.resolve().parent, top / "copy")
        meant = _meant(original, inside, top)
        return _run("original", {"cells": wanted, "kernel": KERNEL}, place, env, top, inside, meant)


def run_new(original: cells.Jupyter, draft: cells.Draft, notebook: Path, probed: probes.Probed, place: Place) -> Ran:
    """Run the marimo notebook, in the original's folder, to the first cell that raises."""
    with tempfile.TemporaryDirectory(prefix="daglab-") as folder:
        top = Path(folder).resolve()
        own, home = original.path.resolve().parent, notebook.resolve().parent
        inside = scratch.copy(own, top / "copy")
        beside = inside if home == own else scratch.copy(home, top / "beside")
        # Where there is no copy of its folder, the notebook runs from elsewhere with its own folder on the path.
        file = (beside if beside.is_relative_to(top) else _made(top / "notebook")) / notebook.name
        file.unlink(missing_ok=True)  # it may be a link to the notebook itself
        file.write_text(probed.text, encoding="utf-8")
        order = {
            "notebook": str(file),
            "path": str(beside),
            "modules": sorted(set(_WORDS.findall(probed.text))),
        }
        meant = [*_meant(original, inside, top), (str(beside), str(home))]
        env = {**_environment(place.env, top), "MPLBACKEND": "agg"}  # no windows
        ran = _run("new", order, place, env, top, inside, meant)
    return _placed(ran, probed, draft)


def without_installs(source: str) -> str:
    """A cell's source whose lines that install something do nothing."""
    if _SHELL.match(source):
        return _IN_SHELL.sub(r"\1:", source)
    return _MAGIC.sub(r"\1pass", source)


def _run(
    which: str,
    order: Mapping[str, Any],
    place: Place,
    env: Mapping[str, str],
    top: Path,
    cwd: Path,
    meant: Sequence[tuple[str, str]],
) -> Ran:
    answer, wanted = top / "answer.jsonl", top / "order.json"
    wanted.write_text(json.dumps({**order, "answer": str(answer)}), encoding="utf-8")
    done = processes.run([*place.python, SCRIPT, which, str(wanted)], timeout=place.timeout, cwd=cwd, env=env)
    lines = list(_lines(answer))
    said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    return read(lines, TIMEOUT if done.timed_out else said, meant)


def read(lines: Sequence[Mapping[str, Any]], said: str, meant: Sequence[tuple[str, str]]) -> Ran:
    """What the child told, its texts settled; `said` is what is known of one that told no end."""
    found: dict[int, Mapping[str, Any]] = {}
    last: int | None = None
    flaw: str | None = None
    for line in lines:
        if "begun" in line:
            last = line["begun"]
        elif line.get("flaw"):
            flaw = line["flaw"]
        elif "done" in line:
            continue  # a notebook without code tells nothing else
        elif said == TIMEOUT and line["stopped"] and line["error"]["type"] == "KeyboardInterrupt":
            last = line["cell"]  # that is how it is ended
        else:
            found[line["cell"]] = _settled(line, meant)
            last = None
    if (last is not None or not lines) and flaw is None:
        flaw = said
    return Ran(found, last, flaw)


def _settled(line: Mapping[str, Any], meant: Sequence[tuple[str, str]]) -> dict[str, Any]:
    shown = [
        {**each, "text": None if each["text"] is None else noise.settled(each["text"], meant)} for each in line["shown"]
    ]
    # What a process of the original printed came another way than what its own code did: in which order is not known.
    direct = line.get("direct") or {}
    texts = {
        name: "\n".join(filter(None, (noise.settled(each.get(name, ""), meant) for each in (line, direct))))
        for name in ("stdout", "stderr")
    }
    if line.get("inside"):
        texts["inside"] = noise.settled(line["inside"], meant)
    return {**line, **texts, "shown": shown, "mixed": any(direct.values())}


def _placed(ran: Ran, probed: probes.Probed, draft: cells.Draft) -> Ran:
    """By place in the draft instead of in the file; a definition that stands by itself runs as the file is read."""
    told = dict(ran.cells)
    if told or ran.last is not None or ran.flaw is None:
        told.update({n: _SILENT for n, each in enumerate(probed.found) if each.kind != "cell"})
    found = {}
    at = probes.places(probed.found, draft)
    for number, line in told.items():
        place = at[number]
        if place is not None:
            found[place] = line
    return Ran(found, at[ran.last] if ran.last is not None else None, ran.flaw)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
        for line in file:
            with contextlib.suppress(ValueError):  # cut off by the end of its process
                yield json.loads(line)


def _environment(env: Mapping[str, str], top: Path) -> dict[str, str]:
    """The same for both: a terminal of one width, sets in one order, nothing written beside a module."""
    same = {
        "COLUMNS": "80",
        "LINES": "24",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "TMPDIR": str(_made(top / "tmp")),
    }
    return {**{name: value for name, value in env.items() if name != "PYTHONWARNINGS"}, **same}


def _jupyter(top: Path, python: Sequence[str]) -> dict[str, str]:
    """Folders of its own for Jupyter and IPython: no config, history or start-up file of a user's has a say."""
    kernel = _made(top / "jupyter" / "kernels" / KERNEL)
    argv = [*python, "-m", "ipykernel_launcher", "--IPKernelApp.capture_fd_output=False", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": KERNEL, "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return {
        "JUPYTER_PATH": str(top / "jupyter"),
        "JUPYTER_DATA_DIR": str(_made(top / "data")),
        "JUPYTER_RUNTIME_DIR": str(_made(top / "runtime")),
        "JUPYTER_CONFIG_DIR": str(_made(top / "config")),
        "JUPYTER_NO_CONFIG": "1",
        "IPYTHONDIR": str(_made(top / "ipython")),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _meant(original: cells.Jupyter, inside: Path, top: Path) -> list[tuple[str, str]]:
    """What stands for the places of this run; the longest first."""
    return [(str(inside), str(original.path.resolve().parent)), (str(top / "tmp"), "/tmp"), (str(top), "/tmp")]  # noqa: S108
