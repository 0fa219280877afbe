"""Secrets: where they are read, what is refused, and which headers they become."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, redaction
from daglab.settings import config_keys, credentials

URL = "http://dagster.test:3000"
CLOUD = "https://shop.dagster.cloud/prod"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A token, a name and a password; what was hidden is forgotten after the test."""
    monkeypatch.setenv("DAGLAB_T", " t0ken-1\n")
    monkeypatch.setenv("DAGSTER_CLOUD_API_TOKEN", "t0ken-1")
    monkeypatch.setenv("DAGLAB_U", "jürgen")
    monkeypatch.setenv("DAGLAB_P", 'pass: "wörd"\n')
    yield
    redaction._secrets.clear()


def auth(**named: Any) -> config_keys.Auth:
    return config_keys.Auth(**named)


def headers(url: str = URL, **named: Any) -> dict[str, str]:
    return credentials.headers(auth(**named), "a test", url)


BASIC = "Basic " + base64.b64encode('jürgen:pass: "wörd"'.encode()).decode()
PAIR = {"username_env": "DAGLAB_U", "password_env": "DAGLAB_P"}


@pytest.mark.parametrize(
    ("named", "url", "expected"),
    [
        ({"token_env": "DAGLAB_T"}, URL, {"Authorization": "Bearer t0ken-1"}),
        ({"token_env": "DAGLAB_T", "type": "bearer"}, CLOUD, {"Authorization": "Bearer t0ken-1"}),
        ({"token_env": "DAGLAB_T", "type": "bearer", "header_name": "X-Own"}, URL, {"X-Own": "Bearer t0ken-1"}),
        (PAIR, URL, {"Authorization": BASIC}),
        (PAIR, CLOUD, {"Authorization": BASIC}),
        ({**PAIR, "type": "basic", "header_name": "X-Own"}, URL, {"X-Own": BASIC}),
        ({"token_env": "DAGLAB_T", "header_name": "X-Own"}, URL, {"X-Own": "t0ken-1"}),
        ({"token_env": "DAGLAB_T", "header_name": "X-Own"}, CLOUD, {"X-Own": "t0ken-1"}),
        ({"token_env": "DAGLAB_T", "type": "custom"}, URL, {"Authorization": "t0ken-1"}),
        ({"token_env": "DAGLAB_T", "type": "dagster-plus"}, URL, {"Dagster-Cloud-Api-Token": "t0ken-1"}),
        ({"token_env": "DAGLAB_T"}, CLOUD, {"Dagster-Cloud-Api-Token": "t0ken-1"}),
        ({"token_env": "DAGLAB_T"}, "https://shop.dagster.plus/prod", {"Dagster-Cloud-Api-Token": "t0ken-1"}),
        ({"token_env": "DAGLAB_T"}, "https://notdagster.cloud", {"Authorization": "Bearer t0ken-1"}),
        ({"token_env": "DAGSTER_CLOUD_API_TOKEN"}, URL, {"Dagster-Cloud-Api-Token": "t0ken-1"}),
        ({"headers": {"X-Team": "shop", "X-Key": "env:DAGLAB_T2"}}, URL, {"X-Team": "shop", "X-Key": "k3y-2"}),
        (
            {"token_env": "DAGLAB_T", "headers": {"X-Team": "shop"}},
            URL,
            {"X-Team": "shop", "Authorization": "Bearer t0ken-1"},
        ),
    ],
)
def test_the_headers(
    named: dict[str, Any], url: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGLAB_T2", "k3y-2")
    assert headers(url, **named) == expected


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ({"type": "basic", "token_env": "DAGLAB_T"}, "username_env"),
        ({"type": "bearer", **PAIR}, "token"),
        ({"type": "dagster-plus", **PAIR}, "token"),
    ],
)
def test_a_type_that_does_not_go_with_the_rest(named: dict[str, Any], hint: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"dagster\.auth\.type is") as caught:
        headers(**named)
    assert hint in str(caught.value.hint)


def test_what_is_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGLAB_T2", "k3y-2")
    said = [*headers(**PAIR).values(), *headers(token_env="DAGLAB_T", headers={"X": "env:DAGLAB_T2"}).values()]
    assert [redaction.clean(text) for text in said] == ["Basic ***", "***", "Bearer ***"]
    # as the message of a server has it in a JSON document, too
    assert redaction.clean(r'{"a": "pass: \"wörd\" or pass: "wörd""}') == '{"a": "*** or ***"}'
    assert redaction.clean("jürgen") == "jürgen"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"token_env": "DAGLAB_NONE"}, "The variable that a test names has no token"),
        ({"username_env": "DAGLAB_NONE", "password_env": "DAGLAB_P"}, "names for the user's name is not set"),
        ({"username_env": "DAGLAB_U", "password_env": "DAGLAB_NONE"}, "names for the password is not set"),
        ({"username_env": "DAGLAB_COLON", "password_env": "DAGLAB_P"}, "the user's name holds what can't be sent"),
        ({"username_env": "DAGLAB_U", "password_env": "DAGLAB_LINES"}, "the password holds what can't be sent"),
        ({"headers": {"X-Key": "env:DAGLAB_NONE"}}, "dagster.auth.headers names for X-Key is not set"),
        ({"headers": {"X-Key": "env:DAGLAB_LINES"}}, "dagster.auth.headers names for X-Key holds what can't be sent"),
        ({"headers": {"X-Key": "env:DAGLAB_U"}}, "dagster.auth.headers names for X-Key holds what can't be sent"),
    ],
)
def test_a_missing_or_bad_one_is_not_set_up(
    named: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGLAB_COLON", "me:too")
    monkeypatch.setenv("DAGLAB_LINES", "two\r\nlines")
    with pytest.raises(errors.NotSetUp, match=message) as caught:
        headers(**named)
    said = f"{caught.value.message}{caught.value.hint}"
    assert "export NAME" in said
    assert not any(text in said for text in ("me:too", "lines", "jürgen", "DAGLAB_"))


def test_only_files_and_commands_may_change() -> None:
    change = [{"token_file": "x"}, {"token_command": "x"}]
    stay = [{"token_env": "X"}, PAIR, {"headers": {"X": "env:Y"}}, {}]
    assert all(credentials.may_change(auth(**named)) for named in change)
    assert not any(credentials.may_change(auth(**named)) for named in stay)


@pytest.mark.parametrize("token", ["two\nlines", "carriage\rreturn", "schlüssel", "nul\0", "tab\there", "\x1b[31m"])
def test_an_invalid_token_is_refused_and_not_shown(token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token, encoding="utf-8")
    with pytest.raises(errors.NotSetUp, match="a test") as caught:
        headers(token_file=str(tmp_path / "token"))
    assert token not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.hint


@pytest.mark.parametrize("content", ["", "  \n"])
def test_an_empty_token_is_none(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content)
    monkeypatch.setenv("MY_TOKEN", content)
    for named in ({"token_file": str(tmp_path / "token")}, {"token_env": "MY_TOKEN"}):
        with pytest.raises(errors.NotSetUp, match="that a test names has no token"):
            headers(**named)


def test_a_token_of_a_command() -> None:
    assert headers(token_command="printf '%s\\n' hunter2") == {"Authorization": "Bearer hunter2"}
    for broken in ("sh -c 'echo hunter2; exit 1'", "true"):
        with pytest.raises(errors.NotSetUp, match="The command that a test names has no token"):
            headers(token_command=broken)
    with pytest.raises(errors.NotSetUp, match="can't be read: No closing quotation"):
        headers(token_command="echo 'hunter2")
    with pytest.raises(errors.NotSetUp, match="has no token"):
        credentials.read_token(auth(token_command="sleep 60"), "a test", timeout=0.1)


def test_a_token_file_that_is_not_there() -> None:
    with pytest.raises(errors.NotSetUp, match="that a test names can't be read: No such file"):
        headers(token_file="/nowhere/token")
