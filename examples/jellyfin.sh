#!/usr/bin/env bash
# Captions a library for Jellyfin, Plex or Kodi: film.mkv gets film.en.vtt, a track named English.
#
#     examples/jellyfin.sh FOLDER [OPTION...]             # options of vidcaption run
#     SUFFIX=en.sdh.vtt examples/jellyfin.sh /media/films
#
# Videos that have such a file are skipped, so it continues where it was interrupted, and
# edited captions stay. The model is loaded for each video, which takes seconds.
#
# Exit code: 0 all are captioned, 1 some are not.
set -euo pipefail

folder=${1:?"usage: $0 FOLDER [OPTION...]"}
shift
suffix=${SUFFIX:-en.vtt}
code=0

while IFS= read -r -d '' video; do
    target=${video%.*}.$suffix
    [[ -e $target ]] && continue
    vidcaption run "$video" -o "$target" "$@" </dev/null || code=$?
    ((code < 2)) || exit "$code" # not this video's fault, or Ctrl-C
done < <(find "$folder" -type f -regextype posix-extended \
    -iregex '.*\.(avi|m4v|mkv|mov|mp4|ts|webm)' -print0 | LC_ALL=C sort -z)
exit "$code"
