#!/bin/sh
# Takes away what a project does not need any more; old logs and events are kept compressed.
# usage: clean.sh PROJECT [AGE]     (7d, 12h: of caches and logs; default 30d)
set -eu
cd -- "${1:?usage: clean.sh PROJECT [AGE]}"
exec "${DAGLAB:-daglab}" clean --archive --older-than "${2:-30d}" --yes
