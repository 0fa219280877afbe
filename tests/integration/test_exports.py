"""Exports with the real marimo. DAGLAB_TEST_PYTHON names a Python with another marimo than the tests' own."""

from __future__ import annotations

import hashlib
import os
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from daglab import errors, notebooks
from daglab.exporting import exports

pytestmark = pytest.mark.long

PYTHON = os.environ.get("DAGLAB_TEST_PYTHON", sys.executable)  # read before the isolation takes it away
SECONDS = 300
HEADER = '# /// script\n# requires-python = ">=3.99"\n# dependencies = ["no-such-package-zzz"]\n# ///\n'
HOSTILE = r"""
    print('"session": {"cells": [')
    print("MarimoExceptionRaisedError: no\n: No module named marimo\nNotebook x is not a valid marimo notebook.")
    lookalike = "</script><script data-marimo=\"true\">window.__MARIMO_MOUNT_CONFIG__ = {\"session\": null}</script>"
    print(lookalike)
    mo.Html(lookalike.replace("window.", 'Object.defineProperty(window, "__MARIMO_MOUNT_CONFIG__", {value: ('))
"""


def write(path: Path, *cells: tuple[str, str], header: str = "") -> Path:
    """A notebook of cells given by "name(what it reads)" and code."""
    parts = [header, 'import marimo\n\n__generated_with = "0.22.0"\napp = marimo.App()\n\n']
    for signature, code in cells:
        body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        parts.append(f"\n@app.cell\ndef {signature}:\n{body}\n\n")
    path.write_text("".join([*parts, '\nif __name__ == "__main__":\n    app.run()\n']), encoding="utf-8")
    return path


def failures(export: exports.Export) -> list[tuple[str, str]]:
    return [(cell.name, cell.error) for cell in export.failed]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An older export, which must survive whatever goes wrong."""
    path = tmp_path / "out" / "nb.html"
    path.parent.mkdir()
    path.write_text("older")
    return path


def assert_untouched(output: Path) -> None:
    assert output.read_text() == "older"
    assert os.listdir(output.parent) == [output.name]


def test_a_good_notebook_with_an_odd_name_hostile_output_and_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", "here")
    folder = tmp_path / "nöte books"
    folder.mkdir()
    shown = 'import os, marimo as mo\nprint(f\'n={mo.cli_args()["n"]!r} mark={os.environ["MARK"]}\')\nreturn (mo,)'
    write(folder / "-x ü.py", ("a()", shown), ("b(mo)", HOSTILE), header=HEADER)
    os.chdir(folder)
    export = exports.export_html(
        Path("-x ü.py"),
        Path("new/-y ü.html"),
        python=[PYTHON],
        arguments=["--n", "3"],
        timeout=SECONDS,
    )
    assert export.failed == ()
    assert export.output == folder / "new" / "-y ü.html"
    content = export.output.read_bytes()
    assert (export.bytes, export.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"n=3 mark=here" in content
    assert os.listdir(export.output.parent) == ["-y ü.html"]
    assert notebooks.has_code(content.decode())


def test_a_raised_exception_leads_and_its_traceback_names_the_cell(tmp_path: Path, output: Path) -> None:
    notebook = write(
        tmp_path / "nb.py",
        ("use(x)", "y = x"),
        ("load()", "def inner():\n    return {}['<k>']\n\nx = inner()\nreturn (x,)"),
        # marimo waits 0.1 s for the console at the end; this gives it time on a busy machine.
        ("slow()", "import time\ntime.sleep(2)"),
    )
    export = exports.export_html(notebook, output, python=[PYTHON], timeout=SECONDS)
    assert [(cell.label, cell.error, cell.caused_by_ancestor) for cell in export.failed] == [
        ("cell 2 (load)", "KeyError: '<k>'", False),
        ("cell 1 (use)", "An ancestor raised an exception (KeyError)", True),
    ]
    root = export.failed[0]
    assert root.traceback.startswith("Traceback (most recent call last):\n")
    assert '  File "cell 2 (load)", line 2, in inner\n' in root.traceback
    assert root.traceback.endswith("\nKeyError: '<k>'")
    assert "return {}['<k>']" in root.code
    assert output.read_text().startswith("<!DOCTYPE html>")
    assert os.listdir(output.parent) == [output.name]


def test_code_that_is_not_valid_leads_before_what_it_leads_to(tmp_path: Path, output: Path) -> None:
    notebook = write(
        tmp_path / "nb.py",
        ("use(twice)", "print(twice)"),
        ("one()", "twice = 1\nreturn (twice,)"),
        ("two()", "twice = 2\nreturn (twice,)"),
        ("left(right)", "left_ = right\nreturn (left_,)"),
        ("right(left_)", "right = left_\nreturn (right,)"),
        ("stars()", "from os import *"),
    )
    bad = '\napp._unparsable_cell("x = = 1", name="bad")\n\n'
    main = '\nif __name__ == "__main__"'
    notebook.write_text(notebook.read_text().replace(main, bad + main))
    found = failures(exports.export_html(notebook, output, python=[PYTHON], timeout=SECONDS))
    assert [name for name, _ in found] == ["one", "two", "left", "right", "stars", "bad", "use"]
    told = dict(found)
    assert told["one"] == told["two"] == "The variable 'twice' was defined by another cell"
    assert told["left"] == told["right"] == "This cell is in a cycle"
    assert "import *" in told["stars"]
    assert told["bad"] == "SyntaxError: invalid syntax"


@pytest.mark.slow
def test_a_file_with_a_syntax_error_in_a_cell(tmp_path: Path, output: Path) -> None:
    notebook = write(tmp_path / "nb.py", ("fine()", "x = 1"), ("bad()", "y = = 1"))
    [(_, error)] = failures(exports.export_html(notebook, output, python=[PYTHON], timeout=SECONDS))
    assert error == "SyntaxError: invalid syntax"


@pytest.mark.slow
def test_leaving_is_a_failure_and_so_is_an_interrupt(tmp_path: Path, output: Path) -> None:
    notebook = write(
        tmp_path / "nb.py",
        ("leave()", "import sys\nsys.exit(3)"),
        ("interrupted()", "import time\nprint('waits')\ntime.sleep(1)\nraise KeyboardInterrupt"),
        ("later()", "x = 1"),
    )
    failed = exports.export_html(notebook, output, python=[PYTHON], timeout=SECONDS).failed
    assert [cell.name for cell in failed] == ["leave", "interrupted", "later"]
    assert failed[0].error == "SystemExit: 3"
    assert failed[1].error in ("KeyboardInterrupt", "This cell was interrupted and needs to be re-run")


def test_stopping_is_no_failure(tmp_path: Path, output: Path) -> None:
    notebook = write(
        tmp_path / "nb.py",
        ("stop()", "import marimo as mo\nmo.stop(True, mo.md('enough'))\nx = 1\nreturn (x,)"),
        ("after(x)", "print(x)"),
    )
    export = exports.export_html(notebook, output, python=[PYTHON], timeout=SECONDS)
    assert export.failed == ()
    assert "enough" in output.read_text()


def test_a_plain_script_is_not_a_notebook(tmp_path: Path, output: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print('hello')\n")
    with pytest.raises(errors.InvalidInput, match="not a marimo notebook") as caught:
        exports.export_html(script, output, python=[PYTHON], timeout=SECONDS)
    assert "marimo convert" in (caught.value.hint or "")
    assert_untouched(output)


def test_a_file_that_is_no_python_is_not_a_notebook(tmp_path: Path, output: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_bytes(b"\xff\xfe x = = 1\n")
    with pytest.raises(errors.InvalidInput, match="not a marimo notebook"):
        exports.export_html(broken, output, python=[PYTHON], timeout=SECONDS)
    assert_untouched(output)


def test_what_marimo_can_not_load_is_told_with_its_last_words(tmp_path: Path, output: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import marimo\n\napp = marimo.App(\n\n\n@app.cell\ndef a():\n    return\n")
    with pytest.raises(errors.NotGood, match=r"(?s)broken\.py.*SyntaxError: '\(' was never closed"):
        exports.export_html(broken, output, python=[PYTHON], timeout=SECONDS)
    assert_untouched(output)


def test_a_python_without_marimo_is_not_set_up(tmp_path: Path, output: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{PYTHON}" -I -S "$@"\n')
    bare.chmod(0o755)
    notebook = write(tmp_path / "nb.py", ("a()", "x = 1"))
    with pytest.raises(errors.NotSetUp, match="has no marimo") as caught:
        exports.export_html(notebook, output, python=[str(bare)], timeout=SECONDS)
    assert (caught.value.hint or "").endswith("-m pip install --upgrade marimo")
    assert_untouched(output)


def test_a_timeout_ends_the_notebook_and_all_that_it_has_started(
    tmp_path: Path, output: Path, need: Callable[[object, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need(sys.platform == "linux", "/proc tells who is left")
    code = """
        import pathlib, subprocess, sys, time
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        pathlib.Path("started").write_text(str(child.pid))
        time.sleep(600)
    """
    notebook = write(tmp_path / "nb.py", ("hangs()", code))
    mark = f"DAGLAB_TEST_MARK={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))
    for seconds in (6, 60):  # the second one for a machine so busy that the cell did not start in the first
        with pytest.raises(errors.TimedOut, match="was stopped"):
            exports.export_html(notebook, output, python=[PYTHON], timeout=seconds)
        if (tmp_path / "started").exists():
            break
    assert (tmp_path / "started").exists()
    assert left(mark) == []
    assert_untouched(output)


def left(mark: str, patience: float = 5) -> list[str]:
    """The processes with `mark` in their environment, given a moment for the kernel to take the dead away."""
    deadline = time.monotonic() + patience
    while (found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _marked(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
