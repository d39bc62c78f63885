"""``vidcaption train``."""

from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.flags import with_options
from vidcaption.model.config import ModelConfig
from vidcaption.options import DeviceOptions, TrainOptions, VoiceOptions


@with_options
def train(
    datasets: Annotated[
        list[Path], typer.Argument(metavar="DATASET", help="Datasets, used together.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the model and its checkpoint.")
    ],
    backbone_weights: Annotated[
        str,
        typer.Option(
            metavar="FILE|none",
            help="ImageNet weights of the CNN, a torchvision state dict in safetensors; none gives "
            "it random ones.",
        ),
    ],
    training: TrainOptions,
    config: ModelConfig,
    machine: DeviceOptions,
    voice: VoiceOptions,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")
    ] = False,
) -> int:
    """Train a model on captioned images and videos: with a frozen CNN first, then end to end.

    Needs the extra "train". The folder can be given to run --model and to evaluate.
    """
    from rich.console import Console
    from rich.progress import Progress

    from vidcaption.datasets.read import read_dataset
    from vidcaption.datasets.samples import with_splits
    from vidcaption.errors import UsageError
    from vidcaption.training.trainer import CHECKPOINT

    imagenet = None if backbone_weights == "none" else Path(backbone_weights)
    if imagenet and not imagenet.is_file():
        raise UsageError(f"--backbone-weights is {backbone_weights}, no file; name one, or none")
    if not resume and (out / CHECKPOINT).exists():
        raise UsageError(f"{out} holds a training already; add --resume, or give another folder")
    samples = [s for path in datasets for s in with_splits(read_dataset(path), training.seed)]

    from vidcaption.model.device import Machine
    from vidcaption.training.trainer import Trainer

    console = Console(stderr=True, quiet=voice.quiet)
    wanted = voice.progress == "on" or (voice.progress == "auto" and console.is_terminal)
    with Progress(console=console, disable=not wanted) as progress:
        trainer = Trainer(out, config, training, Machine.find(machine), samples, progress, imagenet)
        trainer.run(resume)
    return 0
