"""How fast a video is captioned, and what of that is decoding: prints JSON.

    python benchmarks/speed.py VIDEO --runs 5 > result.json

Each run captions the video, then decodes it with PyAV alone, so that both meet the same machine in
the same state; one run of each goes before and is not counted. All times are seconds of wall time,
as medians over the runs. The stages are those in which the captioner waits: ``decode`` is the time
it waits for frames, which are decoded while it works on others.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import torch
import torchvision

import vidcaption
from vidcaption import Captioner
from vidcaption.options.captioning import MachineOptions


def captioned(captioner: Captioner, video: Path) -> dict[str, float]:
    """Seconds of each stage and of all, for one captioning of ``video`` into a subtitle file."""
    began = time.perf_counter()
    with captioner.open(video) as captioning, tempfile.TemporaryDirectory() as folder:
        captions = captioning.finish()
        write_began = time.perf_counter()
        captions.save(Path(folder) / "captions.srt")
        ended = time.perf_counter()
    return {**captioning.statistics.seconds, "write": ended - write_began, "all": ended - began}


def decoded(video: Path) -> tuple[float, int]:
    """Seconds to decode every frame of ``video`` with PyAV alone, and how many there are."""
    began = time.perf_counter()
    with av.open(str(video)) as container:
        container.streams.video[0].thread_type = "AUTO"
        frames = sum(1 for _ in container.decode(video=0))
    return time.perf_counter() - began, frames


def machine(device: str) -> dict[str, Any]:
    """What the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (cpuinfo.read_text() if cpuinfo.exists() else "").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "vidcaption": vidcaption.__version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "av": av.__version__,
        },
    }


def peak_memory_mib(device: str) -> dict[str, float]:
    """The most memory this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes per unit of ru_maxrss
    peak = {"main": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}
    if device.startswith("cuda"):
        peak["gpu"] = torch.cuda.max_memory_allocated(device) / 2**20
    return {name: round(value, 1) for name, value in peak.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-size", type=int, default=MachineOptions.batch_size)
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()

    captioner = Captioner.from_pretrained(
        device=asked.device,
        precision=asked.precision,
        batch_size=asked.batch_size,
        threads=asked.threads,
    )
    stages: list[dict[str, float]] = []
    alone: list[float] = []
    for _ in range(asked.runs + 1):
        stages.append(captioned(captioner, asked.video))
        seconds, frames = decoded(asked.video)
        alone.append(seconds)
    medians = {name: statistics.median(run[name] for run in stages[1:]) for name in stages[0]}
    decode_alone = statistics.median(alone[1:])
    with captioner.open(asked.video) as captioning:
        info = captioning.info
    duration_s = info.duration_s or frames / (info.fps or 25)
    report = {
        "video": {
            "name": asked.video.name,
            "codec": info.codec,
            "size": f"{info.width}x{info.height}",
            "frames": frames,
            "duration_s": round(duration_s, 3),
        },
        "runs": asked.runs,
        "batch_size": asked.batch_size,
        "precision": captioner.machine.precision,
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "seconds_of_each_run": [round(run["all"], 4) for run in stages[1:]],
        "frames_per_second": round(frames / medians["all"], 1),
        "times_real_time": round(duration_s / medians["all"], 1),
        "decode_alone_seconds": round(decode_alone, 4),
        "times_decode_alone": round(medians["all"] / decode_alone, 2),
        "peak_memory_mib": peak_memory_mib(asked.device),
        "model_sha256": captioner.model.sha256,
        "machine": machine(asked.device),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
