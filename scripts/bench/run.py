"""What `daglab run --no-wait` costs beside a bare `requests` script, Dagster's own client, and `dagster job launch`.

The script sends the same queries and makes the same run. Needs daglab[dagster]. A real Dagster is started over a
project of one job; its runs are queued, and no daemon is there to take them, so that none of them runs along. Prints
a table and, with --json, one JSON document. `--rounds N` sets how many pairs are measured.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import deployments
import pairs

from daglab.deployment import entities, runs
from daglab.launching import launches

ROUNDS = 20
ROUNDS_OF_DAGSTER = 3  # each takes seconds

PROJECT = """
from dagster import Definitions, job, op

@op
def nothing() -> None:
    pass

@job
def trivial() -> None:
    nothing()

defs = Definitions(jobs=[trivial])
"""
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator}
"""

# The same requests as daglab's, in the same order, with nothing around them.
SCRIPT = """
import sys, requests
session = requests.Session()
selector = {"repositoryName": "__repository__", "repositoryLocationName": "main"}
def ask(query, **variables):
    body = {"query": query, "variables": variables}
    answer = session.post(sys.argv[1] + "/graphql", json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()["data"]
assert "trivial" in str(ask(WORKSPACE))
valid = ask(VALIDATE, pipeline={**selector, "pipelineName": "trivial"}, config={})
assert valid["isPipelineConfigValid"]["__typename"] == "PipelineConfigValidationValid"
tags = {"tags": [{"key": "daglab/launch_id", "value": "bench"}]}
launched = ask(LAUNCH, params={
    "selector": {**selector, "jobName": "trivial"}, "runConfigData": {}, "executionMetadata": tags})
run = launched["launchRun"]["run"]
if run["status"] == "QUEUED":
    ask(DAEMONS)
print(run["runId"])
"""
CLIENT = """
import sys
from dagster_graphql import DagsterGraphQLClient
print(DagsterGraphQLClient("127.0.0.1", port_number=int(sys.argv[1])).submit_job_execution("trivial"))
"""
QUERIES = {
    "WORKSPACE": entities.WORKSPACE_QUERY,
    "VALIDATE": launches.VALIDATE_QUERY,
    "LAUNCH": launches.LAUNCH_MUTATION,
    "DAEMONS": runs.DAEMONS_QUERY,
}


def measure(rounds: int) -> dict[str, pairs.Row]:
    """daglab beside the script, the client, and `dagster job launch`."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        with deployments.deployment(root, PROJECT, INSTANCE) as url:
            script = root / "script.py"
            texts = "".join(f"{name} = {text!r}\n" for name, text in QUERIES.items())
            script.write_text(texts + SCRIPT, encoding="utf-8")
            bare = pairs.Command([sys.executable, str(script), url], folder)
            ours = pairs.Command([*pairs.DAGLAB, "run", "-q", "--url", url, "--job", "trivial", "--no-wait"], folder)
            own = [sys.executable, "-m", "dagster", "job", "launch", "-w", "workspace.yaml", "-j", "trivial"]
            dagster = pairs.Command(own, folder, {"DAGSTER_HOME": str(root / "home")})
            client = pairs.Command([sys.executable, "-c", CLIENT, url.rpartition(":")[2]], folder)
            return {
                "`run --no-wait` / requests": pairs.compare(bare, ours, rounds, bound=1.5),
                "`run --no-wait` / dagster-graphql client": pairs.compare(client, ours, rounds),
                "`run --no-wait` / dagster job launch": pairs.compare(
                    dagster, ours, min(rounds, ROUNDS_OF_DAGSTER), pause=5, bound=0.2
                ),
            }


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show(measure(options.rounds), options)


if __name__ == "__main__":
    main()
