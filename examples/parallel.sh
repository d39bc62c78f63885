#!/usr/bin/env bash
# Captions a folder in several processes with GNU parallel.
#
#     examples/parallel.sh FOLDER [OPTION...]             # options of vidcaption run
#     JOBS=4 examples/parallel.sh videos --out-dir captions
#
# Each process captions one shard of the files with its share of the cores. That is faster on many
# cores and for short videos; a single process uses all cores, too.
#
# Exit code: 0 all are captioned, else the number of processes that could not caption all of theirs.
set -euo pipefail

folder=${1:?"usage: $0 FOLDER [OPTION...]"}
shift
cores=$(getconf _NPROCESSORS_ONLN)
jobs=${JOBS:-$(((cores + 3) / 4))}
threads=$((cores > jobs ? cores / jobs : 1))

seq "$jobs" | parallel --jobs "$jobs" --quote --line-buffer \
    vidcaption run "$folder" -r --srt --shard "{}/$jobs" --threads "$threads" "$@"
