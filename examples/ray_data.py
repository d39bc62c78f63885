"""Caption windows in a pipeline of Ray Data, and write a row for each: path, start_s, end_s, text,
score, confidence.

    python examples/ray_data.py FOLDER_OF_PARQUET VIDEO...

Needs vidcaption[ray]. With GPUs add num_gpus=0.5 to the second stage: two of its processes share
each.
"""

import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry

import ray

from vidcaption.scale import CaptionWindows, ReadWindows

if len(sys.argv) < 3:
    sys.exit(f"usage: {sys.argv[0]} FOLDER_OF_PARQUET VIDEO...")
out, *paths = map(os.path.abspath, sys.argv[1:])

videos = ray.data.from_items([{"path": path} for path in paths])
windows = videos.map_batches(ReadWindows, batch_size=1, concurrency=1, num_cpus=0.5)
captions = windows.map_batches(
    CaptionWindows,
    fn_constructor_kwargs={"beam": 1},  # options of run; model="my-model" takes another model
    batch_size=32,
    concurrency=1,
    num_cpus=0.5,
)
captions.write_parquet(out)
