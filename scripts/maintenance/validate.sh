#!/bin/sh
# Is all well? The config, what the project talks to, and every record that it keeps, each even where one before is not.
# Exits with the first code that is not 0, so that cron's mail and a monitor hear of it.
# usage: validate.sh PROJECT
set -u
cd -- "${1:?usage: validate.sh PROJECT}" || exit 3
code=0
daglab=${DAGLAB:-daglab}
"$daglab" config validate || code=$?
"$daglab" health || { last=$? && [ "$code" -ne 0 ] || code=$last; }
"$daglab" doctor --deep || { last=$? && [ "$code" -ne 0 ] || code=$last; }
exit "$code"
