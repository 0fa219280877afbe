"""What an export's result and record say when attaching to several assets breaks off."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, parse
from daglab.attaching import asset_checks, attach, observations
from daglab.deployment import dagster_api
from daglab.exported import export_record, listing
from daglab.exporting import exports, publishing
from daglab.settings import config
from daglab.storage import places

TARGETS = (observations.Target(("a",)), observations.Target(("b",)))
WISH = {"targets": TARGETS, "aims": (parse.AttachTarget(job="j"),), "via": "rest"}


@pytest.fixture
def done(tmp_path: Path) -> exports.Export:
    (tmp_path / ".daglab").mkdir()
    now = datetime.now(timezone.utc)
    return exports.Export("id1", tmp_path / "nb.py", tmp_path / "nb.html", 1.0, 2, "sum", now, ())


def record(root: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (root / ".daglab" / "exports.jsonl").read_text().splitlines()]


def test_a_notebook_that_left_no_html_is_reported_honestly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No HTML, no link; the failure is on record as one, and what breaks off in reporting it stays open there."""
    (tmp_path / ".daglab").mkdir()
    told: list[Any] = []

    def attach_one(_api: Any, _settings: Any, what: observations.Observation, **_: Any) -> observations.Attached:
        told.append(what)
        return observations.Attached("rest", None, None)

    def lost(_api: Any, _settings: Any, what: observations.Evaluation, **_: Any) -> str:
        told.append(what)
        raise errors.OutcomeUnknown("lost", "h")

    monkeypatch.setattr(attach, "attach", attach_one)
    monkeypatch.setattr(asset_checks, "report", lost)
    settings = config.load({"dagster.url": "http://127.0.0.1:1"}, directory=tmp_path)
    wish = publishing.Wish(api=dagster_api.connect(settings), **WISH)  # type: ignore[arg-type]
    error = errors.TimedOut("nb.py was still running after 3 s", "h")

    def report(**changes: Any) -> dict[str, Any]:
        changed = dataclasses.replace(wish, **changes)
        return publishing.publish_failure(settings, tmp_path / "nb.py", {"day": 1}, error, changed)

    assert (report()["attached"], told) == ([], [])
    done = report(attach_failure=True)
    assert [each["target"] for each in done["attached"]] == ["asset:a", "asset:b"]
    assert {(what.id, what.link, what.title) for what in told} == {(done["id"], None, "Notebook export failed")}
    labels = {entry.label: entry.value for entry in told[0].entries}
    assert not [label for label in labels if "html" in label]
    assert (labels["error"], labels["parameters"]) == (error.message, {"day": 1})
    with pytest.raises(errors.OutcomeUnknown):
        report(check="c")
    assert told[-1].passed is False
    first, second = export_record.read(tmp_path)
    assert (first["ok"], first["notebook"], "output" in first, "pending" in first) == (False, "nb.py", False, False)
    assert [(step["step"], step["name"]) for step in second["pending"]] == [("check", "c")]
    assert [row["state"] for row in listing.rows(tmp_path)] == ["failed", "failed"]
    assert export_record.unfinished(tmp_path) == []


def test_an_export_that_stands_is_found_again_by_the_same_line(done: exports.Export, tmp_path: Path) -> None:
    settings = config.load({}, directory=tmp_path)
    for path, text in ((done.notebook, "nb"), (done.output, "<p>")):
        path.write_text(text)
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in (("sha256", b"<p>"), ("notebook_sha256", b"nb"))}
    export = dataclasses.replace(done, **sums)  # type: ignore[arg-type]
    wish = publishing.Wish(place=places.parse(f"file://{tmp_path}/store"))

    def left(wish: publishing.Wish) -> exports.Export | None:
        return publishing.unfinished(settings, done.notebook, done.output, {}, wish)

    publishing.stand_by(settings, export, publishing.Wish(), None)
    assert export_record.unfinished(tmp_path) == []  # it goes nowhere
    publishing.stand_by(settings, export, wish, None)
    publishing.set_aside(settings, export, wish, None)  # the batch is stopped
    assert export_record.read(tmp_path) == []
    assert left(wish) == dataclasses.replace(export, content_sha256=export.sha256)
    assert left(publishing.Wish()) is None  # another line: it runs anew, and this one is recorded
    [line] = export_record.read(tmp_path)
    assert (line["id"], line["ok"], line["upload"], export_record.unfinished(tmp_path)) == ("id1", True, None, [])


def breaking_off(stop: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first asset is attached, the second one ends with `stop`."""

    def attach_one(_api: Any, _settings: Any, what: observations.Observation, **_: Any) -> observations.Attached:
        if what.asset == ("a",):
            return observations.Attached("rest", what.link, "TextMetadataEntry")
        raise stop

    monkeypatch.setattr(attach, "attach", attach_one)


@pytest.mark.parametrize(
    ("stop", "raised", "unknown"),
    [
        (errors.Unreachable("gone", "h"), errors.Unreachable, False),
        (errors.OutcomeUnknown("lost", "h"), errors.OutcomeUnknown, True),
        (KeyboardInterrupt(), errors.Interrupted, True),
    ],
)
def test_what_was_done_before_is_told_and_recorded(
    done: exports.Export,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: BaseException,
    raised: type[errors.DaglabError],
    unknown: bool,
) -> None:
    breaking_off(stop, monkeypatch)
    settings = config.load({"dagster.url": "http://127.0.0.1:1"}, directory=tmp_path)
    wish = publishing.Wish(api=dagster_api.connect(settings), **WISH)  # type: ignore[arg-type]
    with pytest.raises(raised) as caught:
        publishing.publish(settings, done, wish)
    assert caught.value.result
    assert [each["target"] for each in caught.value.result["attached"]] == ["asset:a"]
    assert caught.value.result.get("attach") == ("unknown" if unknown else None)
    [line] = [line for line in record(tmp_path) if "id" in line]
    assert ([each["target"] for each in line["attached"]], line.get("attach")) == (
        ["asset:a"],
        "unknown" if unknown else None,
    )
    if raised is errors.Interrupted:
        assert "/assets/b?" in (caught.value.hint or "")  # the one that was under way
