"""What leaves a notebook: its export, metadata on an asset's page, and what the asset's code takes of the record."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, helpers, processes
from daglab.attaching import attach, observations
from daglab.helpers import display, measuring


@pytest.fixture
def client(dagster: Any, tmp_path: Path) -> helpers.Client:
    (tmp_path / ".daglab").mkdir()
    return helpers.connect(dagster.url, directory=tmp_path)


class Command:
    """In the place of `daglab export`: what it was called with, and what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.says = processes.Finished(0, "", "", 1.0, False)
        monkeypatch.setattr(processes, "run", self.run)

    def run(self, command: Any, **_: Any) -> processes.Finished:
        self.calls.append(list(command))
        return self.says

    def says_that(self, document: Any) -> None:
        self.says = dataclasses.replace(self.says, stdout=json.dumps(document))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(monkeypatch)


def test_an_export_is_shown_with_what_it_is_attached_to(client: helpers.Client, command: Command) -> None:
    attached = [{"target": "asset:orders", "via": "rest"}]
    page = {"output": "/there/nb.html", "link": "https://pages.example/<nb>", "attached": attached}
    command.says_that({"ok": True, **page})
    found = helpers.export(client, "nb.py", attach_to="asset:orders")
    assert (found.path, found.attached) == (Path("/there/nb.html"), ["asset:orders"])
    assert str(found) == "Exported to /there/nb.html\n  attached to asset:orders"
    assert "by way of rest, read back" in found.html()
    assert 'href="https://pages.example/&lt;nb&gt;"' in found.html()
    [called] = command.calls
    assert called[:5] == [sys.executable, "-m", "daglab", "--quiet", "export"]
    assert called[5] == str(Path("nb.py").absolute())
    assert called[6:] == ["--url", client.api.url, "--json", "--attach", "asset:orders"]


def test_an_export_that_failed_says_what_the_command_said(client: helpers.Client, command: Command) -> None:
    document = {"ok": False, "error": {"message": "The notebook failed.", "hint": "Mend its cell."}}
    command.says_that(document)
    with pytest.raises(errors.NotGood, match="The notebook failed") as refused:
        helpers.export(client, "nb.py")
    assert (refused.value.hint, refused.value.result) == ("Mend its cell.", document)
    assert "--attach" not in command.calls[0]
    command.says = processes.Finished(137, "", "Starting\nKilled\n", 1.0, False)
    with pytest.raises(errors.NotGood, match="ended with 137: Killed"):
        helpers.export(client, "nb.py")
    command.says = processes.Finished(1, "", "", 1.0, False)
    with pytest.raises(errors.NotGood, match="nothing was said"):
        helpers.export(client, "nb.py")


@pytest.mark.parametrize("asset", ["orders", None])
def test_metadata_is_of_the_kinds_that_dagster_has(
    client: helpers.Client, monkeypatch: pytest.MonkeyPatch, asset: str | None
) -> None:
    told: list[observations.Observation] = []

    def attach_one(_api: Any, _settings: Any, what: observations.Observation, **_: Any) -> observations.Attached:
        told.append(what)
        return observations.Attached("rest", what.link, None)

    monkeypatch.setattr(attach, "attach", attach_one)
    east = timezone(timedelta(hours=2))
    values = {
        "rows": 2**62,
        "loss": 0.5,
        "good": True,
        "none": None,
        "at": datetime(2026, 1, 2, 3, tzinfo=east),
        "file": Path("/a/b"),
        "page": "https://pages.example/nb",
        "note": "words",
    }
    target = asset or helpers.find_asset(client, "orders")
    assert helpers.attach_metadata(client, target, values, title="Looked at").via == "rest"
    [what] = told
    kinds = {entry.label: (entry.kind, entry.value) for entry in what.entries}
    assert kinds.pop(observations.ID_LABEL) == ("text", what.id)
    assert kinds == {
        "rows": ("int", 2**62),
        "loss": ("float", 0.5),
        "good": ("text", "True"),
        "none": ("text", "None"),
        "at": ("timestamp", "2026-01-02T01:00:00+00:00"),
        "file": ("path", "/a/b"),
        "page": ("url", "https://pages.example/nb"),
        "note": ("text", "words"),
    }
    assert (what.asset, what.link, what.title) == (("orders",), "https://pages.example/nb", "Looked at")


def test_metadata_of_an_asset_that_is_not_there_is_not_written(
    client: helpers.Client, dagster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "attach", lambda *_, **__: pytest.fail("it was attached"))
    asset = helpers.find_asset(client, "orders")
    dagster.answers["Assets"] = {"assetNodes": []}
    with pytest.raises(errors.InvalidInput, match="no asset orders"):
        helpers.attach_metadata(client, asset, {"rows": 1})


def test_an_assets_code_takes_what_the_newest_export_says(tmp_path: Path) -> None:
    """The line may be somebody else's: what can't be read of it is left out, and no run fails over it."""
    dagster = pytest.importorskip("dagster")
    (tmp_path / ".daglab").mkdir()
    entries = [
        {"label": "page", "kind": "url", "value": "https://pages.example/nb"},
        {"label": "rows", "kind": "int", "value": 3},
        {"label": "later", "kind": "hologram", "value": [1]},
        {"label": "torn", "kind": "timestamp", "value": "yesterday"},
        {"kind": "text", "value": "without a label"},
        "no entry",
    ]
    now = datetime.now(timezone.utc).isoformat()
    line = {"v": 1, "id": "1", "at": now, "ok": True, "targets": ["asset:orders"], "entries": entries}
    record = tmp_path / ".daglab" / "exports.jsonl"
    record.write_text(json.dumps(line) + "\n")
    found = helpers.exploration_metadata(["orders"], directory=tmp_path)
    assert found == {
        "page": dagster.MetadataValue.url("https://pages.example/nb"),
        "rows": dagster.MetadataValue.int(3),
        "later": dagster.MetadataValue.text("[1]"),
    }
    assert helpers.exploration_metadata("other", directory=tmp_path) == {}
    record.write_text(json.dumps({**line, "entries": "none"}) + "\n")
    assert helpers.exploration_metadata("orders", directory=tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "problem"), [("", "no text"), ("x" * 300, "longer than 200"), ("\ud800", "no letter")]
)
def test_a_name_that_nothing_can_hold(name: str, problem: str) -> None:
    with pytest.raises(errors.InvalidInput, match=problem):
        helpers.result(name, 1)


def test_a_result_reads_as_a_line() -> None:
    assert str(helpers.result("rows", [1, 2])) == "rows: [1, 2]"


# --- how things look


def test_an_error_stops_a_cell_with_its_hint_and_with_what_stands_beside() -> None:
    import marimo

    for beside in ((), (marimo.md("the clock"),)):
        with pytest.raises(marimo.MarimoStopError) as stopped, display.explained(*beside):
            raise errors.InvalidInput("Wrong.", "Mend it.")
        shown = stopped.value.output.text
        assert "Wrong" in shown
        assert "Mend it." in shown
        assert ("the clock" in shown) is bool(beside)
    with pytest.raises(ValueError, match="a bug"), display.explained():
        raise ValueError("a bug")  # marimo shows it as it shows any


def test_the_head_of_a_notebook() -> None:
    found = helpers.heading({"title": "Orders <1>", "author": "me & you"})
    assert str(found) == "Orders <1>"
    assert found.html() == '<h2>Orders &lt;1&gt;</h2><p class="quiet">author: me &amp; you</p>'


def test_what_is_measured_is_shown_in_lines() -> None:
    assert str(helpers.performance_chart({"a": [1.0]})).endswith("(a chart)")
    memory = helpers.get_memory_usage()
    assert memory.html() == f"<p>{memory}</p>"
    assert "disk: " in str(helpers.resource_usage())
    assert "Nothing was measured yet." in helpers.performance_report("nothing").html()
    known = measuring.Known("run <1>")
    assert (str(known), "run &lt;1&gt;" in known.html(), measuring.Known("").html()) == ("run <1>", True, "")
    with pytest.raises(errors.InvalidInput, match="at most"):
        helpers.track_performance("x" * 500)
