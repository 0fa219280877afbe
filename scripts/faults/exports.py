"""`daglab export` killed with SIGKILL at random, and the same line again, against a real Dagster and a real store.

Each export has a notebook of its own, is uploaded, attached to an asset and told to an asset check. Half are killed at
any time, half shortly after a step was put on record. Then there must be one object and one observation for each
notebook, the record must agree with both, and at no time may an attached link point at a missing object. Prints one
JSON document; exits with 1 when something is lost or doubled.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from daglab import export_record, processes

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURE = REPOSITORY / "tests" / "fixtures" / "deployment"
SERVERS = Path(os.environ.get("DAGLAB_SERVERS") or Path.home() / ".cache" / "daglab" / "servers")
ASSET, CHECK = "orders", "orders_ok"
NOTEBOOK = "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef a():\n    print({number})\n    return\n"
OBSERVATIONS = """query O { assetNodeOrError(assetKey: {path: ["orders"]}) { ... on AssetNode {
  assetObservations(limit: 9999) { metadataEntries { label
    ... on PathMetadataEntry { path } ... on TextMetadataEntry { text } ... on UrlMetadataEntry { url } } } } } }"""
OTHER_RUN = """
from dagster import DagsterInstance, job

@job
def first():
    pass

with DagsterInstance.get() as instance:
    assert first.execute_in_process(instance=instance).success
"""


@dataclass(frozen=True)
class Setting:
    """What the exports run against: the project, the deployment, the place and the folder that it keeps objects in."""

    project: Path
    url: str
    place: str
    stored: Path
    env: Mapping[str, str]


def main() -> int:
    """Run the faults; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", type=int, default=60, help="how many, each killed once and run again")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no more after so long")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--via", choices=("instance", "rest"), help="how to attach; by default as daglab chooses")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--s3", action="store_true", help="upload to versitygw, which has to be installed")
    given = parser.parse_args()
    chosen = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="daglab-exports-") as folder, setting(Path(folder), s3=given.s3) as kept:
        started = time.monotonic()
        missing: list[str] = []
        longest = timed(kept, given.via)
        over = threading.Event()
        watcher = threading.Thread(target=watch, args=(kept, over, missing))
        watcher.start()
        fates = [(number, chosen.random() < 0.5, chosen.random()) for number in range(given.exports)]
        with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
            done = list(
                pool.map(
                    lambda fate: (
                        one(kept, given.via, fate, longest) if time.monotonic() - started < given.seconds else None
                    ),
                    fates,
                )
            )
        over.set()
        watcher.join()
        report = judged(kept, [each for each in done if each is not None], missing)
    print(json.dumps({**report, "seconds": round(time.monotonic() - started, 1)}, indent=2))
    return int(not report["ok"])


@contextlib.contextmanager
def setting(root: Path, *, s3: bool) -> Iterator[Setting]:
    """A Dagster that has had a run, and a store: a folder, or versitygw."""
    project, home, stored, code = root / "project", root / "home", root / "stored", root / "code"
    for each in (project / ".daglab", home, stored / "bucket"):
        each.mkdir(parents=True)
    shutil.copytree(FIXTURE, code, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FIXTURE / "dagster.yaml", home)
    port = processes.find_free_port()
    url = f"http://127.0.0.1:{port}"
    (project / "daglab.yaml").write_text(f"dagster:\n  url: {url}\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(root), "DAGSTER_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", OTHER_RUN], env=env, cwd=code, check=True, capture_output=True)
    with processes.keeper() as keeper:
        command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]
        processes.start(keeper, processes.Service("webserver", command, code, env, root / "webserver.log"))
        place, more = f"file://{stored}/bucket", {}
        if s3:
            gateway = SERVERS / "go" / "versitygw"
            found = str(gateway) if gateway.exists() else shutil.which("versitygw") or "versitygw"
            place, more = "s3://bucket/nightly", start_store(keeper, found, root, stored)
        wait_for(f"{url}/server_info")
        yield Setting(project, url, place, stored / "bucket", {**env, **more})


def start_store(keeper: Any, program: str, root: Path, stored: Path) -> dict[str, str]:
    """Start versitygw over the folder: the variables with which it is found."""
    port, secret = processes.find_free_port(), os.urandom(12).hex()
    (root / "meta").mkdir()
    command = [program, "--port", f"127.0.0.1:{port}", "--access", "faults", "--secret", secret, "--quiet"]
    command += ["--region", "eu-central-1", "posix", "--sidecar", str(root / "meta"), str(stored)]
    processes.start(keeper, processes.Service("store", command, root, {}, root / "store.log"))
    url = f"http://127.0.0.1:{port}"
    wait_for(url)
    keys = {"AWS_ACCESS_KEY_ID": "faults", "AWS_SECRET_ACCESS_KEY": secret, "AWS_ENDPOINT_URL": url}
    region = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}  # the CLI knows the second alone
    return {**keys, **region, "AWS_EC2_METADATA_DISABLED": "true"}


def wait_for(url: str) -> None:
    """Wait until something answers there."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            requests.get(url, timeout=5)
            return
        time.sleep(0.2)
    raise SystemExit(f"{url} did not answer")


def line(kept: Setting, notebook: Path, via: str | None) -> list[str]:
    """The line of a crontab for a notebook."""
    words = [sys.executable, "-m", "daglab", "export", str(notebook), "--upload", kept.place, "--json"]
    words += ["--attach", f"asset:{ASSET}", "--check", CHECK]
    return [*words, *(["--via", via] if via else [])]


def write(kept: Setting, number: int) -> Path:
    """A new notebook."""
    notebook = kept.project / f"nb{number}.py"
    notebook.write_text(NOTEBOOK.format(number=number))
    return notebook


def timed(kept: Setting, via: str | None) -> float:
    """How long one takes that is not killed."""
    started = time.monotonic()
    done = run(kept, line(kept, write(kept, -1), via))
    if done["exit_code"]:
        raise SystemExit(f"an export that nobody kills failed: {done}")
    return time.monotonic() - started


def run(kept: Setting, words: list[str]) -> dict[str, Any]:
    """Run a line to its end."""
    done = subprocess.run(words, cwd=kept.project, env=dict(kept.env), capture_output=True, text=True, check=False)
    with contextlib.suppress(ValueError):
        return {**json.loads(done.stdout), "exit_code": done.returncode}
    return {"exit_code": done.returncode, "stderr": done.stderr[-2000:]}


def one(kept: Setting, via: str | None, fate: tuple[int, bool, float], longest: float) -> dict[str, Any]:
    """Kill one export at its time, and run the same line again: how both ended."""
    number, by_step, part = fate
    words = line(kept, write(kept, number), via)
    child = subprocess.Popen(
        words, cwd=kept.project, env=dict(kept.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if by_step:  # a step is on record: it is killed within the next second
        name = f"nb{number}.py"
        while child.poll() is None and not any(
            name in json.dumps(each) for each in export_record.unfinished(kept.project)
        ):
            time.sleep(0.02)
        deadline = time.monotonic() + part * longest / 3
    else:
        deadline = time.monotonic() + part * longest
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed = child.poll() is None
    if killed:
        child.send_signal(signal.SIGKILL)
    child.wait()
    again = run(kept, words)
    return {"number": number, "killed": killed, "id": again.get("id"), "exit_code": again["exit_code"], "again": again}


def has_begun(kept: Setting, name: str) -> bool:
    """Whether a step of the notebook's export is on record, and open."""
    return any(name in json.dumps(each) for each in export_record.unfinished(kept.project))


def watch(kept: Setting, over: threading.Event, missing: list[str]) -> None:
    """Look at what is attached, again and again: the object of each must be there."""
    while not over.wait(0.5):
        with contextlib.suppress(requests.RequestException, KeyError, TypeError, ValueError):
            for entries in observations(kept):
                notebook = Path(entries["notebook"])
                if not list(kept.stored.rglob(f"{notebook.stem}.html")):
                    missing.append(notebook.name)


def observations(kept: Setting) -> list[dict[str, str]]:
    """The text of each entry of each observation, by label."""
    answer = requests.post(f"{kept.url}/graphql", json={"query": OBSERVATIONS}, timeout=60).json()
    found = answer["data"]["assetNodeOrError"]["assetObservations"]
    return [
        {
            entry["label"]: entry.get("path") or entry.get("text") or entry.get("url") or ""
            for entry in each["metadataEntries"]
        }
        for each in found
    ]


def judged(kept: Setting, done: list[dict[str, Any]], missing: list[str]) -> dict[str, Any]:
    """What is there, against what must be there."""
    there = observations(kept)
    record = {each["id"]: each for each in export_record.read(kept.project)}
    wrong = [f"nb{each['number']}: {each['again']}" for each in done if each["exit_code"]]
    for each in done:
        name = f"nb{each['number']}"
        objects = list(kept.stored.rglob(f"{name}.html"))
        seen = [entries for entries in there if Path(entries.get("notebook", "")).name == f"{name}.py"]
        if (len(objects), len(seen)) != (1, 1):
            wrong.append(f"{name}: {len(objects)} objects, {len(seen)} observations")
        own = record.get(str(each["id"]), {})
        if not (own.get("upload") and own.get("attached")):
            wrong.append(f"{name}: the record has {own.get('upload')} and {own.get('attached')}")
    wrong += [f"{each['id']} is left open" for each in export_record.unfinished(kept.project)]
    wrong += [f"{name}: its link led nowhere" for name in sorted(set(missing))]
    return {
        "ok": not wrong,
        "exports": len(done),
        "killed": sum(each["killed"] for each in done),
        "place": kept.place.partition(":")[0],
        "wrong": wrong,
    }


if __name__ == "__main__":
    sys.exit(main())
