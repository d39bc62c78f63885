#!/usr/bin/env bash
# Captions the videos that find selects, here those of the last week, with xargs.
#
#     examples/find_xargs.sh FOLDER [OPTION...]           # options of vidcaption run
#     DAYS=1 JOBS=4 examples/find_xargs.sh videos --beam 1
#
# Each process captions 100 videos, so the model is rarely loaded. Only one kind of video: parallel
# processes would both want x.srt for x.mp4 and x.mkv. A single process gives them different
# names: `find ... -print0 | vidcaption run --from-file - --srt`.
#
# Exit code: 0 all are captioned, 123 some are not.
set -euo pipefail

folder=${1:?"usage: $0 FOLDER [OPTION...]"}
shift

find "$folder" -type f -iname '*.mp4' -mtime "-${DAYS:-7}" -print0 |
    xargs -0 -r -n 100 -P "${JOBS:-1}" vidcaption run --srt "$@"
