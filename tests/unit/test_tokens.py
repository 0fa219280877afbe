"""Tokens, end to end: whom they reach, and where they never show. A server on loopback records what it is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TOKEN = "hunter2-never-to-be-seen"
BEARER = f"Bearer {TOKEN}"
ENV = {"DAGSTER_GRAPHQL_TOKEN": TOKEN}

Cli = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a place for events; the current folder."""
    (tmp_path / ".daglab").mkdir()
    return tmp_path


@pytest.fixture
def user_file() -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "daglab" / "config.yaml"
    path.parent.mkdir(parents=True)
    return path


def write_project(project: Path, text: str) -> None:
    (project / "daglab.yaml").write_text(text, encoding="utf-8")


# whom they reach


def test_a_token_does_not_go_to_the_address_of_a_project_s_file(cli: Cli, dagster: Any, project: Path) -> None:
    write_project(project, f"dagster:\n  port: {dagster.port}\n")
    done = cli("discover", "-v", env=ENV)
    assert done.exit_code == 0, done.stderr
    assert "$DAGSTER_GRAPHQL_TOKEN was not sent" in done.stderr
    assert f"{project / 'daglab.yaml'}:2" in done.stderr
    assert dagster.authorizations == [None, None]


def test_with_url_it_does(cli: Cli, dagster: Any, project: Path) -> None:
    write_project(project, f"dagster:\n  port: {dagster.port}\n")
    assert cli("discover", "--url", dagster.url, env=ENV).exit_code == 0
    assert dagster.authorizations == [BEARER, BEARER]


def test_with_the_address_in_the_environment_it_does(cli: Cli, dagster: Any) -> None:
    assert cli("discover", env={**ENV, "DAGLAB_DAGSTER__URL": dagster.url}).exit_code == 0
    assert dagster.authorizations == [BEARER, BEARER]


def test_a_refusal_says_that_a_token_was_withheld(cli: Cli, dagster: Any, project: Path) -> None:
    write_project(project, f"dagster:\n  url: {dagster.url}\n")
    dagster.status = 401
    done = cli("discover", env=ENV)
    assert done.exit_code == 6
    assert "was not sent" in done.stderr
    assert "--url" in done.stderr
    assert dagster.authorizations == [None]


@pytest.mark.parametrize(
    "text",
    [
        "dagster: {auth: {token_file: secret}}",
        "dagster: {auth: {token_command: touch executed}}",
        "dagster: {auth: {token_env: OTHER_SECRET}}",
        "credentials: {'URL': {token_env: OTHER_SECRET}}",
    ],
)
def test_a_project_s_file_can_t_name_a_secret(cli: Cli, dagster: Any, project: Path, text: str) -> None:
    (project / "secret").write_text(TOKEN)
    write_project(project, text.replace("URL", dagster.url))
    done = cli("discover", "--url", dagster.url, "--json", env={"OTHER_SECRET": TOKEN})
    assert done.exit_code == 6
    assert json.loads(done.stdout)["error"]["code"] == "not_authorised"
    assert dagster.requests == []
    assert not (project / "executed").exists()


@pytest.mark.parametrize("way", ["token_env", "token_file", "token_command"])
@pytest.mark.parametrize("layer", ["user", "credentials", "environment"])
def test_the_user_s_token_reaches_the_user_s_address(
    cli: Cli, dagster: Any, user_file: Path, tmp_path: Path, way: str, layer: str
) -> None:
    (tmp_path / "secret file").write_text(f"  {TOKEN}\n")
    value = {
        "token_env": "MY_OWN_NAME",
        "token_file": str(tmp_path / "secret file"),
        "token_command": f"cat '{tmp_path / 'secret file'}'",
    }[way]
    quoted = json.dumps(value)
    env = {"MY_OWN_NAME": TOKEN}
    if layer == "user":
        user_file.write_text(f"dagster: {{url: '{dagster.url}', auth: {{{way}: {quoted}}}}}")
    elif layer == "credentials":
        user_file.write_text(f"credentials: {{'{dagster.url}': {{{way}: {quoted}}}}}")
        env["DAGLAB_DAGSTER__URL"] = dagster.url
    else:
        env |= {f"DAGLAB_DAGSTER__AUTH__{way.upper()}": value, "DAGLAB_DAGSTER__URL": dagster.url}
    done = cli("discover", env=env)
    assert done.exit_code == 0, done.stderr
    assert dagster.authorizations == [BEARER, BEARER]


def test_credentials_go_to_their_origin_alone(cli: Cli, stand_in: Callable[[], Any], user_file: Path) -> None:
    known, other = stand_in(), stand_in()
    user_file.write_text(f"credentials: {{'{known.url}': {{token_env: MINE}}}}")
    for server in (known, other):
        assert cli("discover", "--url", server.url, env={"MINE": TOKEN}).exit_code == 0
    assert known.authorizations == [BEARER, BEARER]
    assert other.authorizations == [None, None]


def test_credentials_reach_an_origin_that_the_project_s_file_names(
    cli: Cli, dagster: Any, project: Path, user_file: Path
) -> None:
    user_file.write_text(f"credentials: {{'{dagster.url}': {{token_env: MINE}}}}")
    write_project(project, f"dagster: {{url: '{dagster.url}/team'}}")
    assert cli("discover", env={"MINE": TOKEN}).exit_code == 0
    assert dagster.authorizations == [BEARER, BEARER]


def test_netrc_is_not_read(cli: Cli, dagster: Any) -> None:
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {TOKEN}\ndefault login me password {TOKEN}\n")
    netrc.chmod(0o600)
    assert cli("discover", "--url", dagster.url, env={"NETRC": str(netrc)}).exit_code == 0
    assert dagster.authorizations == [None, None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(cli: Cli, stand_in: Callable[[], Any], status: int) -> None:
    here, elsewhere = stand_in(), stand_in()
    here.status, here.headers = status, {"Location": f"{elsewhere.url}/graphql"}
    done = cli("discover", "--url", here.url, env=ENV)
    assert done.exit_code == 5
    assert f"redirects to {elsewhere.url}/graphql" in done.stderr
    assert here.authorizations == [BEARER]
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_ENV", "NOT_THERE"),
        ("TOKEN_FILE", "/not/there"),
        ("TOKEN_FILE", "/dev/null"),
        ("TOKEN_COMMAND", "false"),
        ("TOKEN_COMMAND", "not-a-program --at --all"),
        ("TOKEN_COMMAND", "printf 'two\\nlines'"),
        ("TOKEN_COMMAND", "unbalanced '"),
    ],
)
def test_a_missing_token_is_not_set_up_before_any_request(cli: Cli, dagster: Any, name: str, value: str) -> None:
    done = cli("run", "--job", "report", "--json", "--url", dagster.url, env={f"DAGLAB_DAGSTER__AUTH__{name}": value})
    assert done.exit_code == 3, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], bool(error["hint"])) == ("not_set_up", True)
    assert dagster.requests == []


# where they never show


def everything_written(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("command", "status", "exit_code"),
    [
        (["discover"], 200, 0),
        (["run", "--job", "report"], 200, 0),
        (["run", "--asset-selection", "orders", "--no-wait"], 200, 0),
        (["run", "--job", "repotr"], 200, 7),
        (["discover"], 401, 6),
        (["discover"], 500, 5),
        (["run", "--job", "report"], 302, 5),
        (["discover", "--url", "http://127.0.0.1:1"], 200, 5),
    ],
)
@pytest.mark.parametrize(
    ("way", "options"),
    [("DAGSTER_GRAPHQL_TOKEN", ["-v"]), ("DAGLAB_DAGSTER__AUTH__TOKEN_FILE", ["-v", "--json"])],
)
def test_a_token_shows_nowhere(
    cli: Cli,
    dagster: Any,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    command: list[str],
    status: int,
    exit_code: int,
    way: str,
    options: list[str],
) -> None:
    secret = tmp_path_factory.mktemp("secret") / "token"
    secret.write_text(TOKEN)
    dagster.status = status
    dagster.answers = {} if status == 500 else dagster.answers
    dagster.headers = {"Location": "http://127.0.0.1:1/"} if status == 302 else {}
    env = {"DAGLAB_DAGSTER__URL": dagster.url, "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"}
    done = cli(*command, *options, env={**env, way: TOKEN if way == "DAGSTER_GRAPHQL_TOKEN" else str(secret)})
    assert done.exit_code == exit_code, done.stderr
    if "--url" not in command:
        assert set(dagster.authorizations) == {BEARER}
    written = everything_written(project)
    assert '"command":"' in written
    for place in (done.stdout, done.stderr, written):
        assert TOKEN not in place
        assert "Bearer" not in place


@pytest.mark.parametrize("given", [TOKEN, "env:MINE", "file:token"])
def test_a_token_of_the_command_line(cli: Cli, dagster: Any, project: Path, given: str) -> None:
    (project / "token").write_text(TOKEN)
    arguments = ["run", "--job", "report", "--no-wait", "--url", dagster.url, "-v", "--auth-token", given]
    done = cli(*arguments, env={"MINE": TOKEN, "DAGSTER_GRAPHQL_TOKEN": "another"})
    assert done.exit_code == 0, done.stderr
    assert set(dagster.authorizations) == {BEARER}
    assert TOKEN not in done.stdout + done.stderr + everything_written(project / ".daglab")
    dagster.status = 401
    done = cli(*arguments, "--json", env={"MINE": TOKEN})
    assert done.exit_code == 6
    assert "--auth-token" in json.loads(done.stdout)["error"]["hint"]
    assert TOKEN not in done.stdout + done.stderr


def test_a_bug_does_not_show_the_token_either(dagster: Any, project: Path) -> None:
    code = f"""
import daglab.deployment.entities
from daglab.cli import main
def bug(api, **_):
    raise ZeroDivisionError(repr(api), api.session.http.auth, api.session.http.headers)
daglab.deployment.entities.workspace = bug
main(["discover", "-v", "--url", {dagster.url!r}], "daglab")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ENV}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert TOKEN not in done.stdout + done.stderr + everything_written(project)


def test_no_process_shows_the_token_while_an_export_is_attached(cli: Cli, dagster: Any, project: Path) -> None:
    """The program in the place of the notebook's Python looks at every command line and at its own environment."""
    if not sys.platform.startswith("linux"):
        pytest.skip("command lines are read from /proc")
    program, seen = project / "python", project.parent / f"{project.name}-seen"
    program.write_text(
        f"#!{sys.executable}\n"
        "import glob, os, sys\n"
        "def read(path):\n"
        "    try:\n"
        "        return open(path, 'rb').read()\n"
        "    except OSError:\n"
        "        return b''\n"
        f"with open({str(seen)!r}, 'ab') as file:\n"
        "    file.write(b'\\n'.join(read(path) for path in glob.glob('/proc/[0-9]*/cmdline')))\n"
        "sys.exit('no marimo here')\n"
    )
    program.chmod(0o755)
    (project / "notebook.py").write_text("import marimo\napp = marimo.App()\n")
    done = cli(
        "export", "notebook.py", "--attach", "asset:orders", "-v", "--url", dagster.url,
        env={**ENV, "DAGLAB_DAGSTER__PYTHON": str(program)},
    )  # fmt: skip
    assert done.exit_code != 0
    assert set(dagster.authorizations) == {BEARER}
    assert b"daglab" in seen.read_bytes()
    assert TOKEN.encode() not in seen.read_bytes()
    assert TOKEN not in done.stdout + done.stderr + everything_written(project)
