#!/bin/sh
# One step of a pipeline: launches on the deployment, waits, writes a summary, and exits as the run went (0, 4, 5, 9 ...).
# usage: launch.sh SELECTION KEY [SUMMARY]     The same KEY, given again, finds the run that it has made.
# The deployment: DAGLAB_DAGSTER__URL; its token: DAGSTER_GRAPHQL_TOKEN, or DAGSTER_CLOUD_API_TOKEN for Dagster+.
set -u
selection=${1:?usage: launch.sh SELECTION KEY [SUMMARY]}
key=${2:?usage: launch.sh SELECTION KEY [SUMMARY]}
daglab run --select "$selection" --launch-key "$key" --timeout 1800 --cancel-on-timeout --json > run.json
code=$?
python3 - >> "${3:-/dev/stdout}" <<'END'
import json

result = json.load(open("run.json"))
for run in result.get("runs", []):
    print(f"- {', '.join(run['assets']) or run['job']}: {run['status']} {run['url']}")
    for error in run["errors"]:
        print(f"  - {error['step']}: {error['error']}")
if "error" in result:
    print(f"\n{result['error']['message']}")
END
exit $code
