"""Runs a Jupyter notebook by nbclient or a marimo one by marimo, and tells what each cell printed and showed.

Run by the project's own Python under daglab's keeper: `comparison.py original|new ORDER.json`. The answer is a file of
JSON lines that the order names, written as the cells run, so that what hangs or dies leaves what it did before:
`{"begun": n}`, then `{"cell": n, "stdout", "stderr", "shown", "error"}`, or one `{"flaw": ...}`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import re
import runpy
import sys
import traceback
from typing import Any

RICH = ("text/html", "text/markdown", "text/latex")
LONGEST = 200_000  # characters of a text that are compared


def main(which: str, path: str) -> None:
    """Do what the order says."""
    with open(path, encoding="utf-8") as file:
        order = json.load(file)
    sys.argv = [order.get("notebook", "")]
    # Everything that a notebook prints goes to descriptors 1 and 2; the answer has one of its own.
    answer = os.open(order["answer"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.set_inheritable(answer, False)

    def tell(**line: Any) -> None:
        os.write(answer, json.dumps(line).encode() + b"\n")

    (run_original if which == "original" else run_new)(order, tell)


def run_original(order: dict[str, Any], tell: Any) -> None:
    """Run a Jupyter notebook's code cells to the first that raises, with this very Python as their kernel."""
    missing = [name for name in ("nbclient", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        tell(flaw=f"Run {sys.executable} -m pip install nbclient ipykernel: the original needs them.")
        return
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    nbformat: Any = importlib.import_module("nbformat")
    cells = [
        nbformat.v4.new_code_cell(each["source"], metadata={"tags": each["tags"]}, id=f"c{each['number']}")
        for each in order["cells"]
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        book, timeout=None, kernel_name=order["kernel"], resources={"metadata": {"path": os.getcwd()}}
    )
    number = None
    direct, widgets = Printed(), Widgets(client)
    try:
        with client.setup_kernel():
            direct.take()
            for index, cell in enumerate(cells):
                number = order["cells"][index]["number"]
                tell(begun=number)
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    told = heard(cell.outputs)
                    # A magic that is used wrongly leaves no output but a line on stderr.
                    told["error"] = told["error"] or {"type": error.ename, "text": bounded(error.evalue)}
                    tell(cell=number, **told, direct=direct.take(), stopped=True)
                    return
                tell(cell=number, **heard(cell.outputs), **widgets.take(), direct=direct.take(), stopped=False)
    except Exception as error:  # a kernel that dies or does not start
        tell(flaw=f"{type(error).__name__}: {error}"[:500], cell=number)
    else:
        tell(done=True)


class Widgets:
    """What is printed into ipywidgets' outputs, as `interact` does."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.before: dict[str, str] = {}

    def take(self) -> dict[str, str]:
        """What has come there since the last time."""
        states = getattr(self.client, "widget_state", {})
        now = {name: self.printed(state.get("outputs") or ()) for name, state in dict(states).items()}
        new = [text.removeprefix(self.before.get(name, "")) for name, text in now.items()]
        self.before = now
        return {"inside": bounded("\n".join(filter(None, new)))}

    @staticmethod
    def printed(outputs: Any) -> str:
        """The text of these outputs."""
        return "".join(each["text"] for each in outputs if each["output_type"] == "stream")


def heard(outputs: list[Any]) -> dict[str, Any]:
    """What Jupyter has recorded of a cell, bounded."""
    texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    shown, error = [], None
    for each in outputs:
        if each["output_type"] == "stream":
            texts[each["name"]].append(each["text"])
        elif each["output_type"] == "error":
            error = {"type": each["ename"], "text": bounded(each["evalue"])}
        else:
            data = {
                kind: bounded(text if isinstance(text, str) else json.dumps(text))
                for kind, text in each["data"].items()
            }
            shown.append({"text": data.pop("text/plain", None), "data": data})
    return {**{name: bounded("".join(parts)) for name, parts in texts.items()}, "shown": shown, "error": error}


def bounded(text: str) -> str:
    """The text, or its beginning; pictures are not compared."""
    return text[:LONGEST]


def run_new(order: dict[str, Any], tell: Any) -> None:
    """Run a marimo notebook whose cells call two functions of ours, to the first cell that raises."""
    import builtins
    import warnings

    watch = Watch(tell)
    builtins.daglab__begin = watch.begin  # type: ignore[attr-defined]
    builtins.daglab__end = watch.end  # type: ignore[attr-defined]
    sys.path[0] = order["path"]
    warnings.filterwarnings("ignore", message=".*is non-interactive, and thus cannot be shown")
    try:
        import marimo

        watch.listen(marimo)
        as_jupyter(order["modules"])
        runpy.run_path(order["notebook"], run_name="__main__")  # as `python notebook.py` does
    except BaseException as error:  # a notebook's SystemExit too
        if watch.current is None:
            tell(flaw=f"{type(error).__name__}: {error}"[:500])
        else:
            traceback.print_exc()
            watch.failed(error)
    else:
        tell(done=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that a notebook leaves would keep it


def as_jupyter(modules: list[str]) -> None:
    """What libraries do otherwise in Jupyter, and what is no matter of the notebook: how wide pandas' tables are."""
    if "pandas" in modules:
        with contextlib.suppress(Exception):
            pandas: Any = importlib.import_module("pandas")
            pandas.set_option("display.max_columns", 20)


class Printed:
    """What comes to descriptors 1 and 2, which are files: of subprocesses too."""

    def __init__(self) -> None:
        self.offsets = {1: 0, 2: 0}

    def take(self) -> dict[str, str]:
        """What has come since the last time."""
        return {"stdout": self.since(1, sys.stdout), "stderr": self.since(2, sys.stderr)}

    def since(self, descriptor: int, stream: Any) -> str:
        """What has come to one of them."""
        with contextlib.suppress(Exception):
            stream.flush()
        start, self.offsets[descriptor] = self.offsets[descriptor], os.fstat(descriptor).st_size
        # Reading at a place leaves the one where it is written as it is.
        text = os.pread(descriptor, min(self.offsets[descriptor] - start, 4 * LONGEST), start)
        return bounded(text.decode("utf-8", "replace"))


class Watch:
    """What a marimo notebook's cells print and show, one at a time."""

    def __init__(self, tell: Any) -> None:
        self.tell = tell
        self.current: int | None = None
        self.shown: list[dict[str, Any]] = []
        self.stacks: list[tuple[Any, Any]] = []
        self.printed = Printed()
        self.formatter: Any = None
        with contextlib.suppress(ImportError):
            from IPython.core.formatters import DisplayFormatter

            self.formatter = DisplayFormatter()
            self.formatter.ipython_display_formatter.enabled = False

    def listen(self, marimo: Any) -> None:
        """Take what is shown by `mo.output`, which a script shows nowhere."""
        marimo.output.append = self.show
        with contextlib.suppress(ImportError):
            # Where no IPython runs, its display() prints; marimo has it show, in the browser alone.
            importlib.import_module("IPython.display")
            from IPython.core import display_functions

            def display(*values: Any, **_: Any) -> None:
                for value in values:
                    self.show(value)

            sys.modules["IPython.display"].display = display_functions.display = display  # type: ignore[attr-defined]

        def replace(value: Any) -> None:
            self.shown.clear()
            self.show(value)

        vstack = marimo.vstack

        def stack(items: Any, **options: Any) -> Any:
            made = vstack(items, **options)
            if isinstance(items, (list, tuple)) and not options:
                self.stacks.append((made, items))
            return made

        marimo.vstack = stack
        marimo.output.replace = replace
        marimo.output.clear = self.shown.clear

    def show(self, value: Any = None) -> None:
        """A value is shown; of a stack, each that is in it, as display() of several does."""
        for made, items in self.stacks:
            if made is value:
                for each in items:
                    self.show(each)
                return
        if value is not None:
            self.shown.append(self.described(value))

    def begin(self, number: int) -> None:
        """A cell begins."""
        if self.current is not None:  # mo.stop ended the one before
            self.report(None)
        self.printed.take()  # what was printed until now belongs to no cell
        self.current = number
        self.shown.clear()
        self.tell(begun=number)

    def end(self, number: int, *value: Any) -> Any:
        """A cell has come to its end, and shows a value where it has one; that value is handed on."""
        self.show(*value)
        self.report(None, ended=True)
        return value[0] if value else None

    def failed(self, error: BaseException) -> None:
        """The cell has raised."""
        self.report({"type": type(error).__name__, "text": bounded(str(error))}, stopped=True)

    def report(self, error: dict[str, str] | None, *, ended: bool = False, stopped: bool = False) -> None:
        """What the cell did."""
        number, self.current = self.current, None
        self.tell(cell=number, **self.printed.take(), shown=list(self.shown), error=error, ended=ended, stopped=stopped)

    def described(self, value: Any) -> dict[str, Any]:
        """A value as Jupyter would have recorded it, as far as texts go."""
        if type(value).__module__.partition(".")[0] == "marimo":
            return {"text": None, "data": {}, "marimo": marimo_text(value)}
        try:
            if self.formatter is None:
                return {"text": bounded(repr(value)), "data": {}}
            # HTML and the like tell more than the name of IPython's own objects; a table's HTML is not worth its time.
            rich = type(value).__module__.partition(".")[0] == "IPython"
            data, _ = self.formatter.format(value, include={"text/plain", *(RICH if rich else ())})
            data = {kind: bounded(text) for kind, text in data.items() if isinstance(text, str)}
            return {"text": data.pop("text/plain", None), "data": data}
        except Exception as error:  # whatever the user's own type does instead of showing itself
            return {"text": None, "data": {}, "flaw": type(error).__name__}


def marimo_text(value: Any) -> dict[str, Any]:
    """What can be had of one of marimo's own objects: its HTML, and the value of a control."""
    found: dict[str, Any] = {"kind": type(value).__name__}
    with contextlib.suppress(Exception):
        found["html"] = bounded(re.sub(r"\s+", " ", value.text))
    for name in ("_value", "value"):  # the public one can't be read in the cell that made it
        with contextlib.suppress(Exception):
            found.setdefault("value", bounded(repr(getattr(value, name))))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
