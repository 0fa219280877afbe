"""What `daglab discover --json` costs on 5,000 and 50,000 assets, beside a bare `requests` script of the same queries.

For 5,000, also beside `dg list defs --json`. Needs daglab[dagster]. A real Dagster is started over each project; 5,000
assets take half a minute to load. Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import deployments
import pairs
import peers

from daglab.deployment import entities

ROUNDS, BOUND = 15, 1.25
ROUNDS_OF_LONG = 3
FEW, MANY = 5_000, 50_000
NEWER = ("kinds", "tags", "owners")

# Dagster gives a code location three minutes.
INSTANCE = """
telemetry: {enabled: false}
code_servers: {local_startup_timeout: 1200}
"""

# Each asset stands on three earlier ones far away, so that no chain is deep.
PROJECT = """
from dagster import Definitions, asset

def make(number):
    above = {f"asset_{(number * 7 + step) % 71:05}" for step in range(3)} if number > 70 else set()

    @asset(
        name=f"asset_{number:05}",
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

defs = Definitions(assets=[make(number) for number in range(COUNT)])
"""

# The same two requests as daglab's, with nothing around them.
SCRIPT = """
import json, sys, requests
session = requests.Session()
for query in (WORKSPACE, ASSETS):
    answer = session.post(sys.argv[1] + "/graphql", json={"query": query, "variables": {}}, timeout=300)
    answer.raise_for_status()
    data = json.loads(answer.content)["data"]
assert len(data["assetNodes"]) == COUNT
"""


def measure(count: int, rounds: int) -> dict[str, pairs.Row]:
    """daglab beside the script, and for the first of both sizes beside dg, which imports the code each time."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root, project = Path(folder), PROJECT.replace("COUNT", str(count))
        with deployments.deployment(root, project, INSTANCE) as url:
            script = root / "script.py"
            queries = {"WORKSPACE": entities.WORKSPACE_QUERY, "ASSETS": entities.assets_query(NEWER)}
            texts = "".join(f"{name} = {text!r}\n" for name, text in queries.items())
            script.write_text(texts + SCRIPT.replace("COUNT", str(count)), encoding="utf-8")
            bare = pairs.Command([sys.executable, str(script), url], folder)
            patient = {"DAGLAB_DAGSTER__GRAPHQL__TIMEOUT": "300"}
            ours = pairs.Command([*pairs.DAGLAB, "discover", "-q", "--url", url, "--json"], folder, patient)
            found = {f"{count:,} assets / requests": pairs.compare(bare, ours, rounds, bound=BOUND)}
            if count == FEW and (dg := peers.dg()):
                home = {"DAGSTER_HOME": str(root / "home")}
                own = pairs.Command([dg, "list", "defs", "--json"], str(peers.project(root, project)), home)
                found[f"{count:,} assets / dg list defs"] = pairs.compare(own, ours, min(rounds, ROUNDS_OF_LONG))
            return found


def main() -> None:
    """Print the figures."""
    parser = pairs.arguments(__doc__, ROUNDS)
    parser.add_argument("--few", action="store_true", help="leave out the 50,000, which take minutes to load")
    options = parser.parse_args()
    found = measure(FEW, options.rounds)
    if not options.few:
        found.update(measure(MANY, min(options.rounds, ROUNDS_OF_LONG)))
    pairs.show(found, options)


if __name__ == "__main__":
    main()
