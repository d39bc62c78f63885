#!/usr/bin/env bash
# Watches a camera, and sends captions of people and animals to a webhook or an MQTT broker.
#
#     WEBHOOK=https://a.example/hook examples/frigate.sh rtsp://camera/door [OPTION...]
#     MQTT=broker TOPIC=home/door examples/frigate.sh rtsp://camera/door --min-confidence 0.4
#
# Options are those of vidcaption live. What is sent is JSON: camera, text, start, end, confidence.
# WEBHOOK needs curl and MQTT needs mosquitto_pub; both need jq.
set -euo pipefail

if [[ -n ${CAPTION-} ]]; then # called by vidcaption live, for one caption
    event=$(jq -nc '{camera: env.CAPTION_SOURCE, text: env.CAPTION, start: env.CAPTION_START,
        end: env.CAPTION_END, confidence: (env.CAPTION_CONFIDENCE | tonumber? // null)}')
    if [[ -n ${WEBHOOK-} ]]; then
        curl -fsS --max-time 5 -H 'Content-Type: application/json' --data-binary "$event" "$WEBHOOK"
    fi
    if [[ -n ${MQTT-} ]]; then
        mosquitto_pub -h "$MQTT" -t "${TOPIC:-vidcaption}" -m "$event"
    fi
    exit
fi

source=${1:?"usage: $0 SOURCE [OPTION...], with WEBHOOK=ADDRESS or MQTT=HOST"}
shift
[[ -n ${WEBHOOK-}${MQTT-} ]] || { echo "$0: set WEBHOOK or MQTT" >&2; exit 2; }

patterns=()
for word in ${WORDS:-man woman person people child dog cat}; do
    patterns+=(--on "*$word*")
done
exec vidcaption live "$source" "$@" "${patterns[@]}" -- "$0"
