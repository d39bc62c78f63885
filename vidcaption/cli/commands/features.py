"""``vidcaption features``."""

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.captioning import resolve_with_bar
from vidcaption.cli.flags import Datasets, Offline, complete_model, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import UsageError
from vidcaption.events import VERBOSE
from vidcaption.model.config import InputConfig
from vidcaption.options.captioning import DeviceOptions
from vidcaption.options.output import VoiceOptions
from vidcaption.options.training import FeatureOptions

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption features data.csv -o features --model default
    vidcaption train data.csv --out my-model --init default --features features
    """,
    first="out model frames device offline",
)
@with_options
def features(
    datasets: Datasets,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the features of any number of CNNs.")
    ],
    options: FeatureOptions,
    config: InputConfig,
    place: DeviceOptions,
    voice: VoiceOptions,
    backbone_weights: Annotated[
        str,
        typer.Option(
            metavar="imagenet|FILE",
            help="The CNN's weights: torchvision's, or a torchvision state dict (.pth or "
            ".safetensors); for several CNNs a file for each, joined by +.",
        ),
    ] = "imagenet",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=complete_model,
            help="The model whose CNN to use, for train --init MODEL; the CNN options then have no "
            "effect.",
        ),
    ] = None,
    offline: Offline = False,
) -> int:
    """Compute the CNN's features of a dataset, for any number of trainings.

    The folder is for train --features. Only missing features are computed, so an interrupted
    command can be run again. Prints the folder of this CNN's features.
    """
    from vidcaption.cli.console import make_bar, put
    from vidcaption.cli.references import read_references
    from vidcaption.datasets.samples import with_splits
    from vidcaption.output.text import counted
    from vidcaption.output.write import check_writable

    check_writable([out / "any"])  # before weights are fetched
    if backbone_weights == "none" and model is None:
        raise UsageError(
            "--backbone-weights none is random, so its features are useless for training; name a "
            "file of weights, or imagenet"
        )
    known = [s for path in datasets for s in with_splits(read_references(path), seed=0)]
    samples = [s for split in ("train", "dev") for s in known if s.split == split and s.has_target]
    if not samples:
        raise UsageError(
            "no sample with a caption, label or score is in the split 'train' or 'dev' for training"
        )

    from vidcaption.model.device import Machine
    from vidcaption.model.encoder import Encoder
    from vidcaption.model.folder import load
    from vidcaption.training.backbone import find_weights
    from vidcaption.training.features import FeatureCache
    from vidcaption.training.tracks import learn_tracks

    if model is not None:
        encoder = load(resolve_with_bar(model, offline, voice)).network.encoder
    else:
        encoder = Encoder(config)
        if weights := find_weights(config.backbones, backbone_weights):
            encoder.load_imagenet(weights)
    machine = Machine.find(place)
    machine.keep_freed_memory()
    logger.log(VERBOSE, f"{encoder.config.backbone} on {machine.device} in {machine.precision}")
    encoder.to(machine.device).eval()
    if model is None and encoder.tracks is not None:
        learn_tracks(encoder, [sample for sample in samples if sample.split == "train"])

    began_s = time.monotonic()
    cache = FeatureCache(out, encoder, samples, options.frames, machine)
    bar = make_bar(voice)
    with bar or nullcontext():
        computed = cache.fill(encoder, bar.begin if bar else None, options.workers)
    elapsed_s = time.monotonic() - began_s
    logger.info(
        f"features of {counted(len(samples), 'sample')}, {computed} computed in {elapsed_s:.1f} s"
    )
    put(f"{cache.folder}\n")
    return 0
