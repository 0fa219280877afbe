"""What `daglab discover --json` costs on 5,000 assets, beside a bare `requests` script that sends the same two queries.

Needs daglab[dagster]. A real Dagster is started over a project of 5,000 assets, which takes half a minute to load.
Prints a table and, with --json, one JSON document. `--rounds N` sets how many pairs are measured.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import deployments
import pairs

from daglab.deployment import entities

ROUNDS = 15
NEWER = ("kinds", "tags", "owners")

# Each asset stands on three earlier ones far away, so that no chain is deep.
PROJECT = """
from dagster import Definitions, asset

def make(number):
    above = {f"asset_{(number * 7 + step) % 71:04}" for step in range(3)} if number > 70 else set()

    @asset(
        name=f"asset_{number:04}",
        group_name=f"group_{number % 40}",
        deps=sorted(above),
        kinds={"python"},
        tags={"domain": f"d{number % 9}", "tier": "gold"},
        owners=["team:data"],
        description=f"Asset number {number}: " + "what it holds and where that comes from, in a sentence or two. " * 2,
    )
    def made() -> None:
        pass

    return made

defs = Definitions(assets=[make(number) for number in range(5000)])
"""

# The same two requests as daglab's, with nothing around them.
SCRIPT = """
import json, sys, requests
session = requests.Session()
for query in (WORKSPACE, ASSETS):
    answer = session.post(sys.argv[1] + "/graphql", json={"query": query, "variables": {}}, timeout=60)
    answer.raise_for_status()
    data = json.loads(answer.content)["data"]
assert len(data["assetNodes"]) == 5000
"""


def measure(rounds: int) -> dict[str, float]:
    """daglab beside the script."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        with deployments.deployment(root, PROJECT) as url:
            script = root / "script.py"
            queries = {"WORKSPACE": entities.WORKSPACE_QUERY, "ASSETS": entities.assets_query(NEWER)}
            script.write_text("".join(f"{name} = {text!r}\n" for name, text in queries.items()) + SCRIPT)
            bare = pairs.Command([sys.executable, str(script), url], folder)
            ours = pairs.Command([*pairs.DAGLAB, "discover", "-q", "--url", url, "--json"], folder)
            return pairs.compare(bare, ours, rounds)


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show({"daglab / requests": measure(options.rounds)}, options)


if __name__ == "__main__":
    main()
