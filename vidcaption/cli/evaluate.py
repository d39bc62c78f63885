"""``vidcaption evaluate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.flags import with_options
from vidcaption.cli.weights import Offline, resolve_with_bar
from vidcaption.options import DeviceOptions, SearchOptions, VoiceOptions


@with_options
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A model folder, owner/name or owner/name@revision on the Hub, or 'default' for "
            "the embedded one."
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="A dataset in JSON lines.")],
    search: SearchOptions,
    machine: DeviceOptions,
    split: Annotated[str, typer.Option(help="The part of the dataset to score.")] = "test",
    frames: Annotated[int, typer.Option(help="Frames looked at per sample.", min=1, max=64)] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    captions: Annotated[
        Path | None, typer.Option(help="Also write each sample's caption to this file, JSON lines.")
    ] = None,
    offline: Offline = False,
) -> int:
    """Score a model's captions against human ones: BLEU, METEOR, ROUGE-L, CIDEr.

    Needs the extra "eval" and Java.
    """
    from vidcaption.cli.voice import Voice, put
    from vidcaption.datasets.samples import read_jsonl
    from vidcaption.errors import UsageError
    from vidcaption.output.write import write_atomic

    samples = [s for s in read_jsonl(dataset) if s.split == split and s.captions]
    if not samples:
        raise UsageError(
            f"{dataset} has no captioned row with split {split!r}; choose one with --split"
        )

    folder = resolve_with_bar(model, offline, Voice(VoiceOptions()))

    from vidcaption.evaluation.evaluate import score_model
    from vidcaption.model.device import Machine

    report, said = score_model(folder, samples, frames, search, Machine.find(machine))
    facts = {"dataset": dataset.name, "split": split, **report}
    if captions:
        rows = (
            json.dumps({"id": key, "caption": text}, ensure_ascii=False)
            for key, text in said.items()
        )
        write_atomic(captions, "".join(row + "\n" for row in rows))
    if as_json:
        put(json.dumps(facts, indent=2) + "\n")
    else:
        width = max(map(len, facts))
        put("".join(f"{name:{width}}  {value}\n" for name, value in facts.items()))
    return 0
