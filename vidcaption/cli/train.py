"""``vidcaption train``."""

from dataclasses import replace
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
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Sentences without pictures, one on each line (.gz too), from which the decoder "
            "learns to write before all else.",
        ),
    ] = None,
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
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the frozen CNN's features are kept, for other trainings too: what "
            "vidcaption features or another one left is used, what is missing is added. "
            "Below --out unless given.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")
    ] = False,
) -> int:
    """Train a model on captioned images and videos: with a frozen CNN first, then end to end.

    Needs the extra "train". The folder can be given to run --model and to evaluate; its
    training.html shows how it went and what the model says. Under torchrun all its processes train
    one model.
    """
    from vidcaption.cli.voice import make_progress
    from vidcaption.datasets.read import read_dataset
    from vidcaption.datasets.samples import with_splits
    from vidcaption.datasets.sentences import read_sentences

    samples = [s for path in datasets for s in with_splits(read_dataset(path), training.seed)]
    texts = [sentence for path in text or () for sentence in read_sentences(path)]

    from vidcaption.model.device import Machine
    from vidcaption.model.folder import load
    from vidcaption.store import resolve
    from vidcaption.training.backbone import find_weights
    from vidcaption.training.distributed import World, own_device
    from vidcaption.training.page import write_training_page
    from vidcaption.training.trainer import DEV_FRAMES, Trainer

    start = load(resolve(init)) if init else None
    # a checkpoint has the CNN already, and so has a model
    weights = None if resume or start else find_weights(config.backbone, backbone_weights)
    found = Machine.find(own_device(machine))
    world = World(found.device)
    spoken = voice if world.first else replace(voice, quiet=True, verbose=False)
    with make_progress(spoken) as progress:
        trainer = Trainer(
            *(out, config, training, found, samples, progress, world),
            texts=texts,
            imagenet=weights,
            init=start,
            features=features,
        )
        if trainer.run(resume).history and world.first:
            progress.add_task("training.html", total=None)
            write_training_page(out, trainer.dev, DEV_FRAMES, found)
    world.leave()
    return 0
