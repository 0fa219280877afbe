"""What following a large run costs: 1,000 steps beside one, and 100 MB of output beside 1 MB.

The figure that counts is the memory: it must not grow with what is followed. Needs daglab[dagster]. A real Dagster is
started; each case is measured once, whatever --rounds says, for its run takes a minute.
Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import deployments
import pairs

PROJECT = """
from dagster import Definitions, In, Nothing, in_process_executor, job, op

def printing(lines):
    @op(name=f"print_{lines}")
    def prints() -> None:
        for number in range(lines):
            print(f"{number:09} " + "x" * 989)
    return prints

@op(ins={"after": In(Nothing)})
def step() -> None:
    pass

@job
def one():
    step()

@job
def thousand():
    before = step()
    for number in range(999):
        before = step.alias(f"step_{number}")(before)

@job
def megabyte():
    printing(1_000)()

@job
def hundred_megabytes():
    printing(100_000)()

defs = Definitions(jobs=[one, thousand, megabyte, hundred_megabytes], executor=in_process_executor)
"""
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""


def measure() -> dict[str, pairs.Row]:
    """Each command for the large run beside the same for the small one."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        with deployments.deployment(root, PROJECT, INSTANCE) as url:
            follow = ["run", "-q", "--url", url, "--timeout", "900", "--job"]
            cases = {"run": _case(folder, [*follow, "one"], [*follow, "thousand"])}
            steps = _last(url, "one"), _last(url, "thousand")
            prints = _launch(url, "megabyte"), _launch(url, "hundred_megabytes")
            for name, (small, large), options in (
                ("runs show", steps, ()),
                ("runs logs", steps, ()),
                ("runs logs --stdout", prints, ("--stdout",)),
                ("runs logs --stdout --follow", prints, ("--stdout", "--follow")),
                ("runs logs --stdout --follow --json", prints, ("--stdout", "--follow", "--json")),
            ):
                command = [*name.split()[:2], "--url", url, *options]
                cases[name] = _case(folder, [*command, small], [*command, large])
            return cases


def _case(folder: str, small: list[str], large: list[str]) -> pairs.Row:
    base, ours = (pairs.measure(pairs.Command([*pairs.DAGLAB, *arguments], folder)) for arguments in (small, large))
    return {
        "mib": ours[2] / 1024,
        "base_mib": base[2] / 1024,
        "ratio": ours[2] / base[2],
        "bound": 1.15,
        "s": ours[0],
        "rounds": 1,
    }


def _launch(url: str, job: str) -> str:
    return str(_json("run", "--url", url, "--job", job, "--timeout", "900")["runs"][0]["run_id"])


def _last(url: str, job: str) -> str:
    return str(_json("runs", "list", "--url", url, "--job", job)["runs"][0]["run_id"])


def _json(*arguments: str) -> dict[str, list[dict[str, str]]]:
    done = subprocess.run([*pairs.DAGLAB, *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    document: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
    return document


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, 1).parse_args()
    pairs.show(measure(), options)


if __name__ == "__main__":
    main()
