"""Options for training and evaluation."""

import functools
from dataclasses import dataclass
from typing import Any, Literal

from vidcaption.options.base import Options, option

_epochs = functools.partial(option, at_least=0, at_most=1000)
_batch = functools.partial(option, at_least=1, at_most=4096)
_frames = functools.partial(option, at_least=1, at_most=64)
_weight = functools.partial(option, at_least=0, at_most=100)
_rate = functools.partial(option, above=0, at_most=1)
_share = functools.partial(option, at_least=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Samples."""

    frames: int = option(
        0, "Frames per sample; 0: as many as the model learned from.", at_least=0, at_most=64
    )


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """Features."""

    frames: int = _frames(8, "Maximum number of frames per sample.")
    workers: int = option(2, "Threads that read frames ahead of the CNN.", at_least=1, at_most=256)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Training: first on cached features of a frozen CNN, then end to end."""

    stage: tuple[dict[str, Any], ...] = option(
        (),
        "A stage, as a TOML table; once for each. They replace those of the options below.",
    )
    concept_epochs: int = _epochs(
        6, "Epochs of the content classifier, which come first, with --concept-slots."
    )
    epochs: int = _epochs(7, "Epochs with the CNN frozen; those of other stages come on top.")
    finetune_epochs: int = _epochs(4, "Further epochs that also train the CNN.")
    scst_epochs: int = _epochs(
        0, "Further epochs that reward sampled captions by CIDEr, with the CNN frozen."
    )
    batch: int = _batch(32, "Batch size.", flag="--batch-size")
    finetune_batch: int = _batch(
        32, "Batch size when the CNN is trained as well.", flag="--finetune-batch-size"
    )
    frames: int = _frames(
        2,
        "Maximum number of frames per clip; batches draw 1, 2, 4... up to it. The model will see "
        "windows in as many, unless told otherwise.",
    )
    finetune_frames: int = _frames(2, "The same when the CNN is trained as well.")
    cached_frames: int = _frames(
        8, "Frames per sample whose features are cached; clips are drawn from them."
    )
    camera: Literal["moves", "still"] = option(
        "moves",
        "moves: a simulated camera pans, zooms and mirrors each clip at random; still: for what "
        "depends on the direction of motion, as with --input flow.",
    )
    finetune_from: int = option(
        4, "Number of first blocks of the CNN that stay frozen.", at_least=0
    )
    text_batch: int = option(
        96, "Sentences of --text mixed into each step.", at_least=0, at_most=4096
    )
    text_weight: float = _weight(0.5, "Loss weight of these sentences.")
    concept_weight: float = _weight(
        0.05, "Weight of the content classifier's loss when the CNN is trained as well."
    )
    captions: int = option(3, "Captions drawn per sample and epoch.", at_least=1, at_most=100)
    min_count: int | None = option(
        None, "Rarer words are unknown.  [default: 5, less for small datasets]",
        at_least=1,
    )  # fmt: skip
    optimizer: Literal["adamw", "adam", "adagrad"] = option("adamw", "Optimizer.")
    lr: float = _rate(8e-4, "Peak learning rate.")
    concept_lr: float = _rate(
        1e-3, "Peak learning rate of the content classifier in its own epochs."
    )
    finetune_lr: float = _rate(3e-4, "Peak learning rate when the CNN is trained as well.")
    backbone_lr: float = _rate(1e-4, "Peak learning rate of the CNN.")
    scst_lr: float = _rate(1e-4, "Peak learning rate when captions are rewarded.")
    scst_temperature: float = option(
        0.5, "Temperature for sampling the captions that are rewarded.", above=0, at_most=2
    )
    scst_concepts: float = _weight(
        0.5, "Reward for naming the concepts of a sample, relative to CIDEr, with --concept-slots."
    )
    scst_imitate: float = _weight(
        0.1, "Weight of the cross entropy of reference captions beside the reward."
    )
    warmup: float = _share(0.05, "Share of steps in which the learning rate rises; then it decays.")
    weight_decay: float = _share(0.01, "AdamW's weight decay.")
    label_smoothing: float = option(0.1, "Label smoothing.", at_least=0, at_most=0.9)
    own_words: float = _share(
        0.0, "Scheduled sampling: share of the model's own words, rising from 0 to this."
    )
    even_attention: float = _weight(
        0.0, "Weight of a loss that spreads attention evenly over a caption's words; 0: none."
    )
    clip_norm: float = option(1.0, "Gradient clipping: maximum norm.", above=0)
    ema: float = _share(
        0.995, "Decay of the moving average of the weights, which is what is saved; 0: none."
    )
    select: Literal["cider", "loss"] = option(
        "cider",
        "Dev score that selects the best epoch; cider stands for the accuracy of labels, "
        "Spearman's correlation of scores, and the mAP of regions.",
    )
    patience: int = option(
        3, "Early stopping: epochs of a stage without a better dev score.", at_least=1
    )
    workers: int = option(
        1, "Processes that load clips; 0 loads them in the main process.", at_least=0, at_most=64
    )
    seed: int = option(1, "Random seed.", at_least=0)
