"""`daglab config` and `daglab completion` as they are typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import cli as main
from daglab.settings import config_keys

Cli = Callable[..., Any]


def test_set_get_unset_and_show(cli: Cli, tmp_path: Path) -> None:
    done = cli("config", "set", "dagster.port", "4001", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "ok": True,
        "file": str(tmp_path / "daglab.yaml"),
        "key": "dagster.port",
        "value": 4001,
        "created": True,
    }
    done = cli("config", "set", "security.sandbox_mode", "yes", "--env", "prod")
    assert (done.exit_code, done.stderr.split(": ")[1]) == (0, "environments.prod.security.sandbox_mode is true\n")
    assert (tmp_path / "daglab.yaml").read_text() == (
        "version: 1\ndagster:\n  port: 4001\nenvironments:\n  prod:\n    security:\n      sandbox_mode: true\n"
    )
    assert cli("config", "get", "dagster.port").stdout == "4001\n"
    done = cli("config", "get", "security.sandbox_mode", "--env", "prod", "--json")
    assert json.loads(done.stdout)["value"] is True
    assert json.loads(done.stdout)["origin"] == f"{tmp_path}/daglab.yaml:7 (environment prod)"
    done = cli("config", "unset", "dagster.port")
    assert (done.exit_code, "is gone" in done.stderr) == (0, True)
    assert "port" not in (tmp_path / "daglab.yaml").read_text()
    done = cli("config", "get", "dagster.url", "--origin")
    assert (done.stdout, done.stderr) == ("\n", "default\n")


def test_the_user_s_own_config(cli: Cli, tmp_path: Path) -> None:
    user = Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    assert cli("config", "set", "dagster.auth.token_file", "~/token", "--user").exit_code == 0
    assert "token_file" in user.read_text()
    found = json.loads(cli("config", "path", "--json").stdout)
    assert found["user"] == {"path": str(user), "exists": True}
    assert found["project"] == {"path": str(tmp_path / "daglab.yaml"), "exists": False}
    assert str(user) in cli("config", "path").stdout
    assert cli("config", "unset", "dagster.auth.token_file", "--user", "--json").exit_code == 0
    assert "token_file" not in user.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["get", "dagster.prot"], 7, "Did you mean dagster.port"),
        (["set", "dagster.port", "many"], 7, "VALUE: dagster.port is text"),
        (["set", "dagster.url", "shop"], 7, "Hint: dagster.url: The whole address (https://"),
        (["set", "weaviate.clusters", "name=main"], 7, 'such as [{"name": "main"}]'),
        (["set", "dagster.auth.token_command", "id"], 6, "may not set dagster.auth.token_command"),
        (["st", "a", "b"], 2, "Did you mean"),
        (["docs", "nonsense"], 7, "daglab config docs"),
    ],
)
def test_what_is_refused(cli: Cli, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = cli("config", *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "daglab.yaml").exists()


def test_docs_and_models(cli: Cli, tmp_path: Path) -> None:
    keys = json.loads(cli("config", "docs", "--json").stdout)["keys"]
    assert [each["key"] for each in keys] == list(config_keys.known())
    assert cli("config", "docs", "export.retention_days").stdout.splitlines()[-1].endswith("0 means for ever.")
    assert "names no models" in cli("config", "models").stderr
    (tmp_path / "daglab.yaml").write_text("models: [{name: small, provider: someone}, {name: large}]\n")
    assert json.loads(cli("config", "models", "--json").stdout)["models"][0] == {"name": "small", "provider": "someone"}
    assert cli("config", "models").stdout.splitlines()[2].split() == ["small", "someone"]


def complete(*words: str) -> list[str]:
    env = {
        **os.environ,
        "_DAGLAB_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "daglab"], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_what_is_completed() -> None:
    assert complete("daglab", "") == main.NAMES
    assert complete("daglab", "disc") == ["discover"]
    assert complete("daglab", "config", "un") == ["unset"]
    assert complete("daglab", "config", "get", "export.ret") == ["export.retention_days"]
    assert complete("daglab", "discover", "--filter", "a") == ["all", "assets"]
    assert "--dagster-port" in complete("daglab", "run", "--dag")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_shell_s_own(cli: Cli, shell: str, tmp_path: Path) -> None:
    done = cli("completion", shell)
    assert done.exit_code == 0
    assert f"{shell}_complete" in done.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_text(done.stdout)
        assert subprocess.run([shell, "-n", tmp_path / "script"], check=False).returncode == 0


def test_bash_completes_with_it(cli: Cli, tmp_path: Path, need: Callable[[object, str], None]) -> None:
    need(shutil.which("bash"), "bash is not there")
    (tmp_path / "script").write_text(cli("completion", "bash").stdout)
    (tmp_path / "daglab").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daglab "$@"\n')
    (tmp_path / "daglab").chmod(0o755)
    code = "source ./script; COMP_WORDS=(daglab con); COMP_CWORD=1; _daglab_completion daglab; echo ${COMPREPLY[@]}"
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["config"]


def test_a_secret_in_a_header_is_not_shown(cli: Cli) -> None:
    env = {"DAGLAB_DAGSTER__AUTH__HEADERS": "Authorization=Bearer s3cretvalue,X-Team=sales,X-Api-Key=env:DAGLAB_KEY"}
    shown = json.loads(cli("config", "get", "dagster.auth.headers", "--json", env=env).stdout)["value"]
    assert shown == {"Authorization": "...", "X-Team": "sales", "X-Api-Key": "env:DAGLAB_KEY"}
    for arguments in (["show"], ["show", "--json"], ["get", "dagster.auth.headers"]):
        done = cli("config", *arguments, env=env)
        assert "s3cretvalue" not in done.stdout + done.stderr


def test_an_environment_of_the_variable_is_written_to(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("version: 1\nenvironments:\n  prod:\n    dagster:\n      port: 5000\n")
    env = {"DAGLAB_ENV": "prod"}
    assert cli("config", "set", "dagster.port", "6000", env=env).exit_code == 0
    assert cli("config", "get", "dagster.port", env=env).stdout.strip() == "6000"
    assert cli("config", "get", "dagster.port").stdout.strip() == "3000"
