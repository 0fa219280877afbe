"""The pictures of the README, of a real project in a real browser; `make pictures` writes them to docs/pictures."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes

pytestmark = pytest.mark.slow

DAGLAB = [sys.executable, "-m", "daglab"]
COMMANDS = ("helpers.run", "run", "export", "discover", "scaffold", "helpers.record_usage")
MODELS = ("large", "small")
# Where they are written to, else into a folder of the test.
PICTURES = Path(os.environ["DAGLAB_TEST_PICTURES"]).absolute() if "DAGLAB_TEST_PICTURES" in os.environ else None
# What is of this machine alone is shown as it is on a server.
SHOWN = """
const walk = (root) => {
  for (const e of root.querySelectorAll("*")) if (e.shadowRoot) walk(e.shadowRoot);
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    for (const [from, to] of arguments[0]) node.data = node.data.replaceAll(from, to);
  }
};
walk(document.body);
"""
SCROLL = """
const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
const found = all(document).find((e) => /^H[1-6]$/.test(e.tagName) && e.innerText.trim() === arguments[0]);
if (found) { found.style.scrollMarginTop = "24px"; found.scrollIntoView(); }
return Boolean(found);
"""


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


def daglab(folder: Path, *words: str) -> None:
    subprocess.run([*DAGLAB, *words], cwd=folder, stdin=subprocess.DEVNULL, timeout=300, check=True)


@pytest.fixture
def port() -> int:
    return processes.find_free_port()


@pytest.fixture
def project(tmp_path: Path, port: int) -> Iterator[Path]:
    """A new project whose Dagster runs, with some runs, a notebook, and a month that lies behind it."""
    folder = tmp_path / "shop"
    daglab(tmp_path, "init", "--bootstrap", "shop", "--ports", f"dagster={port},marimo={processes.find_free_port()}")
    behind(folder)
    daglab(folder, "dev", "--detach", "--no-open", "--no-marimo", "--no-dashboard")
    for _ in range(3):
        daglab(folder, "run", "--asset-selection", "raw_orders,orders")
    daglab(folder, "scaffold", "--asset", "orders", "--module", "shop.definitions")
    yield folder
    daglab(folder, "stop")


def behind(folder: Path) -> None:
    """Write down what a project has done in a month: the same each time but for its dates."""
    dice, now = random.Random(1), datetime.now(timezone.utc)
    for number in range(480):
        good, command = dice.random() > 0.06, dice.choice(COMMANDS)
        at = now - timedelta(days=29) * (1 - number / 480) - timedelta(minutes=dice.random() * 90)
        labels = {"model": dice.choice(MODELS), "kind": dice.choice(("prompt", "completion"))}
        usage = [{"name": "tokens", "amount": dice.randrange(400, 2400), "labels": labels}]
        event = {
            "v": 1,
            "id": f"{number:032x}",
            "at": at.isoformat(timespec="milliseconds"),
            "command": command,
            "target": "asset:orders",
            "ok": good,
            "exit_code": 0 if good else 4,
            "error_code": None if good else "not_good",
            "seconds": round(dice.uniform(0.4, 4), 3),
            "runs": [],
            "requests": {"n": dice.randrange(2, 9), "errors": 0, "ms": [5, 9]},
            "bytes": None,
            "rss_peak": 1,
            "usage": usage if command == "helpers.record_usage" else [],
            "detail": {},
        }
        file = folder / ".daglab" / "events" / f"{at:%Y-%m}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(event) + "\n")


@pytest.fixture
def shoot(browser: Any, project: Path, port: int, tmp_path: Path) -> Callable[..., None]:
    """`shoot("dashboard.png", 1280, 1560)` takes a picture of the page that is open."""
    folder = PICTURES or tmp_path / "pictures"
    names = [
        *((str(project), "/srv/shop"), (sys.executable, "/srv/shop/.venv/bin/python")),
        (f"127.0.0.1:{port}", "127.0.0.1:3000"),
    ]

    def take(name: str, width: int, height: int, heading: str | None = None) -> None:
        browser.resize(width, height)
        if heading:
            browser.wait_until(lambda: browser.run(SCROLL, heading), f"the page has {heading}")
        browser.run(SHOWN, names)
        browser.shoot(folder / name, width, height)
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"

    return take


def test_the_notebook(project: Path, browser: Any, served: Callable[..., str], shoot: Callable[..., None]) -> None:
    notebook = project / "dagster" / "notebooks" / "asset_orders.py"
    browser.open(served(notebook))
    browser.wait_for("The run config is valid.")
    browser.press("Materialize")
    browser.wait_for("SUCCESS")
    shoot("notebook-light.png", 1000, 1000)
    browser.press("Run in this kernel")
    browser.wait_for("In this process: SUCCESS")
    browser.open(served(notebook, "run", "dark"))
    browser.wait_for("Deployed and in this process")
    shoot("notebook-dark.png", 1000, 690, "Last runs")
    assert browser.complaints() == []


def test_the_dashboard(project: Path, browser: Any, tmp_path: Path, shoot: Callable[..., None]) -> None:
    pages = processes.find_free_port()
    with processes.keeper() as kept:
        command = [*DAGLAB, "dashboard", "--port", str(pages)]
        processes.start(kept, processes.Service("dashboard", command, project, None, tmp_path / "dashboard.log"))
        url = f"http://127.0.0.1:{pages}/"
        browser.wait_until(lambda: answers(url), "the dashboard answers")
        browser.open(url)
        browser.wait_for("Operations by hour")
        browser.wait_for("of the disk are free")
        shoot("dashboard.png", 1280, 1560)
        assert browser.complaints() == []
