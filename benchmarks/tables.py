"""Write the figures of the documents, the model card and the catalogue from benchmarks/results.

python benchmarks/tables.py           # rewrites what stands between the markers, and scores
python benchmarks/tables.py --check   # exit code 1 if that would change a file
"""

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from vidcaption.find.look import PROBABILITY_WEIGHT
from vidcaption.model.manifest import CARD, WEIGHTS, WORDS, write_manifest
from vidcaption.model.vocabulary import Vocabulary

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MODEL = ROOT / "weights" / "default"
CATALOG = ROOT / "weights" / "catalog.json"
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "find.md",
    ROOT / "docs" / "heads.md",
    ROOT / "docs" / "models.md",
    ROOT / "docs" / "presets.md",
    ROOT / "docs" / "scale.md",
    ROOT / "docs" / "speed.md",
    ROOT / "benchmarks" / "README.md",
    MODEL / CARD,
    CATALOG,
)
MAIN = ("BLEU-4", "METEOR", "CIDEr")
OBJECTS = ("objects named", "confirmed")


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(heads: Sequence[object], *rows: Sequence[object]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def part(report: Any) -> str:
    """What was scored: ``Flickr8k test``."""
    return f"{Path(report['dataset']).stem.capitalize()} {report['split']}"


def scores() -> str:
    """One row for each split that was scored; what the figures depend on, below."""
    scored = ("flickr8k-test", "flickr8k-dev", "msrvtt-dev", "coco-test", "coco-dev")
    reports = [read(name) for name in scored]
    first = reports[0]
    names = list(first["scores"])
    rows = [
        (
            f"{report['dataset']}, {report['split']}",
            report["samples"],
            *(f"{report['scores'][name]:.1f}" for name in names),
            *objects(report),
        )
        for report in reports
    ]
    facts = (
        f"All x 100, {first['metrics']}; beam {first['search']['beam']}, length penalty "
        f"{first['search']['length_penalty']:g}, {first['precision']}, up to {first['frames']} "
        "frames per sample."
    )
    return table(["dataset, split", "samples", *names, *OBJECTS], *rows) + f"\n\n{facts}"


def objects(report: Any) -> list[str]:
    """The shares of objects named and confirmed."""
    return [f"{report[name]:.0%}" for name in ("objects_named", "objects_confirmed")]


def typical() -> str:
    """What samples drawn at random show, and the caption of each."""
    rows = [(each["shows"], each["caption"]) for each in read("typical")["samples"]]
    return table(["what it shows", "caption"], *rows)


def compared(labels: str) -> str:
    """What was scored on the same samples, one row each; the file ``labels`` names them."""
    reports = {label: read(name) for label, name in read(labels).items()}
    rows = []
    for label, report in reports.items():
        low, high = report["intervals"]["CIDEr"]
        figures = [f"{report['scores'][name]:.1f}" for name in MAIN]
        figures += [f"{low:.1f} to {high:.1f}", *objects(report), report["vocabulary_used"]]
        rows.append((label, *figures))
    [scored] = {part(report) for report in reports.values()}
    return table([scored, *MAIN, "CIDEr, 95%", *OBJECTS, "different words"], *rows)


def size() -> str:
    """Of the built-in model, in a sentence."""
    with safe_open(MODEL / WEIGHTS, "np") as file:
        names = file.keys()
        shapes = [file.get_slice(name).get_shape() for name in names]
    words = len(Vocabulary.from_json((MODEL / WORDS).read_text(encoding="utf-8")))
    millions = sum(map(math.prod, shapes)) / 1e6
    return f"{millions:.1f} million parameters, stored in fp16; {words:,} words."


def speed() -> str:
    """Where the time of captioning one video goes, and what decoding alone takes."""
    report = read("speed-cpu")
    video, machine = report["video"], report["machine"]
    seconds = report["seconds"]
    memory = report["peak_memory_mib"]["main"]
    cells = [f"{seconds[name]:.2f} s" for name in ("decode", "encode", "search", "write", "all")]
    cells += [f"{report['decode_alone_seconds']:.2f} s", f"{report['times_decode_alone']:.1f}"]
    heads = ["wait for frames", "CNN", "words", "writing", "all", "decoding alone", "ratio"]
    facts = (
        f"{video['duration_s']:.0f} s of {video['codec']} at {video['size']}, {video['frames']} "
        f"frames: {report['times_real_time']:.0f} times real time, "
        f"{report['frames_per_second']:.0f} frames a second, at most {memory:.0f} MiB of memory. "
        f"Medians of {report['runs']} runs on {machine['cores']} cores of {machine['processor']}, "
        f"PyTorch {machine['versions']['torch']}, {report['precision']}."
    )
    return table(heads, cells) + f"\n\n{facts}"


def soak() -> str:
    """What became of a batch that was killed again and again, and how much memory it had."""
    report = read("soak")
    heads = ["inputs", "broken", "kills", "lost", "torn", "done twice"]
    cells = [report[head.replace(" ", "_")] for head in heads]
    memory = report["memory_mib"]
    first, last, readers = memory["quarters"][0], memory["quarters"][-1], memory["readers"]
    facts = (
        f"Memory over {memory['of_outputs']} videos of one run: {first:.0f} MiB in the first "
        f"quarter, {last:.0f} MiB in the last, at most {memory['peak']:.0f} MiB; the processes "
        f"that read for it together {readers['quarters'][0]:.0f} MiB, "
        f"{readers['quarters'][-1]:.0f} MiB and {readers['peak']:.0f} MiB. All runs: "
        f"{report['seconds']:.0f} s on {report['machine']['cores']} cores."
    )
    return table(heads, cells) + f"\n\n{facts}"


def serve() -> str:
    """What became of uploads to a server that was killed meanwhile."""
    report = read("serve")
    heads = ["clients", "uploads", "slow", "broken off", "kills", "lost", "failed", "different"]
    cells = [report[head.replace(" ", "_")] for head in heads]
    answered = report["answered_in_s"]
    facts = (
        f"{report['tries']} tries until all were accepted, each in {answered['median']:.1f} s "
        f"(median; slowest {answered['slowest']:.1f} s) while others were captioned; all captioned "
        f"after {report['seconds']:.0f} s, on one core that other programs used, too."
    )
    return table(heads, cells) + f"\n\n{facts}"


def long_video() -> str:
    """What decoding all of a film takes, and what reading and captioning it takes."""
    report, half = read("long-video"), read("long-video-bf16")
    film, machine = report["film"], report["machine"]
    heads = ["fp32", "seconds", "to decoding all", "processor seconds", "to decoding all"]
    kinds = ("wall", "wall_ratio", "processor", "processor_ratio")
    rows = [
        (
            name,
            *(row[kind] for kind in kinds),
            half["passes"].get(name, {"wall_ratio": ""})["wall_ratio"],
        )
        for name, row in report["passes"].items()
    ]
    rows.append(("a seek per frame, one at a time", "", report["peer"]["wall_ratio"], "", "", ""))
    facts = (
        f"{film['duration_s']:.0f} s of {film['codec']} at {film['size']}, {film['frames']} "
        f"frames, of which {film['key_frames']} are key frames and {film['unreferenced']:.0%} such "
        f"that no other needs them, {film['megabits_per_second']:.1f} Mbit/s, a cut every 6 s. "
        f"Windows of {report['frames']} frames; medians of {report['runs']} runs on "
        f"{machine['cores']} cores of {machine['processor']}. In bf16: windows of {half['frames']} "
        f"frames, {half['runs']} runs on {half['machine']['processor']}."
    )
    return table([*heads, "bf16, to decoding all"], *rows) + f"\n\n{facts}"


def short_clips() -> str:
    """What many short clips take, before windows of different inputs shared batches, and after."""
    report = read("short_clips")
    machine, rows = report["machine"], []
    for kind, name in (("wall", "on the clock"), ("cpu", "of the processor")):
        each = report[kind]
        times = [f"{each['per_clip_ms'][when]:.0f} ms" for when in ("before", "after")]
        rows.append((name, *times, each["speedup_per_clip"], each["speedup"]))
    facts = (
        f"{report['clips']} clips, medians of {report['runs']} runs on {machine['cores']} cores of "
        f"{machine['processor']}; {report['different']} clips captioned otherwise in fp32."
    )
    heads = ["for each clip", "before", "after", "times as fast", "with the start"]
    return table(heads, *rows) + f"\n\n{facts}"


def variants(name: str, *, commands: bool = False) -> str:
    """What parts of a recipe give in short trainings, as CIDEr on the dev splits."""
    report = read(name)
    heads = ["", *(f"{Path(name).stem.capitalize()} dev" for name in report["rows"][0]["dev"])]
    rows = []
    for row in report["rows"]:
        cells = []
        for scored in row["dev"].values():
            low, high = scored["intervals"]["CIDEr"]
            cells.append(f"{scored['scores']['CIDEr']:.1f} ({low:.1f} to {high:.1f})")
        rows.append((row["name"], *cells))
    lines = "\n".join(row["command"] for row in report["rows"])
    return table(heads, *rows) + (f"\n\n```sh\n{lines}\n```" if commands else "")


def concepts() -> str:
    """What parts of the built-in model give while it captions: CIDEr, objects named, confirmed."""
    rows = read("concepts")["rows"]
    datasets = list(next(iter(rows.values())))
    figures = ("CIDEr", "objects_named", "objects_confirmed")
    cells = [
        (name, *(" / ".join(f"{row[d][f]:.1f}" for f in figures) for d in datasets))
        for name, row in rows.items()
    ]
    return table(["", *(f"{Path(d).stem.capitalize()} dev" for d in datasets)], *cells)


def classes() -> str:
    """How often captions name the class of ImageNet's pictures."""
    rows = read("classes")["rows"]
    kinds = ("all", "held out", "surely recognised")
    cells = []
    for name, row in rows.items():
        shares = (row[kind]["named"] / row[kind]["pictures"] for kind in kinds)
        cells.append((name, *(f"{share:.0%}" for share in shares)))
    counts = [f"{kind}, {row[kind]['pictures']}" for kind in kinds]
    return table(["", *counts], *cells)


def frames() -> str:
    """What more frames per window give."""
    reports = read("frames")["rows"]
    rows = [
        (
            name,
            *(f"{report['scores'][kind]:.1f}" for kind in MAIN),
            *objects(report),
            report["vocabulary_used"],
        )
        for name, report in reports.items()
    ]
    heads = ["frames", *MAIN, *OBJECTS, "different words"]
    about = reports["1"]
    facts = f"{part(about)}, {about['samples']} videos, {about['precision']}."
    return table(heads, *rows) + f"\n\n{facts}"


def neighbours() -> str:
    """How often neighbouring windows name other people."""
    report = read("neighbours")
    names = {
        "alone": "each window by itself",
        "forwards": "after the windows before, as `live`",
        "both ways": "with those that follow, as `run`",
    }
    rows = []
    for way, name in names.items():
        each = report["ways"][way]
        pairs = [f"{each[kind] / each['pairs']:.0%}" for kind in ("other", "reversed")]
        confirmed = f"{each['confirmed'] / each['kinds']:.1%}"
        rows.append((name, each["changed"], *pairs, confirmed, f"{each['CIDEr']:.1f}"))
    heads = ["captions are chosen", "changed", "neighbours name other people", "none in common"]
    facts = f"{report['windows']} windows of {report['videos']} videos, {report['precision']}."
    return table([*heads, "people confirmed", "CIDEr"], *rows) + f"\n\n{facts}"


def startup() -> str:
    """What commands take, beside the imports that they cannot do without."""
    named = {"help": ("`--help`", "typer, rich"), "clip": ("5 s of a video", "torch")}
    report = read("startup")["commands"]
    rows = [
        (
            name,
            f"{report[key]['wall_s']:.2f} s",
            f"import {beside}",
            f"{report[key]['beside_wall_s']:.2f} s",
            report[key]["wall_ratio"],
            report[key]["cpu_ratio"],
        )
        for key, (name, beside) in named.items()
    ]
    return table(["command", "takes", "beside", "takes", "ratio", "of processor time"], *rows)


def search() -> str:
    """What more beams cost, in processor time."""
    report, before = read("search"), read("search-before")
    rows = [
        (beams, before["beams"][beams]["ms"]["cpu"], row["ms"]["cpu"], row["ratio"])
        for beams, row in report["beams"].items()
    ]
    heads = ["beams", "before, ms", "ms", "to greedy"]
    facts = f"Medians of {report['runs']} runs over {report['windows']} windows."
    return table(heads, *rows) + f"\n\n{facts}"


def find() -> str:
    report = read("find")
    rows = [
        (
            query.replace("|", ""),
            *(f"{time[kind]:.0f}" for kind in ("wall", "cpu")),
            *(f"{report['meaning_ms'][query][kind]:.0f}" for kind in ("wall", "cpu")),
        )
        for query, time in report["queries_ms"].items()
    ]
    command = report["command_s"]
    return (
        table(["query", "by words, ms", "of the processor", "by meaning, ms", "of it"], *rows)
        + f"\n\n{report['windows']:,} windows of {report['videos']:,} videos, "
        f"{report['bytes_per_window']:.0f} bytes each; a whole command takes "
        f"{command['cpu']:.2f} s of the processor, {command['wall']:.2f} s on the clock, at a load "
        f"of {report['load'][0]:.0f} on {report['machine']['cores']} cores."
    )


def retrieval() -> str:
    """How well ``find`` ranks what a person described, by words, by meaning and by both."""
    rows = []
    for name in ("retrieval-flickr8k", "retrieval-msrvtt"):
        report = read(name)
        [(dataset, each)] = report["datasets"].items()
        where = f"{dataset.capitalize()} {report['split']}, {each['samples']}"
        for how, label in (("words", "words"), ("meaning", "meaning"), ("joined", "both")):
            figures = []
            for kind in ("mrr", "R@10"):
                figures.append(f"{each[how][kind]['value']:.1f}")
                gain = each[how].get(f"{kind} gain")
                low, high = gain["interval"] if gain else ("", "")
                figures.append(f"{gain['value']:+.1f} ({low:+.1f} to {high:+.1f})" if gain else "")
            rows.append((where, label, *figures))
    heads = ["among", "by", "MRR", "more than by words, 95%", "R@10", "more than by words, 95%"]
    facts = f"{each['queries']} human captions of each sample as queries, {report['precision']}."
    return table(heads, *rows) + f"\n\n{facts} {looked_again()}"


def looked_again() -> str:
    """What ``find --rerank`` adds, with the built-in model as it was before its last training."""
    report = read("ablation/retrieval-again")
    [(dataset, each)] = report["datasets"].items()
    rows = each["looked again"]
    before, after = rows["weight 0"]["mrr"], rows[f"weight {PROBABILITY_WEIGHT:g}"]
    gain = after["mrr gain"]
    low, high = gain["interval"]
    return (
        f"`--rerank` takes the MRR of {each['reranked queries']} queries on {dataset.capitalize()} "
        f"{report['split']} from {before['value']:.1f} to {after['mrr']['value']:.1f} "
        f"({gain['value']:+.1f}, {low:+.1f} to {high:+.1f}), measured before the last "
        "training of the built-in model."
    )


# What papers say of their systems, on other data, with other CNNs, longer training and metrics of
# their time; those that could be checked.
PUBLISHED = {
    "show-and-tell": "BLEU-1 63 (Flickr8k)",
    "show-attend-tell": "BLEU-4 19.5, METEOR 18.9 (Flickr8k)",
    "show-attend-tell-hard": "BLEU-4 21.3, METEOR 20.3 (Flickr8k)",
    "mean-pool": "METEOR 27.7 (MSVD)",
    "temporal-attention": "BLEU-4 41.9, METEOR 29.6, CIDEr 51.7 (MSVD)",
    "s2vt": "METEOR 29.2 (MSVD)",
}


def presets() -> str:
    """The presets that write, at one equal budget."""
    rows, facts = [], []
    for name in ("flickr8k", "msrvtt"):
        report = read(f"presets-{name}")
        flags = report["flags"].partition(" --backbone-weights")[0]
        facts.append(f"`{flags}` for {name.capitalize()}")
        for row in report["rows"]:
            [dev] = row["dev"].values()
            scores, (low, high) = dev["scores"], dev["intervals"]["CIDEr"]
            rows.append(
                (
                    f"`{row['name']}`",
                    name.capitalize(),
                    f"{row['trained'] / 1e6:.1f} M",
                    *(f"{scores[kind]:.1f}" for kind in MAIN),
                    f"{low:.1f} to {high:.1f}",
                    PUBLISHED.get(row["name"], ""),
                )
            )
    heads = ("preset", "dev set", "trained parameters", *MAIN, "CIDEr, 95%", "published")
    return table(heads, *rows) + "\n\nTrained with " + " and ".join(facts) + "."


def preset_retrieval() -> str:
    """The presets that search, at a budget of their own."""
    report = read("presets-retrieval")
    rows = []
    for row in report["rows"]:
        [dev] = row["dev"].values()
        scores = dev["scores"]
        both = [
            cell
            for way in ("search", "annotation")
            for cell in (
                ", ".join(f"{scores[f'{way}_R@{k}']:.1f}" for k in (1, 5, 10)),
                f"{scores[f'{way}_median_rank']:.0f}",
            )
        ]
        trained = f"{row['trained'] / 1e6:.1f} M"
        rows.append((f"`{row['name']}`", trained, *both))
    search, annotation = "pictures by sentence: R@1, 5, 10", "sentences by picture: R@1, 5, 10"
    heads = ("preset", "trained parameters", search, "median rank", annotation, "median rank")
    flags = report["flags"].partition(" --backbone-weights")[0]
    facts = f"On Flickr8k dev, 1000 pictures and 5000 sentences, trained with `{flags}`."
    return table(heads, *rows) + f"\n\n{facts}"


def categories() -> str:
    """Labels of videos by two presets."""
    rows = []
    for name in ("activity", "activity-frame"):
        report = read(f"categories-{name}")
        cells = []
        for kind in ("accuracy", "top_5"):
            low, high = report["intervals"][kind]
            cells.append(f"{report['scores'][kind]:.0f}% ({low:.0f} to {high:.0f})")
        rows.append((f"`{name}`", *cells, f"{report['scores']['macro_auc']:.0f}%"))
    facts = f"{part(report)}, {report['samples']} videos, {len(report['labels'])} categories."
    return table(["preset", "accuracy, 95%", "among five", "mean AUC"], *rows) + f"\n\n{facts}"


def cuts() -> str:
    """What windows that end at cuts cost, and which cuts are found."""
    report = read("cuts")
    costs = []
    for shots, cost in report["cost"].items():
        counts = (cost[segment]["segments"] for segment in ("fixed", "auto"))
        costs.append((f"{shots} s", *counts, cost["ratio"]["wall"], cost["ratio"]["processor"]))
    heads = ["shots of", "windows, fixed", "auto", "times as long", "of the processor"]
    finders = "auto", "every frame"
    shares = [
        (name, *(f"{each[by][kind]:.0%}" for by in finders for kind in ("recall", "precision")))
        for name, each in report["encoders"].items()
    ]
    names = ["encoder", "auto: found", "are cuts", "PySceneDetect: found", "are cuts"]
    machine = report["machine"]
    facts = (
        f"{report['seconds']} s of film, {report['size']}, {report['precision']}, medians of "
        f"{report['runs']} runs on {machine['cores']} cores of {machine['processor']}; the other "
        f"film has {report['cuts']} cuts."
    )
    return f"{table(heads, *costs)}\n\n{table(names, *shares)}\n\n{facts}"


def threads() -> str:
    """What ways of waiting cost, in seconds of captioning one video."""
    report = read("threads")
    alone, beside = report["alone"], report["beside one busy process"]
    rows = [(way, seconds, beside[way]) for way, seconds in alone.items()]
    facts = f"Medians of {report['runs']} runs on {report['machine']['cores']} cores."
    return table(["", "alone", "beside one busy process"], *rows) + f"\n\n{facts}"


def scaling() -> str:
    """What a minute of video costs, and what working side by side gives."""
    report = read("scaling")
    rows = []
    for varied, by_value in report["costs"].items():
        for value, row in by_value.items():
            name = {"height": f"{value}p", "minutes": f"{value} min at 360p"}.get(varied, value)
            rows.append(
                (name, *(row[key] for key in ("seconds", "seconds_per_minute", "peak_mib")))
            )
    side = report["side_by_side"]
    others = ", ".join(
        f"{name} {row['ratio']} times" for name, row in list(side["runs"].items())[1:]
    )
    facts = (
        f"Of {side['clips']} clips of {side['clip_s']} s, {others} as long as one worker takes. "
        f"{report['rounds']} rounds on {report['machine']['cores']} cores of "
        f"{report['machine']['processor']}."
    )
    heads = ["film", "seconds", "seconds per minute of video", "MiB at most"]
    return table(heads, *rows) + f"\n\n{facts}"


def engine() -> str:
    """How fast the CNN is in several ways, on a batch of pictures and on a whole video."""
    names = {
        "plain": "PyTorch, operation by operation",
        "torch": "with activations inside the convolutions: the default",
        "compiled": "`torch.compile`",
        "openvino": "OpenVINO: `--engine openvino`",
    }
    report = read("engine")
    machine, video = report["machine"], report["video_seconds"]
    rows = [
        (
            names[name],
            taken,
            report["times_plain"][name],
            video.get(name, ""),
            report["times_torch"].get(name, ""),
        )
        for name, taken in report["batch_seconds"].items()
    ]
    heads = ["", f"{report['batch']} pictures, seconds", "times as fast", "video, seconds"]
    versions = machine["versions"]
    facts = (
        f"Medians of {report['runs']} runs with {report['threads']} threads on {machine['cores']} "
        f"cores of {machine['processor']}, fp32, PyTorch {versions['torch']}, OpenVINO "
        f"{versions['openvino']}; {report['load']:.0f} processes shared these cores, so only "
        f"the ratios mean something elsewhere. The export took {report['export_seconds']} s, once, "
        f"and compiling {report['compile_seconds']} s."
    )
    return table([*heads, "times as fast"], *rows) + f"\n\n{facts}"


def reuse() -> str:
    """What looking features up gives, by film and by how much pictures may differ."""
    report = read("reuse")
    rows = [
        (
            f"{name}, {'nothing is reused' if level == 'none' else f'within {level}'}",
            *(f"{row[key]:.0%}" for key in ("reused", "captions_changed")),
            row["seconds"]["processor"],
            row["ratio"]["processor"],
        )
        for name, video in report["videos"].items()
        for level, row in video["levels"].items()
    ]
    heads = ["", "frames reused", "captions changed", "processor seconds", "ratio"]
    camera = report["videos"]["camera.mkv"]["levels"]
    seen = min(row["crossing_seen"] for row in camera.values())
    before, after = (camera[level]["captions_of_nothing"] for level in ("none", "8"))
    facts = (
        f"Medians of {report['runs']} runs on a core of {report['machine']['processor']}, "
        f"{report['precision']}, decoding included; {report['load']:.0f} processes shared the "
        "cores, so a ratio may be off by a fifth. Of the camera's windows in which something "
        f"crosses the picture, at least {seen:.0%} did not look as if nothing did; the others, "
        f"which differ by noise alone, got {before} different captions without reuse, and {after} "
        "within 8."
    )
    return table(heads, *rows) + f"\n\n{facts}"


def workers() -> str:
    """What a growing number of workers that fail makes of a growing number of videos."""
    report = read("thousand_workers")
    rows = [
        (
            f"{run['workers']:,}{where}",
            f"{run['videos']:,}",
            run["failures"],
            f"{run['hours']:.2f}",
            f"{run['wasted']:.1%}",
            run["planner_ms_per_video"],
            *(run[name] for name in ("lost", "torn", "done_twice")),
        )
        for run, where in [
            *((run, "") for run in report["runs"]),
            (report["one_folder"], ", all in one folder"),
        ]
    ]
    heads = ["workers", "videos", "failures", "hours", "work lost", "planner, ms per video"]
    facts = (
        f"Time is simulated, with {report['videos']} videos for each worker, a failure every "
        f"{report['hours_between_failures']:g} h of each, and one of the driver; planner, leases, "
        f"ledger and files are real, {report['per_folder']} videos in a folder."
    )
    return table([*heads, "lost", "torn", "done twice"], *rows) + f"\n\n{facts}"


def costs() -> str:
    """Processor time for an hour of video."""
    report = read("costs")
    reading, network = report["reading_s_per_hour"], report["network_s_per_hour"]
    names = list(next(iter(reading.values())))
    rows = [
        (f"reading {codec}", *(f"{by_size[name]:.0f} s" for name in names))
        for codec, by_size in reading.items()
    ]
    rows.append(("captioning", *[f"{network:.0f} s"] * len(names)))
    facts = (
        f"Seconds of one core for an hour of video, with windows of 4 s and 4 frames, "
        f"{report['precision']}. Films of {report['seconds']} s, medians of {report['runs']} runs "
        f"on {report['machine']['processor']}, which other programs used, too."
    )
    return table(["", *names], *rows) + f"\n\n{facts}"


HOURS, CORES, CORE_HOUR, DAYS = 1_000_000, 64, 0.02, 7  # the price: dollars for a core and an hour


def million() -> str:
    """Machines and money for a million hours of video, by codec and size."""
    report = read("costs")
    network, rows = report["network_s_per_hour"], []
    for codec, by_size in report["reading_s_per_hour"].items():
        for name, seconds in by_size.items():
            core_hours = HOURS * (seconds + network) / 3600
            machines = core_hours / CORES / 24 / DAYS
            share = seconds / (seconds + network)
            money = round(core_hours * CORE_HOUR, -2)
            cells = f"{core_hours:,.0f}", f"{machines:.1f}", f"{money:,.0f} $", f"{share:.0%}"
            rows.append((f"{codec}, {name}", *cells))
    price = f"at {CORE_HOUR} $ a core hour"
    heads = ["", "core hours", f"machines of {CORES} cores, {DAYS} days", price]
    return table([*heads, "of it, reading"], *rows)


def on_ray() -> str:
    """The time of a batch with Ray and without."""
    report = read("on_ray")
    rows = [
        (way, *(f"{seconds[kind]:.1f} s" for kind in ("start", "work", "stop")))
        for way, seconds in report["seconds"].items()
    ]
    facts = (
        f"{report['clips']} clips of 3 s, medians of {report['runs']} runs on "
        f"{report['machine']['cores']} cores of {report['machine']['processor']}: the work takes "
        f"{report['ratio']} times as long, and {report['different']} files differ. Ray's workers "
        f"have {report['memory_mib']['first']} MiB together in the first quarter of the work, "
        f"{report['memory_mib']['last']} MiB in the last."
    )
    return table(["", "start, with the model", "work", "stop"], *rows) + f"\n\n{facts}"


TABLES: dict[str, Callable[[], str]] = {
    "costs": costs,
    "million": million,
    "on_ray": on_ray,
    "retrieval": retrieval,
    "categories": categories,
    "presets": presets,
    "preset_retrieval": preset_retrieval,
    "workers": workers,
    "scores": scores,
    "typical": typical,
    "ablation": lambda: compared("ablation/rows"),
    "before": lambda: compared("ablation/before"),
    "size": size,
    "speed": speed,
    "soak": soak,
    "serve": serve,
    "long_video": long_video,
    "short_clips": short_clips,
    "parts": lambda: variants("ablation/parts"),
    "variants": lambda: variants("ablation/variants", commands=True),
    "concepts": concepts,
    "classes": classes,
    "frames": frames,
    "neighbours": neighbours,
    "cuts": cuts,
    "startup": startup,
    "search": search,
    "find": find,
    "threads": threads,
    "scaling": scaling,
    "engine": engine,
    "reuse": reuse,
}
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fresh(page: Path) -> str:
    """What ``page`` should hold."""
    text = page.read_text(encoding="utf-8")
    if page == CATALOG:
        return catalogue(text)
    return BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", text)


def catalogue(text: str) -> str:
    """With the scores of the built-in model."""
    document, report = json.loads(text), read("flickr8k-test")
    [own] = [row for row in document["models"] if row["name"] == MODEL.name]
    own["scores"] = {f"{part(report)} {name}": report["scores"][name] for name in MAIN}
    return json.dumps(document, indent=2) + "\n"


def main() -> None:
    stale = [page for page in PAGES if fresh(page) != page.read_text(encoding="utf-8")]
    if not stale:
        return
    check = "--check" in sys.argv
    if not check:
        for page in stale:
            page.write_text(fresh(page), encoding="utf-8")
        write_manifest(MODEL)  # which knows the card's sha256
    print("stale:" if check else "rewritten:", *stale)
    sys.exit(check)


if __name__ == "__main__":
    main()
