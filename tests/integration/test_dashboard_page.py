"""The dashboard in a real browser: nothing complains, it is legible, works by keyboard, and goes on by itself."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes

TAB, ENTER = "\ue004", "\ue007"
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
# The contrast of each text with what lies behind it (WCAG 2), the least first.
CONTRAST = """
const parse = (c) => { const n = c.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (c) => {
  const [r, g, b] = c.slice(0, 3).map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (e) => {
  const layers = [];
  for (let at = e; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255, 1]);
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
  if (!text || ["SCRIPT", "STYLE", "TITLE", "title", "desc"].includes(e.tagName)) continue;
  const style = getComputedStyle(e), inSvg = e instanceof SVGElement, behind = ground(e);
  const own = parse(inSvg ? style.fill : style.color);
  if (inSvg) own[3] *= Number(style.fillOpacity);
  const [a, b] = [light(over(own, behind)), light(behind)];
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text]);
}
return found.sort((x, y) => x[0] - y[0]).slice(0, 3);
"""
# Text that is cut off, or too small to read: the size in pixels of what is drawn in SVG, too.
SMALLEST = """
return Math.min(...[...document.querySelectorAll("main text, main td, main th, main p, main dd")].map((e) => {
  const size = parseFloat(getComputedStyle(e).fontSize), svg = e.closest("svg");
  return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size;
}));
"""


def line(number: int, at: datetime, **more: Any) -> str:
    found = {
        "v": 1,
        "id": f"{number:032x}",
        "at": at.isoformat(timespec="milliseconds"),
        "command": ("run", "export", "helpers.record_usage", "discover")[number % 4],
        "target": "asset:orders",
        "ok": number % 9 > 0,
        "exit_code": 0 if number % 9 else 4,
        "error_code": None if number % 9 else "not_good",
        "seconds": 1.0 + number % 7,
        "runs": [],
        "requests": {"n": 2, "errors": 0, "ms": [5, 9]},
        "bytes": None,
        "rss_peak": 1,
        "usage": [{"name": "tokens", "amount": 100 + number, "labels": {"model": "small", "kind": "prompt"}}],
        "detail": {},
    }
    return json.dumps({**found, **more}) + "\n"


def record(project: Path, *lines: str) -> None:
    for text in lines:
        with (project / ".daglab" / "events" / f"{json.loads(text)['at'][:7]}.jsonl").open("a") as file:
            file.write(text)


@pytest.fixture
def project(tmp_path: Path, deployment: Any) -> Path:
    folder = tmp_path / "shop"
    (folder / ".daglab" / "events").mkdir(parents=True)
    models = json.dumps([{"name": f"large {EVIL}"}, {"name": "small"}])
    (folder / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\nmodels: {models}\n")
    now = datetime.now(timezone.utc)
    record(folder, *(line(number, now - timedelta(minutes=11 * (300 - number))) for number in range(300)))
    usage = [{"name": EVIL, "amount": 1, "labels": {"model": EVIL, "kind": EVIL}}]
    record(folder, line(300, now, command=EVIL, target=EVIL, ok=False, error_code=EVIL, usage=usage))
    return folder


def answers(dashboard: str) -> bool:
    try:
        return requests.get(f"{dashboard}/health", timeout=10).ok
    except requests.RequestException:
        return False


@pytest.fixture
def dashboard(project: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a dashboard of the project."""
    port = processes.find_free_port()
    command = [sys.executable, "-m", "daglab", "dashboard", "--port", str(port)]
    with processes.keeper() as kept:
        processes.start(kept, processes.Service("dashboard", command, project, None, tmp_path / "dashboard.log"))
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Any, dashboard: str) -> Any:
    browser.wait_until(lambda: answers(dashboard), "the dashboard answers")
    requests.get(f"{dashboard}/health/ready", timeout=60)
    browser.open(f"{dashboard}/")
    browser.wait_for("Operations by hour")
    browser.wait_for("of the disk are free")
    return browser


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_legible_at_any_width(page: Any, theme: str) -> None:
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    for width in (400, 760, 1000, 1600):
        page.resize(width)
        page.wait_until(lambda width=width: page.run("return window.innerWidth") == width, "it has its width")
        assert page.run("return document.documentElement.scrollWidth") <= width
        least, text = page.run(CONTRAST)[0]
        assert least >= 4.5, (least, text, width)
        assert page.run(SMALLEST) >= 9.5, width
    assert page.run("return document.title") in ("shop: healthy", "shop: degraded")
    assert page.complaints() == []


def test_nothing_in_a_name_runs(page: Any, dashboard: str) -> None:
    assert "<script>document.title" in page.text()
    assert page.run("return document.images.length") == 0
    assert page.run("return document.scripts.length") == 1
    assert "owned" not in page.run("return document.title")
    assert page.complaints() == []
    page.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert page.run("return window.ran") is None  # the policy, whatever should get in


@pytest.mark.slow
def test_it_goes_on_without_a_reload_and_keeps_the_focus(page: Any, project: Path) -> None:
    page.run("window.mine = 5; document.querySelector('#part-operations [tabindex]').focus()")
    page.resize(400)
    page.run("document.querySelector('#part-operations [tabindex]').scrollLeft = 60; scrollTo(0, 300)")
    left = page.run("return document.querySelector('#part-operations [tabindex]').scrollLeft")
    record(project, line(301, datetime.now(timezone.utc), target="asset:fresh"))
    page.wait_for("asset:fresh")
    assert page.run("return window.mine") == 5
    assert page.run("return document.activeElement.closest('section').id") == "part-operations"
    assert page.run("return document.querySelector('#part-operations [tabindex]').scrollLeft") == left
    assert page.run("return scrollY") == 300
    assert page.complaints() == []


@pytest.mark.long
def test_it_works_by_keyboard(page: Any, project: Path) -> None:
    """The first Tab leads past the head; each stop can be seen; the button stops the page and lets it go on."""
    page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    stops: list[str] = []
    for _ in range(40):
        page.type(TAB)
        focus = page.run(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "const name = e.id || e.className || e.getAttribute('aria-label') || e.href;"
            "return [name || e.tagName, s.outlineStyle, e.tagName]"
        )
        if focus[2] == "BODY":
            break
        assert focus[1] != "none", focus
        stops.append(focus[0])
    assert stops[:2] == ["skip", "pause"]
    assert len(stops) > 8
    page.run("document.getElementById('pause').focus()")
    page.type(ENTER)
    assert page.run("return document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    stood = page.run("return document.getElementById('at').textContent")
    record(project, line(302, datetime.now(timezone.utc), target="asset:unseen"))
    page.run("document.dispatchEvent(new Event('visibilitychange'))")  # what makes it look at once
    assert page.run("return document.getElementById('at').textContent") == stood
    page.type(ENTER)
    page.wait_for("asset:unseen")


@pytest.mark.slow
def test_it_says_that_the_server_is_gone(browser: Any, project: Path, tmp_path: Path) -> None:
    port = processes.find_free_port()
    command = [sys.executable, "-m", "daglab", "dashboard", "--port", str(port)]
    service = processes.Service("dashboard", command, project, None, tmp_path / "log")
    with processes.keeper() as kept:
        processes.start(kept, service)

        browser.wait_until(lambda: answers(f"http://127.0.0.1:{port}"), "the dashboard answers")
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for("The last 24 hours")
    browser.wait_for("Not updated since")
    with processes.keeper() as kept:
        processes.start(kept, service)
        browser.wait_until(lambda: "Not updated since" not in browser.text(), "it goes on")


def test_the_file_shows_the_same_by_itself(browser: Any, project: Path, cli: Callable[..., Any]) -> None:
    done = cli("dashboard", "--output", "page.html", cwd=project)
    assert done.exit_code == 0, done.stderr
    browser.open((project / "page.html").as_uri())
    browser.wait_for("Operations by hour")
    assert "asset:orders" in browser.text()
    assert "<script>document.title" in browser.text()
    assert browser.run("return document.scripts.length") == 0
    assert browser.complaints() == []


def test_an_exported_notebook_is_shown_and_reaches_nothing(
    page: Any, dashboard: str, project: Path, cli: Callable[..., Any], need: Callable[[object, str], None]
) -> None:
    """By the link that `daglab export` gives; its own script has no origin, and gets at no answer of the server."""
    need(importlib.util.find_spec("marimo"), "marimo is not installed")
    notebook = project / "nb.py"
    cell = "@app.cell\ndef a():\n    print('a cell that was run')\n"
    notebook.write_text(
        f"import marimo\n\napp = marimo.App()\n\n\n{cell}\n\nif __name__ == '__main__':\n    app.run()\n"
    )
    port = dashboard.rpartition(":")[2]
    done = cli("export", str(notebook), "--json", cwd=project, env={"DAGLAB_DASHBOARD__PORT": port})
    assert done.exit_code == 0, done.stderr
    link = json.loads(done.stdout)["link"]
    page.open(link)
    assert "a cell that was run" in page.run("return document.querySelector('main').innerText")
    assert page.run("return window.origin") == "null"
    reach = """
    return Promise.all(["/api/snapshot", "/parts", "/health"].map((path) =>
      fetch(arguments[0] + path).then((answer) => answer.text(), () => "refused")));
    """
    assert page.run(reach, dashboard) == ["refused"] * 3
