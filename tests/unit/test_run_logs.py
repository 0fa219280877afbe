"""What a run has printed, piece by piece: Dagster cuts at bytes, and letters stay whole."""

from __future__ import annotations

from typing import Any

import pytest

from daglab import errors
from daglab.deployment import dagster_api, run_logs
from daglab.settings import config


@pytest.fixture
def printed(dagster: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What comes out of the bytes that a file holds, asked for ten at a time."""
    monkeypatch.setattr(run_logs, "CHUNK", 10)

    def of(content: bytes) -> list[str]:
        def piece(body: Any) -> dict[str, Any]:
            start = int((body["variables"]["cursor"] or "0:0").split(":")[0])
            part = content[start : start + body["variables"]["limit"]]
            text = part.decode("utf-8", errors="replace")
            return {"capturedLogs": {"stdout": text, "stderr": "", "cursor": f"{start + len(part)}:0"}}

        dagster.answers["Printed"] = piece
        api = dagster_api.connect(config.load({"dagster.url": dagster.url}))
        return [text for text, _ in run_logs.printed(api, "run", "file", "stdout", None, None)]

    return of


@pytest.mark.parametrize("text", ["x" + "é" * 40, "東京" * 20, "a😀" * 15, "plain " * 9, "ends in é", ""])
def test_letters_stay_whole(text: str, printed: Any) -> None:
    pieces = printed(text.encode())
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= 10 for piece in pieces)


@pytest.mark.parametrize("content", [b"\xff" * 35, b"abc\xc3", b"good \xff\xfe and so on \xe6\x9d"])
def test_what_is_no_text_comes_to_an_end(content: bytes, printed: Any) -> None:
    assert "".join(printed(content)).count("\ufffd") >= 1


@pytest.mark.parametrize("timestamp", [1e30, -1.0, "x"])
def test_a_time_that_is_none(timestamp: Any) -> None:
    event = {"__typename": "E", "timestamp": timestamp, "level": "INFO", "message": "m"}
    page = {"__typename": "EventConnection", "events": [event], "cursor": "c", "hasMore": False}
    with pytest.raises(errors.Unreachable, match="in a form that daglab does not know"):
        run_logs.parse_events({"logsForRun": page})
