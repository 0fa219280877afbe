"""`daglab export` killed with SIGKILL at random, and the same line again, against a real Dagster and a real store.

A line exports several notebooks; each is uploaded, attached to an asset and told to a check. Each line is killed
as often as it has notebooks, half of the times at any time, half soon after a step was put on record, and then run to
its end. Then there must be one object and one observation for each notebook, the record must agree with both, and at no
time may an attached link lead nowhere: all are fetched again and again, signed ones over HTTP, files from their folder.
Prints one JSON document; exits with 1 when something is lost or doubled.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from daglab import processes
from daglab.exported import export_record

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

    @property
    def is_s3(self) -> bool:
        """Whether it is S3, and no folder."""
        return self.place.startswith("s3:")


@dataclass(frozen=True)
class Batch:
    """A line that was killed so often, and how it ended when it was not."""

    numbers: tuple[int, ...]
    killed: int
    again: dict[str, Any]


def main() -> int:
    """Run the faults; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", type=int, default=60, help="how many notebooks; about as many kills")
    parser.add_argument("--batch", type=int, default=4, help="notebooks of one line")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no more lines after so long")
    parser.add_argument("--jobs", type=int, default=2, help="lines side by side")
    parser.add_argument("--via", choices=("instance", "rest"), default="rest", help="how to attach; REST is quicker")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--s3", action="store_true", help="upload to versitygw, which has to be installed")
    given = parser.parse_args()
    seed = random.randrange(1 << 32) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="daglab-exports-") as folder, setting(Path(folder), s3=given.s3) as kept:
        started = time.monotonic()
        longest = timed(kept, given.via, given.batch)
        over, nowhere = threading.Event(), dict[str, str]()
        watcher = threading.Thread(target=watch, args=(kept, over, nowhere))
        watcher.start()

        def one(first: int) -> Batch | None:
            if time.monotonic() - started > given.seconds:
                return None
            numbers = range(first, min(first + given.batch, given.exports))
            return killed_and_again(kept, given.via, numbers, random.Random(seed + first), longest)

        with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
            done = [each for each in pool.map(one, range(0, given.exports, given.batch)) if each]
        over.set()
        watcher.join()
        report = judged(kept, done, nowhere)
    print(json.dumps({"seed": seed, **report, "seconds": round(time.monotonic() - started, 1)}, indent=2))
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


def line(kept: Setting, notebooks: Sequence[Path], via: str) -> list[str]:
    """The line of a crontab for some notebooks; only a signed link lets everybody fetch from S3."""
    words = [sys.executable, "-m", "daglab", "export", *map(str, notebooks), "--upload", kept.place, "--json"]
    words += ["--attach", f"asset:{ASSET}", "--check", CHECK, "--jobs", "2", "--via", via]
    return [*words, *(["--sign", "6h"] if kept.is_s3 else [])]


def write(kept: Setting, numbers: Iterable[int]) -> list[Path]:
    """New notebooks."""
    notebooks = [kept.project / f"nb{number}.py" for number in numbers]
    for number, notebook in zip(numbers, notebooks, strict=True):
        notebook.write_text(NOTEBOOK.format(number=number))
    return notebooks


def timed(kept: Setting, via: str, batch: int) -> float:
    """How long a line takes that is not killed."""
    started = time.monotonic()
    done = run(kept, line(kept, write(kept, range(-batch, 0)), via))
    if done["exit_code"]:
        raise SystemExit(f"an export that nobody kills failed: {done}")
    return time.monotonic() - started


def run(kept: Setting, words: list[str]) -> dict[str, Any]:
    """Run a line to its end."""
    done = subprocess.run(words, cwd=kept.project, env=dict(kept.env), capture_output=True, text=True, check=False)
    with contextlib.suppress(ValueError):
        return {**json.loads(done.stdout), "exit_code": done.returncode}
    return {"exit_code": done.returncode, "stderr": done.stderr[-2000:]}


def killed_and_again(kept: Setting, via: str, numbers: range, chosen: random.Random, longest: float) -> Batch:
    """Kill a line as often as it has notebooks, each time at a random point, and run it to its end."""
    words = line(kept, write(kept, numbers), via)
    killed = sum(killed_once(kept, words, chosen, longest, 3 * len(numbers)) for _ in numbers)
    return Batch(tuple(numbers), killed, run(kept, words))


def killed_once(kept: Setting, words: list[str], chosen: random.Random, longest: float, steps: int) -> bool:
    """Kill a line at any time, or soon after it has put some step on record; whether it still ran."""
    by_step, after, part = chosen.random() < 0.5, intents(kept) + chosen.randrange(1, steps + 1), chosen.random()
    child = subprocess.Popen(
        words, cwd=kept.project, env=dict(kept.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while by_step and child.poll() is None and intents(kept) < after:
        time.sleep(0.02)
    deadline = time.monotonic() + part * (0.5 if by_step else longest)
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    is_running = child.poll() is None
    if is_running:
        child.send_signal(signal.SIGKILL)
    child.wait()
    return is_running


def intents(kept: Setting) -> int:
    """How many steps were put on record so far."""
    record = kept.project / export_record.FILE
    return record.read_bytes().count(b'"intent"') if record.exists() else 0


def watch(kept: Setting, over: threading.Event, nowhere: dict[str, str]) -> None:
    """Fetch what is attached, again and again."""
    while not over.wait(1):
        with contextlib.suppress(requests.RequestException, KeyError, TypeError, ValueError):
            for entries in observations(kept):
                fetched(kept, entries, nowhere)


def fetched(kept: Setting, entries: Mapping[str, str], nowhere: dict[str, str]) -> bytes:
    """What an attached link leads to; a folder has no links, so it is the file there. What is none is noted."""
    name = Path(entries["notebook"]).stem
    content, said = b"", "there is no file"
    if kept.is_s3:
        answer = requests.get(entries["exploration"], timeout=60)
        content, said = answer.content if answer.ok else b"", f"status {answer.status_code}"
    else:
        for path in kept.stored.rglob(f"{name}.html"):
            content = path.read_bytes()
    if not content.rstrip().endswith(b"</html>"):
        nowhere[name] = said
    return content


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


def judged(kept: Setting, done: Sequence[Batch], nowhere: dict[str, str]) -> dict[str, Any]:
    """What is there, against what must be there."""
    there = observations(kept)
    record = {Path(each["notebook"]).stem: each for each in export_record.read(kept.project)}  # the newest of each
    wrong = [f"{each.numbers}: {each.again}" for each in done if each.again["exit_code"]]
    links = 0
    for name in [f"nb{number}" for each in done for number in each.numbers]:
        objects = list(kept.stored.rglob(f"{name}.html"))
        seen = [entries for entries in there if Path(entries.get("notebook", "")).stem == name]
        if (len(objects), len(seen)) != (1, 1):
            wrong.append(f"{name}: {len(objects)} objects, {len(seen)} observations")
            continue
        own = record.get(name, {})
        content = fetched(kept, seen[0], nowhere)
        links += bool(content)
        if not (own.get("upload") and own["upload"]["sha256"] == hashlib.sha256(content).hexdigest()):
            wrong.append(f"{name}: the record has another upload than what its link leads to: {own.get('upload')}")
        if [each["target"] for each in own.get("attached") or []] != [f"asset:{ASSET}"]:
            wrong.append(f"{name}: the record has attached {own.get('attached')}")
    verified = run(kept, [sys.executable, "-m", "daglab", "exports", "verify", "--json"])
    if verified["exit_code"]:
        wrong.append(f"daglab exports verify: {verified}")
    wrong += [f"{name}: its link led nowhere: {said}" for name, said in sorted(nowhere.items())]
    return {
        "ok": not wrong,
        "place": kept.place.partition(":")[0],
        "exports": sum(len(each.numbers) for each in done),
        "lines": len(done),
        "killed": sum(each.killed for each in done),
        "links_fetched": links,
        "compared": verified.get("compared"),
        "wrong": wrong,
    }


if __name__ == "__main__":
    sys.exit(main())
