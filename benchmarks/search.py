"""How long the word search takes with 1, 3 and 5 beams: prints JSON.

    python benchmarks/search.py VIDEO --runs 15 > result.json

The same 8 windows of a video's frames, with the built-in model in fp32 on the CPU; the beams take
turns, after one turn that is not counted. ``ms``: median milliseconds for all 8 windows, on the
clock and in the processor; ``ratio``: to one beam, by the latter, which holds on a busy machine,
too. ``words``: of all captions together; more beams find longer ones, and take a step for each.
"""

import argparse
import json
import os
import platform
import statistics
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidcaption.model import folder
from vidcaption.model.attention import Memory
from vidcaption.model.decoder import Decoder
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import search
from vidcaption.options.captioning import CaptionOptions, SearchOptions
from vidcaption.store import resolve
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import fixed_windows

BEAMS = (1, 3, 5)
WINDOWS = 8


def remembered(network: CaptionNetwork, video: Path) -> Memory:
    """What the decoder looks at: the first windows of a video, at most a second long."""
    side = network.config.input.image_size
    options = CaptionOptions(window_s=1.0, frames=network.config.frames)
    with VideoReader(video, (side, side)) as reader:
        windows = list(islice(fixed_windows(reader, options), WINDOWS))
    frames = np.stack([[frame.image for frame in window.frames] for window in windows])
    images: Tensor = torch.from_numpy(frames).permute(0, 1, 4, 2, 3)
    return network.remember(network.encode(images))


def searched(decoder: Decoder, memory: Memory, beam: int) -> tuple[float, float, int]:
    """Milliseconds on the clock and in the processor, and how many words were found."""
    wall, cpu = time.perf_counter(), time.process_time()
    captions = search(decoder, memory, SearchOptions(beam=beam))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return 1000 * wall, 1000 * cpu, sum(len(caption.ids) for caption in captions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()

    torch.set_num_threads(asked.threads)
    network = folder.load(resolve()).network
    with torch.inference_mode():
        memory = remembered(network, asked.video)
    turns = [
        [searched(network.decoder, memory, beam) for beam in BEAMS] for _ in range(asked.runs + 1)
    ]
    rows = []
    for runs in zip(*turns[1:], strict=True):
        wall, cpu, words = (statistics.median(column) for column in zip(*runs, strict=True))
        rows.append({"ms": {"wall": round(wall, 1), "cpu": round(cpu, 1)}, "words": words})
    for row in rows:
        row["ratio"] = round(row["ms"]["cpu"] / rows[0]["ms"]["cpu"], 2)
    report = {
        "windows": len(memory.pooled),
        "runs": asked.runs,
        "beams": dict(zip(map(str, BEAMS), rows, strict=True)),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": asked.threads,
            "system": platform.platform(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
