"""What copying a Weaviate collection costs, beside a bare loop that only posts prepared batches to the same server.

    python scripts/bench/weaviate.py [--objects 20000] [--rounds 3] [--million] [--json]

A server is started on loopback. The loop and the transfer write into equal collections in turn, each in a process of
its own: the ratio is that of their objects a second, the peak that of the transfer's process. Then the peaks with long
vectors, multi-vectors and texts of a megabyte; then whole commands: `copy`, `migrate --verify`, `stats` of 50
collections and of one with many objects, `optimize --analyze`. `--million` fills that one with a million.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pairs
import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from daglab import events
from daglab.settings import config
from daglab.weaviate import api, batches, clusters, journals, schemas, transfers
from tests import weaviates

BATCH = 200  # objects of the bare loop's batches
PROPERTIES = [{"name": "title", "dataType": ["text"]}, {"name": "n", "dataType": ["int"]}]
PLAIN = {"vectorizer": "none", "properties": PROPERTIES}
MULTI = {
    "properties": PROPERTIES,
    "vectorConfig": {
        "many": {
            "vectorizer": {"none": {}},
            "vectorIndexType": "hnsw",
            "vectorIndexConfig": {"multivector": {"enabled": True}},
        }
    },
}
# Flat indexes: it is our memory that is measured, not how fast the server builds its graph.
FLAT = {**PLAIN, "vectorIndexType": "flat"}
Body = dict[str, Any]


def vector(rng: random.Random, length: int) -> list[float]:
    """Numbers as models make them."""
    return [round(rng.gauss(0, 1), 6) for _ in range(length)]


KINDS: dict[str, tuple[Body, Callable[[random.Random], Body], int]] = {
    "384 dimensions": (PLAIN, lambda rng: {"vector": vector(rng, 384)}, 1),
    "3072 dimensions": (FLAT, lambda rng: {"vector": vector(rng, 3072)}, 8),
    "multi-vectors": (MULTI, lambda rng: {"vectors": {"many": [vector(rng, 96) for _ in range(12)]}}, 20),
    "texts of 1 MB": (PLAIN, lambda rng: {"properties": {"title": rng.choice("abc") * 1_000_000}}, 200),
}


def bodies(kind: str, name: str, number: int) -> Iterator[bytes]:
    """Prepared batches, the same ones each time."""
    rng = random.Random(1)
    size = 4 if "MB" in kind else BATCH
    for start in range(0, number, size):
        listed = [
            {
                "class": name,
                "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "properties": {"title": f"title {n} of some words", "n": n},
                **KINDS[kind][1](rng),
            }
            for n in range(start, min(start + size, number))
        ]
        yield json.dumps({"objects": listed}, separators=(",", ":")).encode()


def post(http: requests.Session, url: str, body: bytes) -> None:
    """Send a batch, and see that it was answered; what was answered is not looked at."""
    response = http.post(f"{url}/v1/batch/objects", data=body, headers={"Content-Type": "application/json"})
    response.raise_for_status()


def bare(url: str, kind: str, name: str, number: int) -> dict[str, float]:
    """Post all batches, which are prepared before."""
    prepared = list(bodies(kind, name, number))
    with requests.Session() as http:
        started = time.perf_counter()
        for body in prepared:
            post(http, url, body)
        return {"seconds": time.perf_counter() - started}


def transfer(url: str, kind: str, name: str, number: int) -> dict[str, float]:
    """Copy from the collection of that kind."""
    cluster = clusters.connect(config.load({}), url)
    source, target = transfers.Side(cluster, class_of(kind)), transfers.Side(cluster, name)
    work = {"kind": "bench", "collection": name}
    with tempfile.TemporaryDirectory() as folder, journals.opened(Path(folder), work) as journal:
        started = time.perf_counter()
        tally = transfers.objects_of(source, target, journal, batches.pace(10, 1000), lambda _: None)
        seconds = time.perf_counter() - started
    if tally.written != number or tally.failed:
        sys.exit(f"{tally.written} of {number} objects were copied, {len(tally.failed)} failed")
    return {"seconds": seconds, "peak_mib": events.peak_memory() / 2**20}


def class_of(kind: str) -> str:
    """The collection of a kind."""
    return "Bench" + "".join(word.capitalize() for word in kind.replace("-", " ").split())


def child(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """A function of this module in a process of its own."""
    command = [sys.executable, __file__, "--child", work.__name__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"{work.__name__} failed with {done.returncode}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def fill(url: str, kind: str, number: int) -> None:
    """Make the collection of a kind."""
    cluster = clusters.connect(config.load({}), url)
    api.create(cluster, {"class": class_of(kind), **KINDS[kind][0]})
    with requests.Session() as http:
        for body in bodies(kind, class_of(kind), number):
            post(http, url, body)


def copies(url: str, number: int, rounds: int) -> dict[str, pairs.Row]:
    """The transfer beside the bare loop, in turn; then what other objects need of memory."""
    cluster = clusters.connect(config.load({}), url)
    figures: dict[str, pairs.Row] = {}
    for kind, (_, _, share) in KINDS.items():
        count = max(number // share, 20)
        fill(url, kind, count)
        pairs_seen = []
        for turn in range(rounds if share == 1 else 1):
            pair = {}
            for work in (bare, transfer):
                name = f"Target{turn}{work.__name__}"
                api.create(cluster, schemas.portable(api.schema(cluster, class_of(kind)), name))
                pair[work.__name__] = child(work, url, kind, name, count)
                api.delete(cluster, name)
            pairs_seen.append(pair)
        row = pairs.seconds([(pair["bare"]["seconds"], pair["transfer"]["seconds"]) for pair in pairs_seen])
        if share == 1:  # one server answers the others so unevenly that there is only their memory to judge
            row["bound"] = 1 / 0.6
        row["objects"] = count
        row["peak_mib"] = max(pair["transfer"]["peak_mib"] for pair in pairs_seen)
        figures[f"{count:,}, {kind} / bare loop"] = row
    return figures


def commands(url: str, other: str, number: int, many: int) -> dict[str, pairs.Row]:
    """Whole commands, each in a fresh process: seconds, peak memory, and objects a second where there are any."""
    cluster, kind = clusters.connect(config.load({}), url), "384 dimensions"
    source, count = class_of(kind), number
    figures: dict[str, pairs.Row] = {}
    with tempfile.TemporaryDirectory() as folder:

        def run(label: str, *words: str, objects: int = 0) -> None:
            env = {"HOME": folder, "XDG_CONFIG_HOME": folder}
            wall, _, peak = pairs.measure(pairs.Command([*pairs.DAGLAB, "collections", *words], folder, env))
            figures[f"`{label}"] = {"s": wall, "peak_mib": peak / 1024, "rounds": 1}
            if objects:
                figures[f"`{label}"]["objects"] = objects

        run(f"copy` of {count:,} objects", "copy", source, "BenchCopied", "--cluster", url, "--yes", objects=count)
        target = ("--cluster", url, "--target", other)
        run(f"migrate --verify` of {count:,} objects", "migrate", source, *target, "--verify", "--yes", objects=count)
        for place in range(50):
            api.create(cluster, {"class": f"Small{place:02}", **PLAIN})
        small = [f"Small{place:02}" for place in range(50)]
        run("stats` of 50 collections", "stats", *small, "--cluster", url, "--json")
        if many > count:
            light: Body = {"class": "BenchMany", "vectorizer": "none", "properties": PROPERTIES}
            api.create(cluster, light)
            write_many(url, many)
        held = "a million" if many > count else f"{count:,}"
        run(f"stats` of {held} objects", "stats", "BenchMany" if many > count else source, "--cluster", url, "--json")
        run("optimize --analyze`", "optimize", source, "--analyze", "--cluster", url, "--json")
    return figures


def write_many(url: str, number: int) -> None:
    """Objects without vectors: a graph of a million would take an hour."""
    with requests.Session() as http:
        for start in range(0, number, 2000):
            listed = [
                {"class": "BenchMany", "id": str(uuid.UUID(int=n)), "properties": {"title": "word", "n": n}}
                for n in range(start, min(start + 2000, number))
            ]
            post(http, url, json.dumps({"objects": listed}).encode())


def main() -> None:
    """Measure all of it, and print the figures."""
    parser = pairs.arguments(__doc__, 3)
    parser.add_argument("--objects", type=int, default=20_000, help="how many there are with 384 dimensions")
    parser.add_argument("--million", action="store_true", help="a million objects for the stats of one collection")
    parser.add_argument("--no-commands", action="store_true", help="leave out the whole commands")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder,
        weaviates.serving(Path(folder, "a")) as [server],
        weaviates.serving(Path(folder, "b")) as [other],
    ):
        figures = copies(server.url, options.objects, options.rounds)
        if not options.no_commands:
            many = 1_000_000 if options.million else 0
            figures.update(commands(server.url, other.url, options.objects, many))
    pairs.show(figures, options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        work_name, url, kind, name, number = sys.argv[2:]
        print(json.dumps({"bare": bare, "transfer": transfer}[work_name](url, kind, name, int(number))))
    else:
        main()
