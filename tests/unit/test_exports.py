"""What daglab does about each way in which marimo can end, with a script in the place of Python and marimo."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from daglab import errors
from daglab.exporting import exports
from daglab.page import content, writing
from daglab.settings import config

CELL = {"id": "Hbol", "name": "a", "code": "1 / 0"}
FAILURE = {"type": "error", "ename": "exception", "evalue": "division by zero"}
INVALID = "Notebook nb.py is not a valid marimo notebook."

Python = Callable[..., list[str]]


def page(outputs: list[object], code: str = "1 / 0") -> str:
    notebook = json.dumps({"cells": [{**CELL, "code": code}]})
    session = json.dumps({"cells": [{"id": "Hbol", "outputs": outputs, "console": []}]})
    return (
        '<!DOCTYPE html><html><head><script data-marimo="true">window.__MARIMO_MOUNT_CONFIG__ = '
        f'{{"notebook": {notebook}, "session": {session}}}</script></head><body></body></html>'
    )


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Makes a program that takes the command line of `python -m marimo export html`, and ends as told."""

    def make(html: str | None, code: int = 0, stderr: str = "", then: str = "") -> list[str]:
        program = tmp_path / "bin" / "python"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"#!{sys.executable}\n"
            "import json, os, pathlib, sys, time\n"
            "place = pathlib.Path(sys.argv[sys.argv.index('-o') + 1])\n"
            f"pathlib.Path({str(tmp_path / 'seen.json')!r}).write_text(json.dumps(\n"
            "    {'argv': sys.argv[1:], 'cwd': os.getcwd(), 'mark': os.environ.get('MARK')}))\n"
            f"html = {html!r}\n"
            "if html is not None: place.write_text(html)\n"
            f"print({stderr!r}, file=sys.stderr, flush=True)\n"
            f"{then}\n"
            f"sys.exit({code})\n"
        )
        program.chmod(0o755)
        return [str(program)]

    return make


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "nb.py"
    path.write_text("import marimo\n")
    return path


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


def test_a_good_export_is_put_in_place_and_measured(python: Python, notebook: Path, output: Path) -> None:
    made = page([{"type": "data", "data": {"text/plain": "ü"}}], "shown = 1")
    export = exports.export_html(notebook, output, python=python(made), timeout=None)
    html = output.read_text()
    assert html == writing.readable(made)
    assert (export.content_sha256, export.results) == (content.digest(made), {})
    assert os.listdir(output.parent) == [output.name]
    assert (export.notebook, export.output, export.failed) == (notebook, output, ())
    assert (export.bytes, export.sha256) == (len(html.encode()), hashlib.sha256(html.encode()).hexdigest())
    assert export.exported_at.tzinfo is timezone.utc
    assert datetime.now(timezone.utc) - export.exported_at < timedelta(minutes=5)
    assert 0 < export.seconds < 300


def test_marimo_gets_absolute_paths_the_arguments_and_no_sandbox(
    python: Python, tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-x ü.py").write_text("")
    program = python(page([]))
    monkeypatch.setenv("MARK", "1")
    words = ["-f", "--n", "3", "--token=abcdef"]
    export = exports.export_html(Path("-x ü.py"), Path("out/nb.html"), python=program, arguments=words, timeout=60)
    assert export.parameters == {"f": "", "n": 3, "token": "***"}
    seen = json.loads((tmp_path / "seen.json").read_text())
    argv = seen["argv"]
    assert argv[:5] == ["-m", "marimo", "export", "html", str(tmp_path / "-x ü.py")]
    assert argv[-7:] == ["-f", "--no-sandbox", "--", *words]
    assert Path(argv[6]).parent == output.parent
    assert Path(argv[6]).name.startswith(".")
    assert (seen["cwd"], seen["mark"]) == (str(tmp_path), "1")


def test_failed_cells_are_told_and_the_page_is_kept(python: Python, notebook: Path, output: Path) -> None:
    export = exports.export_html(notebook, output, python=python(page([FAILURE]), 1), timeout=60)
    assert [(cell.label, cell.error) for cell in export.failed] == [("cell 1 (a)", "division by zero")]
    assert "division by zero" in output.read_text()


def test_failed_cells_count_where_marimo_says_that_all_is_well(python: Python, notebook: Path, output: Path) -> None:
    """Seen in marimo 0.25: an interrupted cell that nothing depends on ends with 0."""
    assert exports.export_html(notebook, output, python=python(page([FAILURE])), timeout=60).failed


def test_missing_folders_are_made_and_the_mode_is_the_usual(python: Python, notebook: Path, tmp_path: Path) -> None:
    output = tmp_path / "a" / "b" / "nb.html"
    exports.export_html(notebook, output, python=python(page([])), timeout=60)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(output.stat().st_mode) == 0o666 & ~mask


def test_the_mode_of_an_older_export_is_kept_and_so_is_a_link_to_it(
    python: Python, notebook: Path, output: Path, tmp_path: Path
) -> None:
    output.chmod(0o640)
    link = tmp_path / "latest.html"
    link.symlink_to(output)
    export = exports.export_html(notebook, link, python=python(page([])), timeout=60)
    assert link.is_symlink()
    assert export.output == link
    assert output.read_text() == writing.readable(page([]))
    assert stat.S_IMODE(output.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("html", "code", "stderr", "kind", "words"),
    [
        (None, 1, "marimo._ast.parse.NonMarimoPythonScriptError: Python script", errors.InvalidInput, "not a marimo"),
        (None, 1, "/usr/bin/python: No module named marimo", errors.NotSetUp, "has no marimo"),
        ("<html>", 1, "Traceback\nOSError: [Errno 28] No space left on device", errors.InvalidInput, "disk is full"),
        (None, 2, "Error: No such option '--no-sandbox'.\n\nUsage", errors.NotSetUp, "too old: Error: No such option"),
        (None, 1, "a\nb\nc\nd\ne\nf\n\x1b[31mSyntaxError\x1b[0m: g", errors.NotGood, r"1\)\.\nb\nc\nd\ne\nf\nSyntaxE"),
        (None, 1, "NonMarimoPythonScriptError\nMemoryError: x", errors.NotGood, "MemoryError"),
        (None, 0, "", errors.NotGood, "It printed nothing"),
        (None, -9, "", errors.NotGood, "signal 9"),
        ("<html>half", 1, "OSError: No space left on device", errors.NotGood, "No space left"),
        ("<html>half", 0, "", errors.InvalidInput, "can't be read"),
        (page([]), 1, "RuntimeError: late", errors.NotGood, "RuntimeError: late"),
        (page([], code=""), 0, INVALID, errors.InvalidInput, "not a marimo notebook"),
    ],
)
def test_what_marimo_did_not_do_is_an_error_and_the_older_export_stays(
    html: str | None,
    code: int,
    stderr: str,
    kind: type[errors.DaglabError],
    words: str,
    python: Python,
    notebook: Path,
    output: Path,
) -> None:
    then = "os.kill(os.getpid(), 9)" if code < 0 else ""
    with pytest.raises(kind, match=words) as caught:
        exports.export_html(notebook, output, python=python(html, code, stderr, then), timeout=60)
    assert caught.value.hint
    assert_untouched(output)


def test_a_cell_that_prints_marimos_words_is_not_believed(python: Python, notebook: Path, output: Path) -> None:
    assert exports.export_html(notebook, output, python=python(page([]), 0, INVALID), timeout=60).failed == ()
    stderr = "NonMarimoPythonScriptError\n: No module named marimo\nMarimoExceptionRaisedError: division by zero"
    assert exports.export_html(notebook, output, python=python(page([FAILURE]), 1, stderr), timeout=60).failed


def test_an_empty_notebook_is_a_good_one(python: Python, notebook: Path, output: Path) -> None:
    assert exports.export_html(notebook, output, python=python(page([], code="")), timeout=60).failed == ()


def test_hints_can_be_pasted_into_a_shell(python: Python, tmp_path: Path, output: Path) -> None:
    path = tmp_path / "my notebook.py"
    path.write_text("")
    program = python(None, 1, "NonMarimoPythonScriptError: x")
    with pytest.raises(errors.InvalidInput) as caught:
        exports.export_html(path, output, python=program, timeout=60)
    new = tmp_path / "my notebook_marimo.py"
    assert (caught.value.hint or "").endswith(f"{program[0]} -m marimo convert '{path}' -o '{new}'")


def test_a_package_hidden_by_a_folder_gets_another_hint(python: Python, notebook: Path, output: Path) -> None:
    stderr = "python: No module named marimo.__main__; 'marimo' is a package and cannot be directly executed"
    with pytest.raises(errors.NotSetUp) as caught:
        exports.export_html(notebook, output, python=python(None, 1, stderr), timeout=60)
    assert "rename" in (caught.value.hint or "")


def test_a_timeout_leaves_the_older_export_even_when_the_page_was_written(
    python: Python, notebook: Path, output: Path
) -> None:
    program = python(page([]), then="time.sleep(600)")
    with pytest.raises(errors.TimedOut, match=r"after 1\.5 s") as caught:
        exports.export_html(notebook, output, python=program, timeout=1.5)
    assert "--timeout" in (caught.value.hint or "")
    assert_untouched(output)


def test_an_interrupt_leaves_no_temporary_file(notebook: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daglab.processes.run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exports.export_html(notebook, output, python=["python"], timeout=None)
    assert_untouched(output)


def test_a_python_that_is_not_there_is_not_set_up(notebook: Path, output: Path) -> None:
    with pytest.raises(errors.NotSetUp):
        exports.export_html(notebook, output, python=["/nowhere/bin/python"], timeout=60)
    assert_untouched(output)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("daglab.processes.run", run)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("name", "words"), [("missing.py", "no notebook"), ("nb.ipynb", "ends in none"), ("folder.py", "read as a file")]
)
def test_a_path_that_is_no_notebook_is_refused_before_anything_starts(
    name: str, words: str, tmp_path: Path, output: Path
) -> None:
    (tmp_path / "nb.ipynb").touch()
    (tmp_path / "folder.py").mkdir()
    kind = errors.NotSetUp if name == "missing.py" else errors.InvalidInput
    with pytest.raises(kind, match=words) as caught:
        exports.export_html(tmp_path / name, output, python=["python"], timeout=60)
    assert caught.value.hint
    assert_untouched(output)
    assert not (tmp_path / "missing.py").exists()


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", ["nb.py", "out/../nb.py", "symbolic.html", "hard.html"])
def test_the_notebook_is_never_overwritten(name: str, notebook: Path, output: Path, tmp_path: Path) -> None:
    (tmp_path / "symbolic.html").symlink_to(notebook)
    os.link(notebook, tmp_path / "hard.html")
    with pytest.raises(errors.InvalidInput, match="would overwrite the notebook"):
        exports.export_html(Path("nb.py"), tmp_path / name, python=["python"], timeout=60)
    assert notebook.read_text() == "import marimo\n"


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out", "is a folder"),
        ("pipe", "not an ordinary file"),
        ("nb.py/x.html", "can't be written: its folder is a file"),
        ("nb.py/a/x.html", "can't be written: Not a directory"),
        ("loop.html", "can't be written: Too many levels"),
        (f"{'x' * 300}.html", "can't be written: File name too long"),
    ],
)
def test_an_output_that_can_not_be_written_is_refused_before_anything_starts(
    name: str, words: str, notebook: Path, output: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop.html").symlink_to("loop.html")
    with pytest.raises(errors.InvalidInput, match=words):
        exports.export_html(notebook, tmp_path / name, python=["python"], timeout=60)
    assert_untouched(output)


@pytest.mark.usefixtures("nothing_runs")
def test_a_folder_that_can_only_be_read_is_refused_before_anything_starts(
    notebook: Path, output: Path, need: Callable[[object, str], None]
) -> None:
    root = os.geteuid() == 0
    need(not root or sys.platform == "linux", "root may write anywhere")
    output.parent.chmod(0o500)
    folder = Path("/sys") if root else output.parent
    with pytest.raises(errors.InvalidInput, match=r"can't be written: (Permission denied|Read-only)"):
        exports.export_html(notebook, folder / "new.html", python=["python"], timeout=60)


@pytest.mark.parametrize(
    ("notebook", "place"),
    [
        ("dagster/notebooks/asset_orders.py", "exports/asset_orders.html"),
        ("dagster/notebooks/deep/asset_orders.py", "exports/deep/asset_orders.html"),
        ("a/report.py", "exports/project/a/report.html"),
        ("report.py", "exports/project/report.html"),
        ("dagster/notebooks/report.md", "exports/report.md.html"),
    ],
)
def test_the_place_of_an_export_follows_the_notebooks(tmp_path: Path, notebook: str, place: str) -> None:
    settings = config.Config(file=tmp_path / "project" / "daglab.yaml")
    assert exports.default_output(settings, settings.root / notebook) == settings.root / place


def test_the_place_of_an_export_stays_in_the_project(tmp_path: Path) -> None:
    settings = config.Config(file=tmp_path / "project" / "daglab.yaml")
    settings.root.mkdir()
    (settings.root / "exports").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.InvalidInput, match="out of the project") as caught:
        exports.default_output(settings, settings.root / "a.py")
    assert "--output" in (caught.value.hint or "")


def test_notebooks_from_outside_have_places_of_their_own(tmp_path: Path) -> None:
    settings = config.Config(file=tmp_path / "project" / "daglab.yaml")
    first, second = (exports.default_output(settings, tmp_path / name / "report.py") for name in ("a", "b"))
    assert first != second
    assert first.parent == second.parent == settings.root / "exports" / "elsewhere"


def test_what_a_killed_export_has_left_is_cleared_up(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f".daglab-{gone.pid}-0a1b.html"
    others = [tmp_path / f".daglab-{os.getpid()}-0a1b.html", tmp_path / ".daglab-mine.html"]
    for path in (left, *others):
        path.touch()
    exports._clear_up(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/proc/self/fd/1"])
def test_a_device_is_no_place_for_an_export(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    with pytest.raises(errors.InvalidInput, match="not an ordinary file"):
        exports.export_html(tmp_path / "a.py", Path(name), python=["python"], timeout=60)
