#!/usr/bin/env bash
# Captions a video and puts the subtitles into a copy of it, as a track that players can turn on.
#
#     examples/mux.sh talk.mp4                            # talk.captioned.mp4
#     examples/mux.sh talk.mp4 talk.mkv [OPTION...]       # options of vidcaption run
#
# The captions are kept beside the video, as talk.srt: edit them and run it again, and the edited ones
# are put in. Picture and sound are copied as they are, which takes seconds; subtitles that the video
# had are left out. Needs ffmpeg. The output is there whole or not at all.
set -euo pipefail

video=${1:?"usage: $0 VIDEO [OUTPUT [OPTION...]]"}
output=${2:-${video%.*}.captioned.${video##*.}}
shift $(($# > 1 ? 2 : 1))
case $output in
*.mp4 | *.m4v | *.mov) codec=mov_text ;;
*.mkv) codec=srt ;;
*.webm) codec=webvtt ;;
*) echo "$0: $output: name a file that ends in .mp4, .m4v, .mov, .mkv or .webm" >&2; exit 2 ;;
esac
work=$(mktemp -d "$(dirname -- "$output")/.mux.XXXXXX")
trap 'rm -rf "$work"' EXIT

vidcaption run "$video" --srt "$@"
ffmpeg -nostdin -hide_banner -loglevel error \
    -i "file:$video" -i "file:${video%.*}.srt" -map '0:V' -map '0:a?' -map 1 \
    -c copy -c:s "$codec" -metadata:s:s:0 language=eng -metadata:s:s:0 title=vidcaption \
    "file:$work/video.${output##*.}"
mv -f -- "$work/video.${output##*.}" "$output"
