"""Exporters whose Python is a stand-in: what is done where none can be forked, and when all are to end."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from daglab import errors, processes
from daglab.exporting import exporters

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an exporter is forked on Linux alone")

# The child that imports marimo says what a test has it say; `python -m marimo` prints what it was asked for.
PROGRAM = """
import os, socket, sys, time
if sys.argv[1].endswith("exporter.py"):
    channel = socket.socket(fileno=os.dup(0))
    {child}
else:
    print(sys.argv[1:])
"""


def python(folder: Path, child: str) -> list[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM.format(child=child))
    return [sys.executable, "-S", str(program)]


def exported(exporter: exporters.Exporter) -> processes.Finished:
    return exporters.run(exporter, ["export", "html", "nb.py"], 60)


ASKED = "['-m', 'marimo', 'export', 'html', 'nb.py']\n"


@linux
@pytest.mark.parametrize(
    ("child", "why"),
    [
        ("time.sleep(600)", "importing marimo took too long"),
        ("channel.sendall(b'{\"rea'); time.sleep(600)", "importing marimo took too long"),
        ('channel.sendall(b\'{"ready": false, "why": "too old"}\\n\'); channel.recv(1)', "too old"),
    ],
)
def test_a_marimo_that_can_not_be_imported_early_is_started_for_each(
    tmp_path: Path, child: str, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if "long" in why:
        monkeypatch.setattr(exporters, "SECONDS", 0.3)
    with caplog.at_level("INFO", logger="daglab"), exporters.opened(python(tmp_path, child), {**os.environ}) as opened:
        assert opened.channel is None
        assert exported(opened).stdout == ASKED
    assert f"Each notebook starts on its own: {why}" in caplog.text


@linux
def test_a_child_that_ends_with_an_order_in_its_hands_leaves_it_to_a_process_of_its_own(tmp_path: Path) -> None:
    child = "channel.sendall(b'{\"ready\": true}\\n'); socket.recv_fds(channel, 4, 4)"
    with exporters.opened(python(tmp_path, child), {**os.environ}) as opened:
        assert opened.channel is not None
        done = exported(opened)
    assert (done.returncode, done.stdout) == (0, ASKED)


def test_elsewhere_than_on_linux_nothing_is_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        with exporters.opened(python(tmp_path, "open('begun', 'w')"), {**os.environ}) as opened:
            assert opened.channel is None
            assert exported(opened).stdout == ASKED
    assert not (tmp_path / "begun").exists()


def test_a_notebook_that_comes_after_the_stop_is_not_begun(tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    exporter = exporters.Exporter([sys.executable, "-c", f"open({str(mark)!r}, 'w')"], {**os.environ}, None)
    exporters.stop(exporter)
    with pytest.raises(errors.Interrupted, match="stopped before its end"):
        exported(exporter)
    assert (mark.exists(), exporter.running) == (False, {})


def test_one_that_is_stopped_before_it_has_begun_is_told_as_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes between the look at it and the start: its keeper ends, and nobody is said to have killed that."""
    exporter = exporters.Exporter(python(tmp_path, "pass"), {**os.environ}, None)
    run = processes.run

    def late(*words: object, **options: object) -> processes.Finished:
        exporters.stop(exporter)
        return run(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(processes, "run", late)
    with pytest.raises(errors.Interrupted, match="stopped before its end"):
        exported(exporter)


def test_a_notebook_that_runs_ends_with_the_stop(tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    code = f"import time; open({str(mark)!r}, 'w'); time.sleep(600)"
    exporter = exporters.Exporter([sys.executable, "-c", code], {**os.environ}, None)
    told: list[BaseException] = []

    def work() -> None:
        try:
            exported(exporter)
        except errors.DaglabError as error:
            told.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not mark.exists() and thread.is_alive():
        time.sleep(0.02)
    exporters.stop(exporter)
    thread.join(60)
    assert [type(each) for each in told] == [errors.Interrupted]


def test_a_keeper_that_somebody_killed_is_told_of(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    exporter = exporters.Exporter([sys.executable, "-c", code], {**os.environ}, None)
    with pytest.raises(errors.OutcomeUnknown, match="looks after the child processes was killed"):
        exported(exporter)
