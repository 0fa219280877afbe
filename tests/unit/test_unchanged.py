"""Whether an export is skipped: only where all that is asked for now came of the last one, and still stands."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from daglab.attaching import observations
from daglab.deployment import dagster_api
from daglab.exported import export_record
from daglab.exporting import exports, publication, publishing, unchanged
from daglab.settings import config
from daglab.storage import places

KEY = ("a", "b")
PLACE = places.Place("s3", "bucket", "reports")
API = cast("dagster_api.DagsterApi", type("Api", (), {"url": "http://dagster"})())
Skipped = Callable[..., bool]


def hours(number: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(hours=number)).isoformat()


def everything() -> publishing.Wish:
    """Uploaded, signed, attached to an asset and to a partition of it, a check told."""
    targets = (observations.Target(KEY), observations.Target(KEY, "2026-01-01"))
    return publishing.Wish(api=API, targets=targets, place=PLACE, sign=3600 * 24, check="good")


@pytest.fixture
def skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Skipped:
    """Whether what was exported with `before` is skipped with `now`; `record` has changes of what is on record."""
    monkeypatch.setattr(unchanged, "_materialized_since", lambda *_: False)
    settings = config.load(directory=tmp_path, environ={})
    (tmp_path / ".daglab").mkdir()
    notebook, output = tmp_path / "nb.py", tmp_path / "nb.html"
    notebook.write_text("code")
    output.write_text("page")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (output, notebook)]

    def ask(before: publishing.Wish, now: publishing.Wish, kind: str = "cdn", **record: Any) -> bool:
        at = datetime.now(timezone.utc)
        export = exports.Export("e" * 32, notebook, output, 1.0, 4, digests[0], at, (), digests[1], None, {"n": 1})
        export = dataclasses.replace(export, interactive=kind)
        line = {
            "attached": [{"target": target.name, "partition": target.partition} for target in before.targets],
            "check": [{"target": "asset:a/b", "name": before.check}] if before.check else [],
            "upload": {"address": "s3://bucket/reports/nb.html"} if before.place else None,
            "signed": {"url": "https://x", "expires_at": hours(24), "seconds": 86400} if before.sign else None,
            "expires_at": hours(24 * 30),
            "partition": "2026-01-01",
            "line": publication.line(settings, notebook, output, {"n": 1}, before, kind),
            **record,
        }
        (tmp_path / export_record.FILE).unlink(missing_ok=True)
        export_record.append(tmp_path, export, line)
        return unchanged.last_good(settings, notebook, output, {"n": 1}, kind, now) is not None

    return ask


def test_the_same_again_is_skipped(skipped: Skipped) -> None:
    assert skipped(everything(), everything())
    assert skipped(publishing.Wish(), publishing.Wish())
    assert skipped(publishing.Wish(), publishing.Wish(), "none")
    assert skipped(everything(), everything(), expires_at=None)
    one = publishing.Wish(api=API, targets=(observations.Target(KEY),), via=observations.COMPUTE)
    assert skipped(one, one, attached=[])  # the asset's own code attaches it


@pytest.mark.parametrize(
    "changes",
    [
        {"place": places.Place("s3", "another", "reports")},
        {"place": None, "sign": None},
        {"sign": 3600},
        {"sign": None},
        {"check": "another"},
        {"check": None},
        {"targets": ()},
        {"via": "rest"},
        {"attach_failure": True},
        {"api": cast("dagster_api.DagsterApi", type("Api", (), {"url": "http://another"})())},
    ],
)
def test_what_was_exported_for_something_else_is_not(skipped: Skipped, changes: dict[str, Any]) -> None:
    other = dataclasses.replace(everything(), **changes)
    assert not skipped(everything(), other)
    assert not skipped(other, everything())


@pytest.mark.parametrize(
    "record",
    [
        {"attached": []},
        {"attached": [{"target": "asset:a/b", "partition": None}]},
        {"attached": None},
        {"upload": None},
        {"removed": {"address": "s3://bucket/reports/nb.html"}},  # by `exports expire`
        {"signed": None},
        {"signed": {"url": "https://x", "expires_at": hours(11), "seconds": 86400}},  # its time is half over
        {"check": []},
        {"check": [{"target": ["asset:a/b"]}, 3]},
        {"expires_at": hours(-1)},  # it would be taken away by the same command
        {"ok": False},
        {"failed": [{}]},
        {"line": None},
    ],
)
def test_what_did_not_come_of_it_or_is_over_is_made_anew(skipped: Skipped, record: dict[str, Any]) -> None:
    assert not skipped(everything(), everything(), **record)


def test_the_document_of_one_that_is_skipped_is_that_of_an_export(tmp_path: Path) -> None:
    """No signed link in it, which the record has whole."""
    settings = config.load(directory=tmp_path, environ={})
    (tmp_path / ".daglab").mkdir()
    notebook = tmp_path / "nb.py"
    export = exports.Export("e", notebook, tmp_path / "o.html", 1.0, 4, "s", datetime.now(timezone.utc), ())
    result = publishing.publish(settings, export, publishing.Wish())
    signed = {"url": "https://store/o.html?sig=abcdefgh", "expires_at": hours(2), "seconds": 7200}
    export_record.amend(tmp_path, "e", signed=signed)
    [line] = export_record.read(tmp_path)
    found = unchanged.document(settings, line)
    told = {"expires_at": signed["expires_at"], "seconds": 7200}
    assert found == {**result, "signed": told, "skipped": True}
    assert "abcdefgh" not in json.dumps(found)
