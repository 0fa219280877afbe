"""`make demo`'s script as a process: it walks the whole way, and leaves nothing behind whenever it ends."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import users

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = CHECKOUT / "scripts" / "demo.py"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is left")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def mark() -> Iterator[str]:
    """The value of a variable that all processes of a demo carry; what outlives the test is killed."""
    value = uuid.uuid4().hex
    yield value
    users.end(value)


@pytest.fixture
def start(mark: str, tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[Start]:
    """Starts the demo with its output in the file `out`; the folder that it made goes at the end."""
    need(importlib.util.find_spec("dagster_webserver"), "dagster-webserver is not installed")

    def started(script: Path = SCRIPT) -> subprocess.Popen[str]:
        with (tmp_path / "out").open("w") as out:
            env = {**os.environ, users.MARK: mark, "PYTHONUNBUFFERED": "1"}
            return subprocess.Popen([sys.executable, script], env=env, stdout=out, stderr=out, text=True)

    yield started
    if made := re.search(r"A new project in (\S+)", (tmp_path / "out").read_text()):
        shutil.rmtree(made[1])


def wait_until(condition: Callable[[], object], what: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.1)


@pytest.mark.slow
def test_it_walks_the_whole_way(start: Start, mark: str, tmp_path: Path) -> None:
    demo = start()
    assert demo.wait(timeout=300) == 0, (tmp_path / "out").read_text()
    said = (tmp_path / "out").read_text()
    [link] = re.findall(r"Read back over GraphQL: UrlMetadataEntry (\S+)", said)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/exports/asset_orders\.html", link)
    assert f"with the link {link}" in said
    for step in ("init --bootstrap shop", "discover", "scaffold --asset", "run --asset-selection", "export dagster"):
        assert f"$ daglab {step}" in said
    for name in ("notebook", "HTML"):
        [path] = re.findall(rf"the {name} +(\S+)", said)
        assert Path(path).is_file()
    if sys.platform == "linux":
        assert "no process of the demo is left" in said
        assert users.marked(mark) == {}
    else:
        assert "not checked" in said


@pytest.mark.slow
@ON_LINUX
def test_ctrl_c_in_the_middle_leaves_nothing(start: Start, mark: str, tmp_path: Path) -> None:
    demo = start()

    def dagster_is_there() -> bool:
        assert demo.poll() is None, (tmp_path / "out").read_text()
        return any("dagster_webserver" in command for command in users.marked(mark).values())

    wait_until(dagster_is_there, (tmp_path / "out").read_text)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=120) == 130
    said = (tmp_path / "out").read_text()
    assert "Interrupted." in said
    assert "no process of the demo is left" in said
    assert "Traceback" not in said
    wait_until(lambda: not users.marked(mark), lambda: users.marked(mark), 30)


LEAVES_ONE = """
import subprocess, sys
sys.path.insert(0, {folder!r})
import demo

def leave_one(folder):
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    while left.pid not in demo.processes_of(folder):  # in the middle of its exec a process shows neither name nor mark
        pass
    return "all is well"

demo.demonstrate, demo.LAST_BREATH, demo.CHECKOUT = leave_one, 0.0, demo.Path({tmp!r})
demo.main()
"""


@ON_LINUX
def test_a_process_that_is_left_is_a_failure_with_its_name(start: Start, mark: str, tmp_path: Path) -> None:
    script = tmp_path / "leaves_one.py"
    script.write_text(LEAVES_ONE.format(folder=str(SCRIPT.parent), tmp=str(tmp_path)))
    demo = start(script)
    assert demo.wait(timeout=60) == 1
    said = (tmp_path / "out").read_text()
    [pid] = [pid for pid, command in users.marked(mark).items() if command.startswith("sleep")]
    assert f"{pid} sleep 600" in said
    assert "all is well" not in said


FAILS = """
import sys
sys.path.insert(0, {folder!r})
import demo

demo.ASSET, demo.CHECKOUT = "nope", demo.Path({tmp!r})
demo.start = lambda kept, project, home, ports: None
demo.wait_for = lambda kept, url, project: None
demo.main()
"""


def test_a_step_that_fails_is_a_failure(start: Start, mark: str, tmp_path: Path) -> None:
    """Nothing answers here, so that the first command on the deployment fails."""
    script = tmp_path / "fails.py"
    script.write_text(FAILS.format(folder=str(SCRIPT.parent), tmp=str(tmp_path)))
    demo = start(script)
    assert demo.wait(timeout=120) == 1
    said = (tmp_path / "out").read_text()
    assert "daglab discover ended with 5" in said
    assert "Look at" not in said
    assert users.marked(mark) == {}
