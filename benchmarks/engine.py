"""How fast the CNN is on the CPU, computed in several ways: prints JSON.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/engine.py VIDEO --compile > result.json

``plain``: PyTorch, operation by operation. ``torch``: with activations inside the convolutions, as
``vidcaption run`` does. ``compiled``, if asked for: by ``torch.compile`` and a C++ compiler.
``openvino``: OpenVINO. They take turns in one process: first on a batch of pictures alone, then
``torch`` and ``openvino`` on a whole video. Medians, after one turn that is not counted.
``times_plain``, ``times_torch``: how many times as fast each is. ``export_seconds``,
``compile_seconds``: what comes before, once per model, or once per process. ``load``: runnable
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
from typing import Any

import torch

from vidcaption import Captioner
from vidcaption.model.device import Machine
from vidcaption.model.engine import FILE, OpenVinoEncoder, export, silent_runtime
from vidcaption.model.folder import load
from vidcaption.model.fused import fused
from vidcaption.options.captioning import MachineOptions
from vidcaption.store import resolve

BATCH = 8  # as the pipeline does


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


def times(seconds: Mapping[str, float], beside: str) -> dict[str, float]:
    """How many times as fast as one of them each is."""
    return {name: round(seconds[beside] / taken, 2) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()

    place: dict[str, Any] = {"device": "cpu", "precision": "fp32", "threads": asked.threads}
    captioners = {
        name: Captioner.from_pretrained(engine=name, **place) for name in ("torch", "openvino")
    }
    model = load(resolve())
    plain = model.network.encoder
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, 224, 224), dtype=torch.uint8, generator=draw)
    encoders: dict[str, Callable[[torch.Tensor], object]] = {
        "plain": plain,
        "torch": fused(plain, Machine.find(MachineOptions(**place))),
    }
    compile_s = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        began = time.perf_counter()
        export(model, path)
        export_s = time.perf_counter() - began
        encoders["openvino"] = OpenVinoEncoder(path)
    with torch.inference_mode():
        if asked.compile:
            encoders["compiled"] = torch.compile(plain)
            began = time.perf_counter()
            encoders["compiled"](images)
            compile_s = round(time.perf_counter() - began, 1)
        batch = medians(
            {name: partial(each, images) for name, each in encoders.items()}, asked.runs
        )
    films = {name: partial(each.caption, asked.video) for name, each in captioners.items()}
    video = medians(films, asked.runs)
    report = {
        "runs": asked.runs,
        "threads": asked.threads,
        "load": round(os.getloadavg()[0], 1),
        "batch": BATCH,
        "batch_seconds": {name: round(taken, 4) for name, taken in batch.items()},
        "times_plain": times(batch, "plain"),
        "video_seconds": {name: round(taken, 3) for name, taken in video.items()},
        "times_torch": times(video, "torch"),
        "compile_seconds": compile_s,
        "export_seconds": round(export_s, 1),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "versions": {"torch": torch.__version__, "openvino": silent_runtime().__version__},
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
