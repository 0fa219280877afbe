"""Tokens that others repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daglab import json_lines, output, redaction


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    redaction._secrets.clear()


def test_a_hidden_token_is_left_out_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    redaction.hide("s3cr3t-token")
    redaction.hide("s3cr3t")
    text = "Bearer s3cr3t-token, s3cr3t"
    assert redaction.clean(text) == "Bearer ***, ***"
    output.data(text)
    output.note(text)
    output.error(text, text)
    output.trace(text)
    output.document({"message": text})
    json_lines.append(tmp_path / "x.jsonl", {"message": text})
    said = capsys.readouterr()
    assert "s3cr3t" not in said.out + said.err + (tmp_path / "x.jsonl").read_text()
    assert json.loads((tmp_path / "x.jsonl").read_text()) == {"message": "Bearer ***, ***"}


def test_what_is_no_secret_stays() -> None:
    redaction.hide("")
    redaction.hide("abc")
    assert redaction.clean("abc") == "abc"


@pytest.mark.parametrize("secret", ["true", "false", "error", "code", '"ok"', "null"])
def test_json_stays_json_whatever_the_secret_is(secret: str) -> None:
    redaction.hide(secret)
    document = {"ok": True, "error": {"code": "x", "message": f"it said {secret}!"}, "n": 1, "none": None}
    cleaned = json.loads(json.dumps(redaction.clean_values(document)))
    assert cleaned == {**document, "error": {"code": "x", "message": "it said ***!"}}


def test_a_secret_in_a_key_or_deep_inside_is_left_out() -> None:
    redaction.hide("s3cr3t-token")
    found = redaction.clean_values({"tags": {"a s3cr3t-token b": [("x", "s3cr3t-token")]}})
    assert found == {"tags": {"a *** b": [["x", "***"]]}}


@pytest.mark.parametrize("secret", ["deadbeef01", "abcdefghijklmnopqrstuvwxyz", "s3cr3t"])
def test_a_secret_that_looks_like_a_word_is_no_key_of_ours(secret: str) -> None:
    redaction.hide(secret)
    assert redaction.clean_values({"tags": {secret: "x"}}) == {"tags": {"***": "x"}}
