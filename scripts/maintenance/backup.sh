#!/bin/sh
# Makes an archive of a project, and keeps the newest COUNT of those in the folder that are this project's.
# usage: backup.sh PROJECT FOLDER [COUNT]     (default: 14)
set -eu
project=${1:?usage: backup.sh PROJECT FOLDER [COUNT]}
folder=${2:?usage: backup.sh PROJECT FOLDER [COUNT]}
count=${3:-14}
case $count in '' | 0 | *[!0-9]*) echo "backup.sh: COUNT is a number, 1 at least: $count" >&2 && exit 2 ;; esac
mkdir -p -- "$folder"
folder=$(cd -- "$folder" && pwd)
cd -- "$project"
# Older ones go only once there is a new one that was read back.
archive=$("${DAGLAB:-daglab}" backup create --output "$folder")
echo "$archive"
own=$(basename -- "$archive" | sed 's/-[0-9]\{8\}T[0-9]\{6\}Z\(-[0-9]*\)\{0,1\}\.tar\.gz$//')
cd -- "$folder"
# The names hold the time and no blanks, so that their order is that of time.
ls -1 | grep -E "^$own-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.tar\.gz\$" | LC_ALL=C sort -r | tail -n "+$((count + 1))" |
	while read -r old; do
		rm -f -- "$old"
	done
