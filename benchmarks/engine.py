"""What ONNX Runtime gives the CNN on the CPU: prints JSON.

    python benchmarks/engine.py VIDEO --runs 9 --threads 2 > result.json

The engines take turns, in one process: first on a batch of pictures alone, then on a whole video.
Medians, after one turn that is not counted; each ``_ratio`` tells how many times as fast as PyTorch
that is. ``awake``: ONNX Runtime with threads that wait for work without sleeping.
``export_seconds``: what the first captioning with a model takes in addition. ``load``: runnable
processes at the end, over the last minute.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from vidcaption import Captioner
from vidcaption.model.engine import FILE, OnnxEncoder, export, silent_runtime
from vidcaption.model.folder import load
from vidcaption.store import resolve

BATCH = 16


def medians(work: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Seconds of each, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(runs + 1):
        for name, call in work.items():
            began = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in times.items()}


def awake(path: Path) -> Callable[[torch.Tensor], object]:
    """The exported CNN with threads that wait as ONNX Runtime would have them."""
    onnxruntime = silent_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images.numpy()})


def compared(seconds: Mapping[str, float]) -> dict[str, float]:
    """With how many times as fast as PyTorch each is."""
    ratios = {f"{name}_ratio": seconds["torch"] / taken for name, taken in seconds.items()}
    del ratios["torch_ratio"]
    return {name: round(value, 3) for name, value in (seconds | ratios).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()

    place = {"device": "cpu", "precision": "fp32", "threads": asked.threads}
    captioners = {
        name: Captioner.from_pretrained(engine=name, **place) for name in ("torch", "onnx")
    }
    model = load(resolve())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        began = time.perf_counter()
        export(model, path)
        export_s = time.perf_counter() - began
        encoders = {"torch": model.network.encoder, "onnx": OnnxEncoder(path), "awake": awake(path)}
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, 224, 224), dtype=torch.uint8, generator=draw)
    with torch.inference_mode():
        batch = medians(
            {name: partial(each, images) for name, each in encoders.items()}, asked.runs
        )
    video = {name: partial(each.caption, asked.video) for name, each in captioners.items()}
    report = {
        "runs": asked.runs,
        "threads": asked.threads,
        "load": round(os.getloadavg()[0], 1),
        "batch": BATCH,
        "batch_seconds": compared(batch),
        "images_per_second": {name: round(BATCH / taken, 1) for name, taken in batch.items()},
        "video_seconds": compared(medians(video, asked.runs)),
        "export_seconds": round(export_s, 1),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "versions": {"torch": torch.__version__, "onnxruntime": silent_runtime().__version__},
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
