"""Editing a config file: the value is there afterwards, and nothing else has changed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, parse
from daglab.commands import config as command
from daglab.settings import config, config_edit, config_files, config_keys

KNOWN = config_keys.known()
WORDS = ["", "  # why", " # ünïcode: {x}", ""]
VALUES: dict[type, list[Any]] = {
    str: ["plain", "with space", "yes", "7", "# no comment", "ä: b", "'quoted'", "a" * 90, "-", "null", "C:\\x"],
    int: [1, 3, 8080],
    float: [1.5, 2.0, 60.0],
    bool: [True, False],
    tuple: [("launchRun",), ("launchRun", "terminateRun")],
}
# Keys whose text no check narrows, and others by their kind.
FREE = ["dagster.repository_name", "notebooks_dir", "dagster.python", "defaults.attach_metadata_key"]
EDITED = [
    *FREE,
    "dagster.port",
    "dagster.graphql.timeout",
    "dagster.graphql.max_retries",
    "export.compress",
    "security.allowed_operations",
    "performance.max_wait_time",
]


def scalar(rng: random.Random, key: config_keys.Key) -> str:
    """A value as a person may write it."""
    value = rng.choice(VALUES[key.type])
    if isinstance(value, str) and not set(value) & set("'\\"):
        return rng.choice([f"'{value}'", f'"{value}"'])
    return config_edit._inline(value)


def written(rng: random.Random) -> str:
    """A config file as a person may write it: sections in any order, comments and blank lines everywhere."""
    step, end = rng.choice([2, 4]), rng.choice(["\n", "\n", "\r\n"])
    tree: dict[str, Any] = {}
    for name in rng.sample(EDITED, rng.randint(0, 6)):
        node = tree
        *sections, last = name.split(".")
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = scalar(rng, KNOWN[name])
    lines: list[str] = []

    def write(node: dict[str, Any], depth: int) -> None:
        for key, value in node.items():
            if rng.random() < 0.4:
                lines.extend([" " * (step * depth) + "# about the next", ""][: rng.randint(1, 2)])
            pad = " " * (step * depth)
            if isinstance(value, dict):
                lines.append(f"{pad}{key}:{rng.choice(WORDS)}")
                write(value, depth + 1)
            else:
                lines.append(f"{pad}{key}: {value}{rng.choice(WORDS)}")

    write(tree, 0)
    if rng.random() < 0.3:
        lines.append("performance:" if "performance" not in tree else "# the end")
    text = end.join(lines)
    return text + (end if rng.random() < 0.8 else "")


def comments(text: str) -> list[int]:
    return [text.count(mark) for mark in ("# why", "# ünïcode: {x}", "# about the next", "# the end")]


@pytest.mark.parametrize("seed", range(150))
def test_the_value_is_set_and_all_else_stays(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    text = written(rng)
    name = rng.choice(EDITED)
    value = rng.choice(VALUES[KNOWN[name].type])
    path = (*(("environments", "prod") if rng.random() < 0.3 else ()), *name.split("."))
    new = config_edit.set_value(text, path, value, "f")
    old_lines, new_lines = text.splitlines(), new.splitlines()
    assert comments(new) == comments(text)
    assert len(new_lines) - len(old_lines) in range(len(path) + 1)
    changed = [line for line in old_lines if line not in new_lines]
    assert len(changed) <= 1
    expected = [*value] if isinstance(value, tuple) else value
    assert {s.path: s.value for s in parse.yaml_scalars(new, "f")}[path] == expected
    (tmp_path / "daglab.yaml").write_bytes(new.encode())
    env = {"env": "prod"} if path[0] == "environments" else {}
    assert config.load(env, directory=tmp_path, environ={}).value(name) == value
    gone = config_edit.unset(new, path, "f")
    left = {s.path: s.value for s in parse.yaml_scalars(gone, "f")}
    before = {s.path: s.value for s in parse.yaml_scalars(text, "f")}
    assert path not in left
    assert {at: v for at, v in left.items() if v is not None} == {
        at: v for at, v in before.items() if v is not None and at != path
    }


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("dagster:\n  port: 3000  # the usual\n", "dagster:\n  port: 7  # the usual\n"),
        (
            "dagster: # ours\n  # local\n  host: h\n\n# end\n",
            "dagster: # ours\n  # local\n  host: h\n  port: 7\n\n# end\n",
        ),
        ("dagster:\nversion: 1\n", "dagster:\n  port: 7\nversion: 1\n"),
        ("dagster:\n  port:\n", "dagster:\n  port: 7\n"),
        ("version: 1", "version: 1\ndagster:\n  port: 7\n"),
        ("", "dagster:\n  port: 7\n"),
        ("# nothing yet\n", "dagster:\n  port: 7\n# nothing yet\n"),
        ("---\nversion: 1\n", "---\nversion: 1\ndagster:\n  port: 7\n"),
        ("dagster: {port: 3000, host: h}\n", "dagster: {port: 7, host: h}\n"),
        ('"dagster":\n    "port": "x"\n', '"dagster":\n    "port": 7\n'),
        (
            "dagster:\n  graphql:\n    timeout: 1\nversion: 1\n",
            "dagster:\n  graphql:\n    timeout: 1\n  port: 7\nversion: 1\n",
        ),
    ],
)
def test_where_it_is_written(text: str, new: str) -> None:
    assert config_edit.set_value(text, ("dagster", "port"), 7, "f") == new


@pytest.mark.parametrize(
    "text",
    [
        "dagster: {host: h}\n",
        "base: &b {host: h}\ndagster: *b\n",
        "dagster:\n  port: |\n    7\n",
        "dagster:\n  port:\n    - 1\n    - 2\n",
    ],
)
def test_what_can_not_be_edited_is_said(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="nothing was changed") as caught:
        config_edit.set_value(text, ("dagster", "port"), 7, "f")
    assert "dagster.port: 7" in (caught.value.hint or "")


def test_an_emptied_section_goes_too() -> None:
    text = "version: 1\nenvironments:\n  prod:\n    dagster:\n      port: 7  # gone\n# stays\n"
    assert config_edit.unset(text, ("environments", "prod", "dagster", "port"), "f") == "version: 1\n# stays\n"
    assert config_edit.unset(text, ("dagster", "port"), "f") == text


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("dagster.prot", "1", 7),
        ("dagster.port", "many", 7),
        ("dagster.port", "0", 7),
        ("dagster.auth.token_file", "/x", 6),
        ("dagster.auth.token_env", "AWS_SECRET_ACCESS_KEY", 6),
        ("dagster.auth.headers", "Authorization=abc", 7),
    ],
)
def test_what_a_project_s_file_may_not_say_is_not_written(tmp_path: Path, key: str, value: str, code: int) -> None:
    file = tmp_path / "daglab.yaml"
    file.write_text("version: 1\n")
    with pytest.raises(errors.DaglabError) as caught:
        command.set_key(file, key, value, None, trusted=False)
    assert caught.value.exit_code == code
    assert file.read_text() == "version: 1\n"


def test_the_user_s_own_file_may(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    command.set_key(file, "dagster.auth.token_file", "~/t", None, trusted=True)
    command.set_key(file, "dagster.auth.headers", "X-A=b,X-B=env:C", None, trusted=True)
    assert parse.yaml_scalars(file.read_text(), "f")[-1].path == ("dagster", "auth", "headers", "X-B")
    assert command.unset_key(file, "dagster.auth.token_file", None, trusted=True)
    assert not command.unset_key(file, "dagster.auth.token_file", None, trusted=True)


@pytest.mark.parametrize(("mark", "end"), [("", "\r\n"), ("\ufeff", "\n"), ("\ufeff", "\r\n")])
def test_the_file_keeps_its_line_ends_its_mark_and_its_mode(tmp_path: Path, mark: str, end: str) -> None:
    lines = ["# ours", "dagster:", "  port: 3000  # the usual", ""]
    (tmp_path / "real.yaml").write_bytes((mark + end.join(lines)).encode())
    (tmp_path / "real.yaml").chmod(0o640)
    file = tmp_path / "daglab.yaml"
    file.symlink_to("real.yaml")
    command.set_key(file, "dagster.port", "7", None, trusted=False)
    command.set_key(file, "dagster.host", "h", None, trusted=False)
    changed = ["# ours", "dagster:", "  port: 7  # the usual", "  host: h", ""]
    assert file.read_bytes() == (mark + end.join(changed)).encode()
    assert command.unset_key(file, "dagster.host", None, trusted=False)
    assert file.read_bytes() == (mark + end.join(lines).replace("3000", "7")).encode()
    assert (file.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)


def test_another_user_s_file_is_not_made_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "daglab.yaml"
    file.write_text("version: 1\n")
    monkeypatch.setattr(config_files, "_refuse_foreign", refuse)
    for edit in (lambda: command.set_key(file, "dagster.port", "7", None, trusted=False), lambda: unset(file)):
        with pytest.raises(errors.NotAuthorised):
            edit()
    assert file.read_text() == "version: 1\n"


def refuse(path: Path) -> None:
    raise errors.NotAuthorised(f"{path} belongs to another user.", "Take it over.")


def unset(file: Path) -> bool:
    return command.unset_key(file, "dagster.port", None, trusted=False)


def test_a_list_goes_with_its_lines_and_what_stands_on_one_line_is_said() -> None:
    text = "models:\n  - url: http://x\n    name: a\n  - url: http://y\nversion: 1\n"
    assert config_edit.unset(text, ("models",), "f") == "version: 1\n"
    with pytest.raises(errors.InvalidInput, match="nothing was changed") as caught:
        config_edit.unset("dagster: {host: h, port: 1}\n", ("dagster", "port"), "f")
    assert "take dagster.port out" in str(caught.value.hint)
