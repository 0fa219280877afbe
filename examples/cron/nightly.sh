#!/bin/sh
# Refreshes assets, exports all notebooks, renews links that run out, takes away what is over.
# usage: nightly.sh PROJECT [SELECTION]     Silent when all is good: cron sends a mail only when something is wrong.
set -u
cd -- "${1:?usage: nightly.sh PROJECT [SELECTION]}" || exit 3
daglab=${DAGLAB:-daglab}
code=0
if [ -n "${2:-}" ]; then
	# A run that failed is told, and what there is is exported all the same.
	# A key is of one request: a line of the crontab for other assets has another one.
	key=nightly-$(date -u +%F)-$(printf %s "$2" | cksum | cut -d ' ' -f 1)
	"$daglab" run -q --select "$2" --launch-key "$key" --timeout 7200 >/dev/null || code=$?
fi
"$daglab" export -q --all --jobs 2 --if-changed --timeout 1800 --wait-lock 600 || code=$?
"$daglab" exports resign -q --within 2d >/dev/null || code=$?
"$daglab" exports expire -q --yes >/dev/null || code=$?
exit "$code"
