"""Environment files: the oracle is python-dotenv, which Dagster itself reads `.env` with."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from daglab import env_files, errors

WORDS = [
    "A",
    "B_2",
    "export",
    "export A",
    "'quoted name'",
    "x y",
    "1",
    "é",
    "=",
    "= ",
    " =",
    "#",
    " # a comment",
    "'",
    '"',
]
VALUES = ["", "plain", "two words", "'single'", '"double"', '"a\\nb"', r"'a\'b'", r'"a\"b"', "a#b", "a # b", "${A}"]
MORE = ["${HOME_OF:-there}", "${B_2:-}", '"over\ntwo lines"', "'${A}'", "\\", '"\\\\"', "\t", " ", "\n", "\r\n", "\n\n"]


@pytest.mark.parametrize("seed", range(20))
def test_a_file_is_read_as_dagster_does(
    seed: int, need: Callable[[object, str], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What python-dotenv leaves out with a warning is refused, with the line; all else is the same."""
    try:
        import dotenv
    except ImportError:
        need(False, "python-dotenv is not installed")
    monkeypatch.setenv("HOME_OF", "the environment")
    rng, refused, read = random.Random(seed), 0, 0
    for _ in range(300):
        text = _file(rng)
        caplog.clear()
        expected = dotenv.dotenv_values(stream=io.StringIO(text), interpolate=True)
        # What dotenv_values puts in first is the file; load_dotenv, which does not override, the environment.
        wrong = "could not parse" in caplog.text
        try:
            found = env_files.parse(text, {"HOME_OF": "the environment"}, "file")
        except errors.InvalidInput:
            assert wrong, repr(text)
            refused += 1
        else:
            assert not wrong, repr(text)
            assert found == {name: value for name, value in expected.items() if value is not None}, repr(text)
            read += 1
    assert refused > 20
    assert read > 20


def _file(rng: random.Random) -> str:
    lines = []
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.7:
            lines.append(
                rng.choice(["A", "B_2", "export C"]) + rng.choice(["=", " = ", "="]) + rng.choice(VALUES + MORE[:6])
            )
        else:
            lines.append("".join(rng.choice(WORDS + VALUES + MORE) for _ in range(rng.randint(0, 4))))
    return rng.choice(["\n", "\r\n"]).join(lines)


def test_what_is_set_is_put_in_before_what_the_file_says() -> None:
    text = "HOST=file\nURL=http://${HOST}:${PORT:-80}\n"
    assert env_files.parse(text, {"HOST": "set"}, "f")["URL"] == "http://set:80"
    assert env_files.parse(text, {}, "f")["URL"] == "http://file:80"


@pytest.mark.parametrize(("text", "line"), [("A=1\nB 'x\n", 2), ("\n\n=x", 3), ("A='never ends\nB=1", 1)])
def test_a_wrong_line_is_named(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "dev.env"
    path.write_text(text)
    with pytest.raises(errors.InvalidInput, match=rf"dev\.env:{line}: this is not NAME=VALUE") as caught:
        env_files.read(path, {})
    assert "quotes" in str(caught.value.hint)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(errors.NotSetUp, match="environment file"):
        env_files.read(tmp_path / "none.env", {})


def test_a_nul_is_in_no_variable() -> None:
    with pytest.raises(errors.InvalidInput, match="f:2: no variable can hold a NUL"):
        env_files.parse("A=1\nB=x\0y\n", {}, "f")


@pytest.mark.parametrize("value", ["${" * 100_000, "${a:" * 100_000, "x" + " " * 100_000 + "y"])
def test_a_long_value_that_is_nearly_a_variable_or_a_comment_is_read_as_it_is(value: str) -> None:
    """Where each place of it is looked at to the end, this takes hours."""
    assert env_files.parse(f"A={value}\n", {}, ".env") == {"A": value}
