"""What users type and write, against oracles where there is one."""

from __future__ import annotations

import importlib.util
import json
import math
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from daglab import errors, parse

# Text whose meaning differs between YAML 1.1, YAML 1.2 and what a person would guess.
SCALARS = (
    """
2024-01-01|2024-13-45|2024-01-01 10:00:00|2024-01-01T10:00:00Z|2001-12-14t21:59:43.10-05:00|12:30|12:30:45|190:20:30.15
08|010|0o10|0x1F|0x_|0b11|0b_|1_000|+1|-0|00|1e3|1.5e3|1.5e+3|.5|5.|-.5|1e400|.inf|-.Inf|.nan|1__0.5
yes|No|on|OFF|y|n|true|TRUE|null|Null|~|""|'2024-01-01'|"08"|'yes'|text with spaces|a:b|a#b|"a: b"|é 🎉|=|!!str 5
!!int "7"|!!int seven|!!float 1|!!bool maybe|!!binary aGk=|!!timestamp 2024-01-01|!!set {a}|*gone
!!python/name:os.system
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def asked(function: Callable[..., Any], *arguments: object) -> errors.DaglabError:
    with pytest.raises(errors.DaglabError) as caught:
        function(*arguments)
    assert caught.value.message
    assert caught.value.hint
    return caught.value


# asset keys and targets


@pytest.mark.parametrize(
    ("text", "key"), [("orders", ("orders",)), (" a/b ", ("a", "b")), ("a / b/ü", ("a", "b", "ü")), ("a:b", ("a:b",))]
)
def test_asset_key(text: str, key: tuple[str, ...]) -> None:
    assert parse.asset_key(text) == key


@pytest.mark.parametrize("text", ["", " ", "/", "a/", "/a", "a//b"])
def test_no_asset_key(text: str) -> None:
    assert asked(parse.asset_key, text).exit_code == 7


def test_asset_keys_are_each_there_once_in_their_order() -> None:
    assert parse.asset_keys("c, a/b,c ,,a/b") == [("c",), ("a", "b")]
    assert asked(parse.asset_keys, " , ").exit_code == 7


@pytest.mark.parametrize(
    ("text", "asset", "partition", "job"),
    [
        ("asset:src/orders", ("src", "orders"), None, None),
        ("asset:a:b", ("a:b",), None, None),
        ("asset:daily@2026-11-01", ("daily",), "2026-11-01", None),
        ("asset:a@b@c|d", ("a@b",), "c|d", None),
        ("asset://src/orders", ("src", "orders"), None, None),
        ("asset://hourly:2026-11-01-03:00", ("hourly",), "2026-11-01-03:00", None),
        ("asset://a@b", ("a@b",), None, None),
        ("job:report", (), None, "report"),
    ],
)
def test_attach_target(text: str, asset: tuple[str, ...], partition: str | None, job: str | None) -> None:
    assert parse.attach_target(text) == parse.AttachTarget(asset, partition, job)


def test_what_is_no_attach_target() -> None:
    for text in ("orders", "job:", "job", "asset", "", "run:1", "asset:a@", "asset://a:"):
        assert asked(parse.attach_target, text).exit_code == 2
    for text in ("asset:", "asset://", "asset:a//b", "asset:@b"):
        assert asked(parse.attach_target, text).exit_code == 7


# addresses


@pytest.mark.parametrize(
    ("text", "url", "origin"),
    [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        (" HTTP://LocalHost:3000/ ", "http://localhost:3000", "http://localhost:3000"),
        ("https://Dagster.example.com", "https://dagster.example.com", "https://dagster.example.com:443"),
        ("http://dagster/", "http://dagster", "http://dagster:80"),
        ("https://x.dagster.cloud/prod/graphql", "https://x.dagster.cloud/prod", "https://x.dagster.cloud:443"),
        ("http://h:1/Team/A/graphql/", "http://h:1/Team/A", "http://h:1"),
        ("http://[::1]:3000", "http://[::1]:3000", "http://[::1]:3000"),
        ("http://my_host:80", "http://my_host:80", "http://my_host:80"),
        ("http://bücher.example", "http://bücher.example", "http://bücher.example:80"),
        ("https://h/a@b", "https://h/a@b", "https://h:443"),
    ],
)
def test_addresses(text: str, url: str, origin: str) -> None:
    assert (parse.base_url(text), parse.origin(url)) == (url, origin)
    assert parse.base_url(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:3000",
        "127.0.0.1",
        "ftp://h",
        "file:///etc/passwd",
        "http://",
        "http://:3000",
        "http:/h",
        "http://h:port",
        "http://h:99999",
        "http://h:0",
        "http://h:1:2",
        "http://[::1",
        "http://a b",
        "http://a\\b",
        "http://a\\@b",
        "http://h?x=1",
        "http://h/#x",
        "http://a,b",
        "http://%31",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert asked(parse.base_url, text).exit_code == 7


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@h",
        "http://hunter2@h/x",
        "https://user:hunter2@h:port",
        "http://user:hunter2/x@h",
        "user:hunter2@h",
        "http:/user:hunter2@h",
        "http:user:hunter2@h",
        "//user:hunter2@h/",
        "http://user:hunter2@[::1",
        "http://h?token=hunter2",
        "http://h/#hunter2",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_shown(text: str) -> None:
    error = asked(parse.base_url, text)
    assert "hunter2" not in error.message + str(error.hint)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h:1/a/b?sig=x#y", "https://h:1/a/b"),
        ("http://h/a@b", "http://h/a@b"),
        ("/runs/1?x=y", "/runs/1"),
        ("u:p@h", "what is given"),
        ("http://[", "what is given"),
    ],
)
def test_an_address_as_it_may_be_shown(url: str, shown: str) -> None:
    assert parse.display_url(url) == shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("http://127.8.8.8:1", True),
        ("http://[::1]:3000", True),
        ("http://127.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://10.0.0.1", False),
        ("http://[::2]", False),
        ("nothing", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert parse.is_loopback(url) is expected


def test_the_nearest_names() -> None:
    assert parse.did_you_mean("ordres", ["orders", "customers"]) == "Did you mean orders?"
    assert parse.did_you_mean("xyz", ["orders", "customers"]) is None


# run config


@pytest.fixture
def needs_dagster(need: Callable[[object, str], None]) -> None:
    need(importlib.util.find_spec("dagster_shared"), "this dagster has no dagster_shared")


def dagsters(text: str) -> Any:
    """What Dagster's own loader and JSON make of a text; None where one of them can't."""
    import yaml
    from dagster_shared.yaml_utils import DagsterYamlLoader

    try:
        return json.loads(json.dumps(yaml.load(text, Loader=DagsterYamlLoader), allow_nan=False))
    except Exception:  # whatever PyYAML lets through
        return None


def ours(text: str) -> Any:
    try:
        return parse.run_config(text, "run config")
    except errors.InvalidInput:
        return None


def generated(rng: random.Random, depth: int = 0) -> str:
    """A value as flow YAML; strings with what YAML quotes."""
    kind = rng.randrange(4 if depth < 3 else 1)
    if kind == 1:
        return "[" + ", ".join(generated(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    if kind == 2:
        pairs = (f"{rng.choice(KEYS)}: {generated(rng, depth + 1)}" for _ in range(rng.randrange(4)))
        return "{" + ", ".join(pairs) + "}"
    if kind == 3:
        return json.dumps("".join(rng.choice("a:#-{}[],&*!|>'\"%@` \té🎉\x7f\u2028") for _ in range(rng.randrange(9))))
    return rng.choice(SCALARS)


KEYS = ["ops", "a b", "1", "1.5", "yes", "2024-01-01", "'x'", "~", "é", "<<", "08"]


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.usefixtures("needs_dagster")
def test_a_scalar_is_read_as_dagster_reads_it(scalar: str) -> None:
    text = f"key: {scalar}"
    assert ours(text) == dagsters(text)


@pytest.mark.usefixtures("needs_dagster")
def test_generated_run_config_is_read_as_dagster_reads_it() -> None:
    rng = random.Random(20)
    refused = 0
    for _ in range(1500):
        text = "".join(f"{rng.choice(KEYS)}: {generated(rng)}\n" for _ in range(rng.randrange(1, 4)))
        expected = dagsters(text)
        assert ours(text) == expected, text
        refused += expected is None
    assert 100 < refused < 1400


def test_json_is_run_config_too() -> None:
    rng = random.Random(3)
    for _ in range(200):
        value = {"ops": {"a": [rng.random(), rng.randrange(10**9), None, True, "é\n\u2028🎉/"[: rng.randrange(7)]]}}
        assert parse.run_config(json.dumps(value), "run config") == value


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "null"])
def test_no_run_config_is_an_empty_one(text: str) -> None:
    assert parse.run_config(text, "run config") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "line 1, column 6: "),
        ("a:\n  - b\n c: d", "line 3, column 2: "),
        ("a: 1\nb: 0x_", "line 2, column 4: the value is not what it looks like"),
        ("a: 1\nb: !!bool maybe", "line 2, column 4: the value is not what it looks like"),
        ("a: " + "1" * 5000, "line 1, column 4: the value is not what it looks like"),
        ("a: 1\nb: \x01", "character 9 (U+0001) is not allowed in YAML"),
        ("a: !secret x", "line 1, column 4: could not determine a constructor"),
        ("- a", "is a list, not a mapping"),
        ("text", "is a str, not a mapping"),
        ("a: .nan", "a value that JSON can't"),
        ("a: !!timestamp 2024-01-01", "a value that JSON can't"),
        ("a: &a [*a]", "holds more than 1000000 values"),
        ("a: 0x" + "f" * 5000, "line 1, column 4: the value is not what it looks like"),
        ("[" * 5000, "nested too deep"),
        ("a: b\n---\nc: d", "line 2, column 1: "),
    ],
)
def test_run_config_that_can_t_be_read(text: str, said: str) -> None:
    error = asked(parse.run_config, text, "run config x.yaml")
    assert error.exit_code == 7
    assert error.message.startswith("The run config x.yaml ")
    assert said in error.message


# YAML with positions


def test_every_value_has_its_path_and_line() -> None:
    text = "version: 1\n\ndagster:\n  # said\n  url: 'http://h'\n  auth: {token_env: A}\nlist:\n  - 1\n  - 2\nempty:\n"
    found = [(scalar.key, scalar.value, scalar.line) for scalar in parse.yaml_scalars(text, "f")]
    assert found == [
        ("version", 1, 1),
        ("dagster.url", "http://h", 5),
        ("dagster.auth.token_env", "A", 6),
        ("list", [1, 2], 7),
        ("empty", None, 10),
    ]


def test_an_empty_mapping_is_a_value() -> None:
    assert [(scalar.key, scalar.value) for scalar in parse.yaml_scalars("dagster: {}", "f")] == [("dagster", {})]


@pytest.mark.parametrize("text", ["", "# nothing", "---"])
def test_an_empty_file_has_no_values(text: str) -> None:
    assert parse.yaml_scalars(text, "f") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "f:1: a mapping is expected"),
        ("a: 1\nb: 2\na: 3", "f:3: the key a stands here twice"),
        ("a:\n  b: 1\n  b: 2", "f:3: the key a.b stands here twice"),
        ("a: 1\n? [x]\n: 1", "f:2: a plain key is expected"),
        ("a: 1\n b: 2", "f: line 2, column 3: "),
        ("a: 1\nb: 0b_", "f: line 2, column 4: the value is not what it looks like"),
        ("a: &a\n  b: *a", "f:2: a plain key is expected"),
        ("{a: " * 3000, "f: it is nested too deep"),
        ("a: &a {x: 1, y: 2}\n" + "".join(f"a{n}: &a{n} {{{', '.join(f'k{k}: *{previous}' for k in range(9))}}}\n"
         for n, previous in enumerate(["a", *(f"a{n}" for n in range(9))])), "f: it holds more than 1000 values"),
    ],
)  # fmt: skip
def test_yaml_that_is_no_config(text: str, said: str) -> None:
    error = asked(parse.yaml_scalars, text, "f")
    assert error.exit_code == 7
    assert error.message.startswith(said)


@pytest.mark.parametrize(
    "text", ["token: 'hunter2", "token: [hunter2", "a: b\ntoken: hunter2: x", "token: !!int hunter2"]
)
def test_an_error_of_yaml_shows_nothing_of_the_file(text: str) -> None:
    error = asked(parse.yaml_scalars, text, "f")
    assert "hunter2" not in error.message


def test_a_float_of_yaml_is_a_float() -> None:
    values = [scalar.value for scalar in parse.yaml_scalars("a: 1.5\nb: 1\nc: true\nd: .inf\ne: 08", "f")]
    assert values == [1.5, 1, True, math.inf, "08"]
    assert [type(value) for value in values] == [float, int, bool, float, str]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2w", 1209600), (" 1h ", 3600)]
)
def test_since_a_span(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse.time, "time", lambda: 2_000_000.0)
    assert parse.since(text, "--since") == 2_000_000 - seconds


def test_since_a_time() -> None:
    assert parse.since("1970-01-02T00:00:00Z", "--since") == 86400
    assert parse.since("1970-01-02T01:00:00+01:00", "--since") == 86400
    assert parse.since("2026-11-01", "--since") == datetime(2026, 11, 1).astimezone().timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "-1d", "2026-13-01", "99999999d", "0000-01-01"])
def test_since_no_time(text: str) -> None:
    with pytest.raises(errors.WrongUsage, match="is no time") as caught:
        parse.since(text, "--since")
    assert "--since 7d" in str(caught.value.hint)
