"""`daglab collections copy` and `migrate` killed with SIGKILL at random, and resumed or undone, on a real Weaviate.

Each round makes a collection with every data type, several vectors, references and tenants by turns, copies or moves
it, and kills that up to three times, half of the times at any moment, half soon after its journal or a file beside it
has grown. Then it is resumed (a migration that is killed is undone by turns, too). All is read past daglab: nothing may
be lost or there twice, references neither, the source must be as it was and writable, and no journal may be left.
Prints one JSON document; exits with 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests import migrations, weaviates  # noqa: E402 (they lie beside daglab)

OTHER = "FaultsOther"
MOST_KILLS = 3


@dataclass(frozen=True)
class Round:
    """What was done to a collection: how often it was killed, how it ended, and what is wrong."""

    kind: str
    then: str
    killed: int
    wrong: list[str]


def main() -> int:
    """Run the faults; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--objects", type=int, default=400, help="of each collection")
    parser.add_argument("--kind", choices=("copy", "migrate", "both"), default="both")
    parser.add_argument("--version", default=weaviates.VERSION, help="of Weaviate")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.randrange(1 << 32) if given.seed is None else given.seed
    started = time.monotonic()
    kinds = ["copy", "migrate"] if given.kind == "both" else [given.kind]
    with (
        tempfile.TemporaryDirectory(prefix="daglab-collections-") as folder,
        weaviates.serving(Path(folder) / "server", version=given.version) as [server],
    ):
        migrations.make_plain(server, OTHER)
        done = [
            one_round(
                server, Path(folder), kinds[number % len(kinds)], number, given.objects, random.Random(seed + number)
            )
            for number in range(given.rounds)
        ]
    report = {
        "ok": not any(each.wrong for each in done),
        "seed": seed,
        "rounds": len(done),
        "killed": sum(each.killed for each in done),
        **{kind: sum(each.kind == kind for each in done) for kind in kinds},
        "undone": sum(each.then == "--abort" for each in done),
        "wrong": [f"{each.kind} {each.then}: {said}" for each in done for said in each.wrong],
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(report, indent=2))
    return int(not report["ok"])


def one_round(server: weaviates.Server, root: Path, kind: str, number: int, count: int, chosen: random.Random) -> Round:
    """Kill one, go on or undo it, and look."""
    name, target, project = f"Faults{number}", f"Faults{number}Next", root / f"project{number}"
    (project / ".daglab").mkdir(parents=True)
    (project / "daglab.yaml").touch()
    tenants = ["a", "b", "c"] if number % 4 > 1 else []
    fill(server, name, tenants, count, number)
    words = command(server, kind, name, target)
    undoes = kind == "migrate" and number % 8 > 3
    resumed = [*words, "--resume"] if kind == "migrate" else words  # a copy goes on with the same command
    kills = 0
    for _ in range(MOST_KILLS):
        if is_begun(project) or not exists(server, target):
            kills += killed(project, resumed if is_begun(project) else words, chosen)
    then = ("--abort" if undoes else "--resume") if is_begun(project) else ""
    done = {"exit_code": 0}
    if then or not exists(server, target):
        done = run(project, [*words, then] if then == "--abort" else resumed if then else words)
    wrong = [] if done["exit_code"] == 0 else [f"it ended with {done}"]
    wrong += looked(server, name, target, tenants, gone=then == "--abort")
    if list(project.glob(".daglab/collections/*")):
        wrong.append("a journal is left")
    for each in (name, target):
        server.ask("DELETE", f"schema/{each}")
    return Round(kind, then, kills, [f"round {number}: {each}" for each in wrong])


def fill(server: weaviates.Server, name: str, tenants: Sequence[str], count: int, seed: int) -> None:
    """The source: in tenants, of which one is not active, or without."""
    migrations.make_rich(server, name, OTHER, tenants=bool(tenants))
    if not tenants:
        migrations.fill_rich(server, name, OTHER, count, seed=seed)
        return
    server.ask("POST", f"schema/{name}/tenants", [{"name": each} for each in tenants])
    for number, tenant in enumerate(tenants):
        migrations.fill_rich(server, name, OTHER, count // 3, tenant=tenant, seed=seed * 3 + number)
    set_tenant(server, name, tenants[-1], "COLD")


def command(server: weaviates.Server, kind: str, name: str, target: str) -> list[str]:
    """What is killed."""
    words = [sys.executable, "-m", "daglab", "collections", kind, name]
    if kind == "copy":
        return [*words, target, "--cluster", server.url, "--yes", "--json"]
    return [*words, "--cluster", server.url, "--target", server.url, "--as", target, "--yes", "--json"]


def killed(project: Path, words: list[str], chosen: random.Random) -> bool:
    """Kill a command at any moment, or soon after one of its files has grown so often; whether it still ran."""
    by_step, left, part = chosen.random() < 0.5, chosen.randrange(1, 12), chosen.random()
    child = subprocess.Popen(words, cwd=project, env=variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = sizes(project)
    deadline = time.monotonic() + (60 if by_step else 0.3 + 2.5 * part)
    while child.poll() is None and left and time.monotonic() < deadline:
        if by_step and (now := sizes(project)) != seen:
            seen, left = now, left - 1
        time.sleep(0.001)
    is_running = child.poll() is None
    if is_running:
        os.kill(child.pid, signal.SIGKILL)
    child.wait()
    return is_running


def sizes(project: Path) -> dict[str, int]:
    """How large each file of a journal is."""
    found = {}
    for path in project.glob(".daglab/collections/*/*"):
        try:
            found[str(path)] = path.stat().st_size
        except OSError:
            continue
    return found


def run(project: Path, words: list[str]) -> dict[str, Any]:
    """Run a command to its end."""
    done = subprocess.run(words, cwd=project, env=variables(), capture_output=True, text=True, check=False)
    try:
        return {**json.loads(done.stdout), "exit_code": done.returncode}
    except ValueError:
        return {"exit_code": done.returncode, "stderr": done.stderr[-2000:]}


def variables() -> dict[str, str]:
    """The environment of a command."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(REPOSITORY)}


def is_begun(project: Path) -> bool:
    """Whether there is a journal."""
    return bool(list((project / ".daglab").glob("collections/*/journal.jsonl")))


def exists(server: weaviates.Server, name: str) -> bool:
    """Whether there is such a collection."""
    return any(each["class"] == name for each in server.ask("GET", "schema")["classes"])


def looked(server: weaviates.Server, name: str, target: str, tenants: Sequence[str], *, gone: bool) -> list[str]:
    """What is wrong with both collections."""
    wrong = []
    if not migrations.is_writable(server, name):
        wrong.append("the source is read-only")
    if gone:
        return [*wrong, "the target is still there"] if exists(server, target) else wrong
    for each in (name, target):
        states = (
            {one["name"]: one["activityStatus"] for one in server.ask("GET", f"schema/{each}/tenants")}
            if tenants
            else {}
        )
        if states != {tenant: "COLD" if tenant == tenants[-1] else "HOT" for tenant in tenants}:
            wrong.append(f"the tenants of {each} are {states}")
        if tenants:
            set_tenant(server, each, tenants[-1], "HOT")
    source, copied = migrations.state(server, name), migrations.state(server, target, name)
    missing, extra = set(source) - set(copied), set(copied) - set(source)
    changed = [key for key in set(source) & set(copied) if source[key] != copied[key]]
    return wrong + [
        f"{len(found)} {what}"
        for found, what in ((missing, "missing"), (extra, "extra"), (changed, "changed"))
        if found
    ]


def set_tenant(server: weaviates.Server, name: str, tenant: str, status: str) -> None:
    """Make a tenant active, or inactive."""
    server.ask("PUT", f"schema/{name}/tenants", [{"name": tenant, "activityStatus": status}])


if __name__ == "__main__":
    sys.exit(main())
