"""Who daglab is to a deployment behind a reverse proxy, and what the sandbox keeps from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiers
from tests.guarded import Guarded, guarding

pytestmark = pytest.mark.long

AUTH = "DAGLAB_DAGSTER__AUTH__"
SECRET, PASSWORD, NEW = "s3cret-t0ken", 'pass:w"örd-7', "n3w-t0ken"
# Each kind: what the proxy demands, what names the secret, and the variables that hold it.
KINDS: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "bearer": (
        {"secret": SECRET, "also": {"X-Team": "shop", "X-Extra": "3xtra-k3y"}},
        {f"{AUTH}TOKEN_ENV": "DAGLAB_T", f"{AUTH}HEADERS": "X-Team=shop,X-Extra=env:DAGLAB_X"},
        {"DAGLAB_T": SECRET, "DAGLAB_X": "3xtra-k3y"},
    ),
    "basic": (
        {"secret": f"jürgen:{PASSWORD}"},
        {f"{AUTH}USERNAME_ENV": "DAGLAB_U", f"{AUTH}PASSWORD_ENV": "DAGLAB_P"},
        {"DAGLAB_P": PASSWORD, "DAGLAB_U": "jürgen"},
    ),
    "custom": (
        {"secret": SECRET},
        {f"{AUTH}TOKEN_ENV": "DAGLAB_T", f"{AUTH}HEADER_NAME": "X-Api-Key"},
        {"DAGLAB_T": SECRET},
    ),
    "dagster-plus": (
        {"secret": SECRET},
        {f"{AUTH}TOKEN_ENV": "DAGSTER_CLOUD_API_TOKEN"},
        {"DAGSTER_CLOUD_API_TOKEN": SECRET},
    ),
}

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def guarded(deployment: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarding(deployment.port, tmp_path_factory.mktemp("proxy")) as found:
        yield found


@pytest.fixture
def ran(cli: Cli, tmp_path: Path, guarded: Guarded) -> Cli:
    """Run daglab in a project, with -v; no secret shows in what it writes, wherever it writes it."""
    (tmp_path / ".daglab").mkdir()

    def run(*arguments: str, env: dict[str, str], exit_code: int) -> Any:
        done = cli(*arguments, "-v", env={"DAGLAB_DAGSTER__URL": guarded.url, **env})
        assert done.exit_code == exit_code, done.stdout + done.stderr
        events = "".join(path.read_text() for path in (tmp_path / ".daglab" / "events").rglob("*"))
        assert f'"exit_code":{exit_code}' in events
        for secret in (SECRET, PASSWORD, json.dumps(PASSWORD, ensure_ascii=False)[1:-1], NEW, "3xtra-k3y", "Bearer"):
            assert secret not in done.stdout + done.stderr + events
        return done

    return run


@pytest.mark.parametrize("kind", tiers.few(KINDS, ["bearer", "dagster-plus"]))
def test_each_kind_is_sent_as_the_proxy_demands_it(kind: str, ran: Cli, guarded: Guarded) -> None:
    demands, named, held = KINDS[kind]
    guarded.demand(kind, **demands)
    done = ran("discover", env=named, exit_code=3)
    assert "Hint:" in done.stderr
    assert guarded.seen == []

    wrong = {name: value if name == "DAGLAB_U" else f"{value}-not" for name, value in held.items()}
    done = ran("discover", env={**named, **wrong}, exit_code=6)
    assert f"was sent as {kind}" in done.stderr
    assert "-not" not in done.stderr.replace("daglab-not", "")
    assert [each["status"] for each in guarded.seen] == [401]

    guarded.demand(kind, **demands)
    found = json.loads(ran("discover", "--json", env={**named, **held}, exit_code=0).stdout)
    assert "tea" in str(found["assets"])
    done = ran("run", "--asset-selection", "tea", "--no-wait", "--json", env={**named, **held}, exit_code=0)
    assert json.loads(done.stdout)["runs"][0]["url"].startswith(f"{guarded.url}/runs/")
    assert {each["status"] for each in guarded.seen} == {200}
    assert guarded.mutations == ["Launch"]


@pytest.mark.parametrize(
    ("way", "rotated_at"),
    tiers.few([("token_file", ("Status", 2)), ("token_command", ("Launch", 1))], [("token_command", ("Launch", 1))]),
    ids=["file", "command"],
)
def test_a_token_that_expires_meanwhile(
    way: str, rotated_at: tuple[str, int], ran: Cli, guarded: Guarded, tmp_path: Path
) -> None:
    """The file changes while the run is waited for; the command's token is refused at the launch, which is made once.

    The first look at the run comes when the proxy is busy, and it says for how long.
    """
    token, calls = tmp_path / "token", tmp_path / "calls"
    token.write_text(SECRET)
    name, nth = rotated_at
    rotate = {"at": name, "nth": nth, "secret": NEW, "file": str(token)}
    guarded.demand("bearer", secret=SECRET, rotate=rotate, busy={"at": "Status", "nth": 1, "seconds": 1})
    value = {"token_file": str(token), "token_command": f"sh -c 'echo x >>{calls}; cat {token}'"}[way]
    env = {f"{AUTH}{way.upper()}": value, "DAGLAB_PERFORMANCE__POLLING_INTERVAL": "0.1"}
    done = ran("run", "--asset-selection", "tea", "--json", env=env, exit_code=0)
    [entry] = json.loads(done.stdout)["runs"]
    assert entry["status"] == "SUCCESS"
    assert "the token was refused; read again it is a new one" in done.stderr
    assert "again in 1.0 s" in done.stderr
    assert guarded.statuses(name)[nth - 1 : nth + 1] == [401, 200]
    assert guarded.statuses("Status").count(429) == 1
    assert {each["status"] for each in guarded.seen} == {200, 401, 429}
    assert sum(each["status"] == 401 for each in guarded.seen) == 1
    assert guarded.statuses("Launch").count(200) == 1
    if way == "token_command":
        assert calls.read_text() == "x\nx\n"


def test_the_sandbox(ran: Cli, guarded: Guarded) -> None:
    """It asks, and changes nothing but what is allowed."""
    guarded.demand("bearer", secret=SECRET)
    env = {"DAGSTER_GRAPHQL_TOKEN": SECRET, "DAGLAB_SECURITY__SANDBOX_MODE": "true"}
    ran("discover", env=env, exit_code=0)
    assert guarded.mutations == []
    arguments = ["run", "--asset-selection", "tea", "--no-wait", "--json"]
    flag = {"DAGSTER_GRAPHQL_TOKEN": SECRET, "DAGLAB_SECURITY__ALLOWED_OPERATIONS": "terminateRun"}
    for done in (ran(*arguments, env=env, exit_code=6), ran(*arguments, "--sandbox", env=flag, exit_code=6)):
        error = json.loads(done.stdout)["error"]
        assert (error["code"], "security.allowed_operations" in error["hint"]) == ("not_authorised", True)
    assert guarded.mutations == []
    env["DAGLAB_SECURITY__ALLOWED_OPERATIONS"] = "terminateRun,launchRun"
    ran(*arguments, env=env, exit_code=0)
    assert guarded.mutations == ["Launch"]
