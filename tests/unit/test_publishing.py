"""What an export's result and record say when attaching to several assets breaks off."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import attach, config, dagster_api, errors, exports, observations, parse, publishing

TARGETS = (observations.Target(("a",)), observations.Target(("b",)))
WISH = {"targets": TARGETS, "aims": (parse.AttachTarget(job="j"),), "via": "rest"}


@pytest.fixture
def done(tmp_path: Path) -> exports.Export:
    (tmp_path / ".daglab").mkdir()
    now = datetime.now(timezone.utc)
    return exports.Export("id1", tmp_path / "nb.py", tmp_path / "nb.html", 1.0, 2, "sum", now, ())


def record(root: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (root / ".daglab" / "exports.jsonl").read_text().splitlines()]


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
