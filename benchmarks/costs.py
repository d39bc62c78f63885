"""What an hour of video costs in processor time, by codec and resolution: prints JSON.

    python benchmarks/costs.py --seconds 32 --runs 3 > result.json

Films as of ``film.py`` are read as by ``vidcaption run`` with its default windows. ``reading`` is
the processor time until the frames of all windows are there, ``network`` that until they are
captioned, on one thread in the given precision; it depends on no codec. A busy machine disturbs
processor time little.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import av
from film import write_film
from speed import machine

from vidcaption import Captioner
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Window
from vidcaption.video.batches import WindowReader

T = TypeVar("T")

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
CODECS = {"H.264": "libx264", "HEVC": "libx265", "VP9": "libvpx-vp9", "AV1": "libsvtav1"}
GOP = 250
HOUR_S = 3600


def taken(work: Callable[[], T]) -> tuple[float, T]:
    """Processor seconds of this process, all threads."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def windows_of(path: Path, captioner: Captioner) -> list[Window]:
    windows, options = [], CaptionOptions().of_model(captioner.frames)
    with WindowReader(path, captioner.frame_size, options, 8) as reader:
        while some := reader.read():
            windows += some
    return windows


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    captioner = Captioner.from_pretrained(
        asked.model, device="cpu", precision=asked.precision, threads=1, isolate=False
    )
    captioner.machine.keep_freed_memory()
    reading: dict[str, dict[str, float]] = {}
    network: list[float] = []
    for codec, encoder in CODECS.items():
        if encoder not in av.codecs_available:
            continue
        for name in asked.sizes:
            path = folder / f"{encoder}-{name}.mkv"
            write_film(path, asked.seconds, GOP, SIZES[name], encoder)
            runs = [taken(lambda path=path: windows_of(path, captioner)) for _ in range(asked.runs)]
            hours = asked.seconds / HOUR_S
            seconds = statistics.median(cpu for cpu, _ in runs)
            reading.setdefault(codec, {})[name] = round(seconds / hours, 1)
            windows = runs[0][1]
            if len(network) < asked.runs + 1:  # the first warms up
                cpu, _ = taken(lambda windows=windows: captioner.caption_windows(windows))
                network.append(cpu / len(windows))
            path.unlink()
    per_window = statistics.median(network[1:] or network)
    a_window_s = CaptionOptions.window_s
    return {
        "seconds": asked.seconds,
        "runs": asked.runs,
        "reading_s_per_hour": reading,
        "network_s_per_window": round(per_window, 4),
        "network_s_per_hour": round(per_window * HOUR_S / a_window_s, 1),
        "precision": str(captioner.machine.precision),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=32, help="of each film")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--model", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(asked, Path(folder))
    print(json.dumps({**report, "machine": machine("cpu")}, indent=2))


if __name__ == "__main__":
    main()
