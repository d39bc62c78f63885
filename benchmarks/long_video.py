"""How long a long video takes, against decoding all of it: prints JSON.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/long_video.py --runs 3 --precision fp32 > result.json

Makes a film (see film.py), or takes ``--video FILE``. Each run decodes all frames with PyAV on all
cores, then for each sampling reads the frames of fixed windows and captions the film, its windows
split at cuts as by default; last it captions fixed windows. So all meet the machine in the same
state. Threads wait for each other as ``vidcaption run`` lets them. One run goes before and is not
counted. ``wall`` and ``processor`` are seconds, medians over the runs, and their ratios are those
to decoding all frames.

``--peer SECONDS`` adds what many captioners do, once, on the first seconds of the film: OpenCV
seeks each frame, the CNN takes one at a time in fp32, the words are found greedily per window.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import av
import cv2
import torch
from film import write_film
from speed import decoded, machine

from vidcaption import Captioner
from vidcaption.model.folder import load
from vidcaption.model.search import search
from vidcaption.options.captioning import CaptionOptions, Sampling
from vidcaption.store import resolve
from vidcaption.video.container import open_video
from vidcaption.video.packets import role_reader
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import fixed_spans, fixed_windows

SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)
SIDE = 224  # the built-in model's


def processor_s() -> float:
    """Processor time of this process and its children, also of those that run."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for child in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that has ended
            for number in child.read_text().split():
                fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
    running = ticks / os.sysconf("SC_CLK_TCK")
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def timed(work: Callable[[], object]) -> dict[str, float]:
    wall, processor = time.perf_counter(), processor_s()
    work()
    return {"wall": time.perf_counter() - wall, "processor": processor_s() - processor}


def read(video: Path, options: CaptionOptions) -> int:
    with VideoReader(video, (SIDE, SIDE), options.sampling) as reader:
        return sum(len(window.frames) for window in fixed_windows(reader, options))


@torch.inference_mode()
def caption_like_others(video: Path, seconds: float) -> None:
    network = load(resolve(None), torch.device("cpu")).network
    capture = cv2.VideoCapture(str(video))
    fps = capture.get(cv2.CAP_PROP_FPS)
    for span in fixed_spans(seconds, CaptionOptions(frames=network.config.frames)):
        features = []
        for time_s in span.times_s:
            capture.set(cv2.CAP_PROP_POS_FRAMES, int(time_s * fps))
            _, image = capture.read()
            image = cv2.cvtColor(cv2.resize(image, (SIDE, SIDE)), cv2.COLOR_BGR2RGB)
            features.append(network.encoder(torch.from_numpy(image).permute(2, 0, 1)[None]))
        search(network.decoder, network.remember(torch.cat(features)[None]), CaptionOptions(beam=1))
    capture.release()


def describe(video: Path) -> dict[str, Any]:
    """What of a film makes it quick or slow to decode."""
    with VideoReader(video) as reader:
        info = reader.info
    with open_video(str(video)) as (container, stream):
        role_of = role_reader(stream)
        assert role_of, f"{video} is of a codec of which nothing can be left out: {info.codec}"
        roles = [role_of(packet) for packet in container.demux(stream) if packet.size]
    return {
        "codec": info.codec,
        "size": f"{info.width}x{info.height}",
        "duration_s": info.duration_s,
        "frames": len(roles),
        "key_frames": sum(role.key for role in roles),
        "unreferenced": round(sum(role.droppable for role in roles) / len(roles), 3),
        "megabits_per_second": round(video.stat().st_size * 8e-6 / (info.duration_s or 1), 2),
    }


def measure(
    video: Path, runs: int, peer_s: float, precision: Any, model: str | None
) -> dict[str, Any]:
    captioner = Captioner.from_pretrained(model, precision=precision)
    passes: dict[str, Callable[[], object]] = {"decode all": lambda: decoded(video)}
    for sampling in SAMPLINGS:
        options = CaptionOptions(sampling=sampling)
        asked = options.of_model(captioner.frames)
        passes[f"read {sampling}"] = lambda asked=asked: read(video, asked)
        passes[f"caption {sampling}"] = lambda options=options: captioner.caption(video, options)
    fixed = CaptionOptions(segment="fixed")
    passes[f"caption {fixed.sampling}, fixed windows"] = lambda: captioner.caption(video, fixed)
    times = [{name: timed(work) for name, work in passes.items()} for _ in range(runs + 1)][1:]
    report: dict[str, Any] = {"film": describe(video), "runs": runs, "passes": {}}
    report["frames"] = captioner.frames  # per window
    for name in passes:
        row = {}
        for clock in ("wall", "processor"):
            ratios = [run[name][clock] / run["decode all"][clock] for run in times]
            row[clock] = round(statistics.median(run[name][clock] for run in times), 3)
            row[f"{clock}_ratio"] = round(statistics.median(ratios), 3)
        report["passes"][name] = row
    if peer_s:
        wall = timed(lambda: caption_like_others(video, peer_s))["wall"]
        whole = wall * report["film"]["duration_s"] / peer_s
        ratio = round(whole / report["passes"]["decode all"]["wall"], 1)
        report["peer"] = {"seconds_of_film": peer_s, "wall": round(wall, 3), "wall_ratio": ratio}
    return report | {"precision": captioner.machine.precision, "machine": machine("cpu")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--seconds", type=int, default=360)
    parser.add_argument("--gop", type=int, default=250)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--model", help="in place of the built-in one")
    asked = parser.parse_args()
    av.logging.set_level(None)
    with tempfile.TemporaryDirectory() as folder:
        width, height = map(int, asked.size.split("x"))
        video = asked.video or write_film(
            Path(folder) / "film.mp4", asked.seconds, asked.gop, (width, height)
        )
        report = measure(video, asked.runs, asked.peer, asked.precision, asked.model)
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
