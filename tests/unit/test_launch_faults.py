"""Three hundred launches before an endpoint that keeps Dagster's semantics and is cut off at random.

Whatever happens to a request: never two runs, and one run that is found, or an unknown outcome that names the id by
which it is settled later.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from daglab import errors, web
from daglab.deployment import dagster_api
from daglab.launching import launches, targets

TARGET = targets.Target("report", "__repository__", "main")
LAUNCHES, AT_ONCE = 300, 10  # more at once, and a busy machine does not look up in time what was made
TIMEOUT = 0.6  # seconds; a real one is 30
FAULTS = ("none", "cut before", "cut after", "garbled", "soon", "late", "too late")
DELAYS = {"soon": 0.2, "late": 0.5, "too late": 1.6}  # after the client has been cut off


class Endpoint:
    """Keeps runs by their launch id, and does to each launch what `faults` says of its id."""

    def __init__(self) -> None:
        self.runs: dict[str, list[str]] = {}
        self.faults: dict[str, str] = {}
        self.lock = threading.Lock()
        self.timers: list[threading.Timer] = []

    def make(self, launch_id: str) -> str:
        with self.lock:
            made = self.runs.setdefault(launch_id, [])
            made.append(f"run-{launch_id}-{len(made)}")
            return made[-1]

    def later(self, launch_id: str) -> None:
        timer = threading.Timer(DELAYS[self.faults[launch_id]], self.make, [launch_id])
        self.timers.append(timer)
        timer.start()


class Handler(BaseHTTPRequestHandler):
    """Answers as Dagster does to a launch and to the question for its run."""

    endpoint: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "launchRun" in body["query"]:
            [tag] = body["variables"]["params"]["executionMetadata"]["tags"]
            self.launch(tag["value"])
        else:
            [tag] = body["variables"]["tags"]
            found = [{"runId": run, "status": "STARTED"} for run in self.endpoint.runs.get(tag["value"], [])]
            self.answer(json.dumps({"data": {"runsOrError": {"__typename": "Runs", "results": found}}}))

    def launch(self, launch_id: str) -> None:
        fault = self.endpoint.faults[launch_id]
        if fault in DELAYS:
            self.endpoint.later(launch_id)
        if fault in ("cut before", *DELAYS):
            return self.cut()
        run = {"runId": self.endpoint.make(launch_id), "status": "STARTING"}
        if fault == "cut after":
            return self.cut()
        good = json.dumps({"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": run}}})
        return self.answer("\x00<html>" if fault == "garbled" else good)

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 200


@pytest.fixture
def endpoint() -> Iterator[tuple[Endpoint, str]]:
    state = Endpoint()
    with Server(("127.0.0.1", 0), type("Bound", (Handler,), {"endpoint": state})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            for timer in state.timers:
                timer.join()
            server.shutdown()
            thread.join()


def launch(url: str, launch_id: str) -> launches.Launched | errors.OutcomeUnknown:
    with requests.Session() as http:
        api = dagster_api.DagsterApi(url, web.Session(http, timeout=TIMEOUT, retries=2))
        try:
            return launches.launch(api, TARGET, {}, {}, launch_id=launch_id)
        except errors.OutcomeUnknown as unknown:
            return unknown


@pytest.mark.long
def test_never_two_runs_and_never_a_lie(endpoint: tuple[Endpoint, str]) -> None:
    state, url = endpoint
    dice = random.Random(7)
    ids = [f"id{number}" for number in range(LAUNCHES)]
    state.faults.update((launch_id, dice.choice(FAULTS)) for launch_id in ids)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = dict(zip(ids, pool.map(lambda launch_id: launch(url, launch_id), ids), strict=True))
    told = {launch_id: None if isinstance(end, errors.OutcomeUnknown) else end.id for launch_id, end in ends.items()}
    for timer in state.timers:
        timer.join()
    made = {launch_id: state.runs.get(launch_id, []) for launch_id in ids}
    assert {launch_id: runs for launch_id, runs in made.items() if len(runs) > 1} == {}
    assert all(told[launch_id] in (None, *made[launch_id]) for launch_id in ids)
    for launch_id in ids:
        if state.faults[launch_id] in ("none", "cut after", "garbled"):
            assert told[launch_id] == made[launch_id][0], (launch_id, state.faults[launch_id])
    for launch_id, end in ends.items():
        if isinstance(end, errors.OutcomeUnknown):
            assert end.result == {"launch": "unknown", "launch_id": launch_id, "runs": []}
            assert f"daglab runs settle {launch_id}" in str(end.hint)
    unknown = [launch_id for launch_id in ids if told[launch_id] is None]
    assert {state.faults[launch_id] for launch_id in unknown} >= {"cut before", "too late"}
    with requests.Session() as http:  # settled later, each is known for what it was
        patient = dagster_api.DagsterApi(url, web.Session(http, timeout=5.0, retries=0))
        for launch_id in unknown:
            found = launches.by_tag(patient, launch_id)
            assert (found.id if found else None) == next(iter(made[launch_id]), None)
