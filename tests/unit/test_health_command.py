"""`daglab health` as a process: what it prints, its exit codes, and a config that is not valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_healthy(cli: Cli, tmp_path: Path) -> None:
    done = cli("health", "--only", "storage", "--only", "config")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:]] == [["config", "ok"], ["storage", "ok"]]
    found = json.loads(cli("health", "--only", "storage", "--json").stdout)
    assert found == {
        "ok": True,
        "status": "healthy",
        "checks": [{**found["checks"][0], "name": "storage", "status": "ok", "hint": None}],
    }


def test_degraded_by_an_old_export(cli: Cli) -> None:
    done = cli("health", "--only", "exports", "--max-export-age", "3")
    assert done.exit_code == 4
    assert "No good export is on record." in done.stdout
    assert "Error: Degraded: exports." in done.stderr
    assert cli("health", "--only", "exports", "--max-export-age", "0").exit_code == 0


def test_down(cli: Cli) -> None:
    done = cli("health", "--only", "dagster", "--only", "locations", "--url", "http://127.0.0.1:1")
    assert done.exit_code == 5
    assert "Error: Down: dagster, locations." in done.stderr
    assert done.stderr.count("Is it running?") == 1  # not once for each


def test_an_unknown_check(cli: Cli) -> None:
    done = cli("health", "--only", "modles", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["hint"]) == (2, "Did you mean models?")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("nonsense: 1\n", ()),
        ("dagster: [\n", ()),
        ("environments: {prod: {dagster: {port: 0}}}\n", ()),
        ("models: [{name: a, token_env: HOME}]\n", ()),
        ("dagster: {auth: {username_env: DAGLAB_U}}\n", ()),
        ("nonsense: 1\n", ("--env", "prod")),
    ],
)
def test_a_config_that_is_not_valid(text: str, arguments: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text(text)
    done = cli("health", "--json", "--timeout", "20", *arguments)
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert (done.exit_code, found["status"], checks["config"]["status"]) == (5, "down", "down"), found
    assert checks["config"]["detail"]
    assert checks["storage"]["status"] == "ok"


def test_checks_that_need_a_config_are_skipped(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("nonsense: 1\n")
    only = ("--only", "dagster", "--only", "models:small", "--only", "config")
    found = json.loads(cli("health", "--json", *only).stdout)
    states = [(check["name"], check["status"]) for check in found["checks"]]
    assert states == [("config", "down"), ("dagster", "skipped"), ("models", "skipped")]


def test_a_project_file_that_is_a_folder(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").mkdir()
    done = cli("health", "--json")
    assert (done.exit_code, json.loads(done.stdout)["checks"][0]["status"]) == (5, "down")


@pytest.mark.parametrize("arguments", [("--url", "nonsense"), ("--env", "prod"), ("--dagster-port", "7")])
def test_what_is_wrong_with_the_command_line_is_no_health(arguments: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("environments: {staging: {dagster: {port: 7}}}\n")
    extra = ("--url", "http://127.0.0.1:1") if "--dagster-port" in arguments else ()
    done = cli("health", "--json", *arguments, *extra)
    assert (done.exit_code, "checks" in json.loads(done.stdout)) == (2 if extra else 7, False)


def test_nothing_is_recorded_without_a_project(cli: Cli, tmp_path: Path) -> None:
    cli("health", "--only", "storage")
    assert list(tmp_path.iterdir()) == []
