#!/bin/sh
# Writes a project's runs, exports, events and usage as CSV, the config and a summary, over those of the last time.
# usage: export.sh PROJECT FOLDER
set -eu
project=${1:?usage: export.sh PROJECT FOLDER}
folder=${2:?usage: export.sh PROJECT FOLDER}
mkdir -p -- "$folder"
folder=$(cd -- "$folder" && pwd)
cd -- "$project"
exec "${DAGLAB:-daglab}" backup data --output "$folder"
