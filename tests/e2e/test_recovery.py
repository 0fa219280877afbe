"""What goes wrong in the middle, and where a user stands once the next command has run."""

from __future__ import annotations

import json
import re
import resource
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import tiers, users

pytestmark = pytest.mark.long


@pytest.fixture
def here(shop: users.User, held: Any) -> users.User:
    """The user's project, at the deployment that breaks."""
    return shop.at("", DAGLAB_DAGSTER__URL=held.url)


def full_disk() -> None:
    """No file grows beyond this, as on a disk that has no more room."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a project, without the record of what was done."""
    files = [path for path in folder.rglob("*") if path.is_file() and "events" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix != ".lock"}


@pytest.mark.slow
def test_the_webserver_is_away_while_a_run_is_waited_for(here: users.User, held: Any) -> None:
    """In the end: the one run is good, the command has waited on, and ends with 0."""
    with here.begins("run", "--job", "held_job", "--json") as run:
        assert run.stdout
        users.read_to(run.stderr, "Launched")
        held.kill("webserver")
        users.read_to(run.stderr, "Dagster does not answer, and is waited for")
        here.types("health", "--only", "dagster", exit_code=5)
        (held.project / "release").touch()
        held.start("webserver")
        [waited_for] = json.loads(run.stdout.read())["runs"]
        assert (waited_for["status"], run.wait()) == ("SUCCESS", 0)
    here.types("health", "--only", "dagster")
    assert here.asks("stats")["runs"] == {"launched": 1, "ok": 1, "failed": 0}


def test_a_command_that_is_killed_is_typed_again(here: users.User, held: Any) -> None:
    """In the end: one run, which the first command made, and the second one tells how it went."""
    key = uuid.uuid4().hex
    launch = ["run", "--job", "held_job", "--launch-key", key]
    with here.begins(*launch) as run:
        launched = re.search("Launched ([0-9a-f-]+)", users.read_to(run.stderr, "Launched"))
        run.kill()
    (held.project / "release").touch()
    [again] = here.asks(*launch)["runs"]
    assert launched
    assert (again["run_id"], again["existing"], again["status"]) == (launched[1], True, "SUCCESS")
    made = here.asks("runs", "list", "--tag", f"daglab/launch_key={key}")["runs"]
    assert [run["run_id"] for run in made] == [launched[1]]


KEEPS = """
from daglab.helpers import manage_state
state = manage_state("dagster/notebooks/asset_orders.py", defaults={"looks": 0})
state.set("looks", state["looks"] + 1)
"""


def test_files_that_a_power_cut_has_torn(shop: users.User) -> None:
    """In the end: the state is the one before the cut, one event is lost and all others count, and nothing is bad."""
    notebook = shop.types("scaffold", "--asset", "orders").stdout.strip()
    for _ in range(2):
        shop.runs(sys.executable, "-c", KEEPS)
    assert shop.asks("state", "show", notebook)["values"] == {"looks": 2}
    [month] = (shop.folder / ".daglab" / "events").iterdir()
    [state] = (shop.folder / ".daglab" / "state").glob("*.json")
    before = shop.asks("stats")["events"]
    for torn in (month, state):
        torn.write_bytes(torn.read_bytes()[:-40])

    kept = shop.asks("state", "show", notebook)
    assert (kept["values"], bool(kept["recovered"])) == ({"looks": 1}, True)
    assert shop.asks("stats")["events"] == before - 1
    assert month.name in str(shop.asks("doctor", "--fix")["fixed"])
    assert [Path(each["file"]).name for each in shop.asks("doctor", "--deep")["deep"]["bad"]] == [state.name]
    shop.runs(sys.executable, "-c", KEEPS)
    assert shop.asks("state", "show", notebook)["values"] == {"looks": 2}
    assert shop.asks("doctor", "--deep")["deep"]["bad"] == []


@tiers.unmeasured
def test_a_disk_without_room(shop: users.User) -> None:
    """In the end: what was there is there byte for byte, nothing half is beside it, and with room all is made."""
    first = shop.asks("backup", "create")["archive"]
    before = contents(shop.folder)
    for arguments in (["scaffold", "--asset", "orders"], ["backup", "create"]):
        failed = shop.types(*arguments, exit_code=7, before=full_disk)
        assert "Hint:" in failed.stderr
    assert contents(shop.folder) == before
    assert Path(shop.types("scaffold", "--asset", "orders").stdout.strip()).exists()
    shop.types("backup", "create")
    listed = shop.asks("backup", "list")["archives"]
    assert (len(listed), {each["whole"] for each in listed}) == (2, {True})
    assert first in [each["path"] for each in listed]
    assert shop.asks("doctor", "--deep")["deep"]["bad"] == []


def test_a_port_that_somebody_else_has(shop: users.User, held: Any) -> None:
    """In the end: marimo has another port, which is told; a port that was asked for is refused, and told, too."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        refused = shop.types("dashboard", "--port", taken, exit_code=8)
        assert taken in refused.stderr
        asked = ["dev", "--no-dagster", "--url", held.url, "--no-dashboard", "--marimo-port", taken, "--detach"]
        ready = shop.asks(*asked)
        assert str(ready["marimo"]["port"]) != taken
        assert requests.get(f"{ready['marimo']['url']}/health", timeout=60).ok
    assert shop.types("stop").stdout == "Stopped: nothing is left running.\n"
