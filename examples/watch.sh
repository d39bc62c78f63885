#!/usr/bin/env bash
# Watches a folder and captions each new video in it, until Ctrl-C.
#
#     examples/watch.sh FOLDER [OPTION...]                # options of vidcaption run
#     EVERY=2 examples/watch.sh incoming --vtt
#
# Checks every 5 seconds; with inotifywait (of inotify-tools) it sleeps until something happens. A
# video is captioned when two checks find it unchanged, so not while it is being copied, and again
# when it changes. Failures are reported once. After a restart, finished videos are skipped. Of
# x.mp4 and x.mkv in one folder the later one keeps its suffix. Needs GNU find and coreutils.
set -euo pipefail

folder=${1:?"usage: $0 FOLDER [OPTION...]"}
shift
every=${EVERY:-5} # seconds
[[ -d $folder ]] || { echo "$0: no such folder: $folder" >&2; exit 2; }
folder=$(realpath -- "$folder") # a name that starts with - would be an option to find
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT

look() { # size, time of change and path of each video, NUL after each, sorted
    find "$folder" -type f ! -name '.*' -regextype posix-extended \
        -iregex '.*\.(avi|flv|m4v|mkv|mov|mp4|mpe?g|mts|ts|webm|wmv)' -printf '%s %T@ %p\0' |
        LC_ALL=C sort -z
}

both() { LC_ALL=C comm -z -12 "$1" "$2"; }      # what is in both files
second() { LC_ALL=C comm -z -13 "$1" "$2"; }    # what is in the second alone

look >"$state/before"
: >"$state/handled"
while sleep "$every"; do
    look >"$state/now" || continue # a folder may vanish while find is in it
    both "$state/before" "$state/now" >"$state/settled"
    second "$state/handled" "$state/settled" | cut -z -d ' ' -f 3- >"$state/new"
    if [[ -s $state/new ]]; then
        code=0
        vidcaption run --from-file "$state/new" --srt "$@" </dev/null || code=$?
        case $code in
        0 | 1) mv "$state/settled" "$state/handled" ;; # 1: some failed, which was said
        130) exit 130 ;;
        *) sleep 60 ;; # they are gone again, or the disk is full: once more
        esac
    elif cmp -s "$state/before" "$state/now" && command -v inotifywait >/dev/null; then
        # The time limit, as what happened since the last look is not told.
        inotifywait -qq -r -t 60 -e close_write,moved_to,create "$folder" || true
    fi
    mv "$state/now" "$state/before"
done
