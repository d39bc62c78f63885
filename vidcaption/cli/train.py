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
    training: TrainOptions,
    config: ModelConfig,
    machine: DeviceOptions,
    voice: VoiceOptions,
    backbone_weights: Annotated[
        str,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="What the CNN starts from: torchvision's weights, random ones, or a torchvision "
            "state dict (.pth or .safetensors).",
        ),
    ] = "imagenet",
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A model to start from, such as default: its network and vocabulary are kept, and "
            "the options of the network have no effect.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")
    ] = False,
) -> int:
    """Train a model on captioned images and videos: with a frozen CNN first, then end to end.

    Needs the extra "train". The folder can be given to run --model and to evaluate; its
    training.html shows how it went and what the model says.
    """
    from rich.console import Console
    from rich.progress import Progress

    from vidcaption.datasets.read import read_dataset
    from vidcaption.datasets.samples import with_splits

    samples = [s for path in datasets for s in with_splits(read_dataset(path), training.seed)]

    from vidcaption.model.device import Machine
    from vidcaption.model.folder import load
    from vidcaption.store import resolve
    from vidcaption.training.backbone import find_weights
    from vidcaption.training.page import write_training_page
    from vidcaption.training.trainer import DEV_FRAMES, Trainer

    start = load(resolve(init)) if init else None
    # a checkpoint has the CNN already, and so has a model
    weights = None if resume or start else find_weights(config.backbone, backbone_weights)
    console = Console(stderr=True, quiet=voice.quiet)
    wanted = voice.progress == "on" or (voice.progress == "auto" and console.is_terminal)
    with Progress(console=console, disable=not wanted) as progress:
        found = Machine.find(machine)
        trainer = Trainer(
            out, config, training, found, samples, progress, imagenet=weights, init=start
        )
        if trainer.run(resume).history:
            progress.add_task("training.html", total=None)
            write_training_page(out, trainer.dev, DEV_FRAMES, found)
    return 0
