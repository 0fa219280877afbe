#!/bin/sh
# From nothing to the first exported notebook. usage: quickstart.sh [FOLDER]     (default: shop)
# Needs: pip install './daglab[dagster]', from a checkout. Other ports than 3000 and 3010: DAGSTER_PORT, MARIMO_PORT.
set -eu
folder=${1:-shop}
dagster=${DAGSTER_PORT:-3000}
marimo=${MARIMO_PORT:-3010}

mkdir -p "$(dirname "$folder")"
cd "$(dirname "$folder")"
daglab init --bootstrap "$(basename "$folder")" --ports "dagster=$dagster,marimo=$marimo"
cd "$(basename "$folder")"

# Returns when both answer. What it starts is ended again, whatever happens below.
daglab dev --detach --no-open --dagster-port "$dagster" --marimo-port "$marimo"
trap 'daglab stop' EXIT
export DAGLAB_DAGSTER__URL="http://127.0.0.1:$dagster" # also where the port above was taken by the time

daglab discover
daglab run --asset-selection raw_orders,orders
daglab scaffold --asset orders
daglab export dagster/notebooks/asset_orders.py --attach asset:orders
daglab exports list
daglab status
