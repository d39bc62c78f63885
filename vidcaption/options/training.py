"""Options for training and evaluation."""

from dataclasses import dataclass
from typing import Any, Literal

from vidcaption.options.base import Options, option


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Samples."""

    frames: int = option(4, "Frames per sample.", at_least=1, at_most=64)


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """Features."""

    frames: int = option(8, "Maximum number of frames per sample.", at_least=1, at_most=64)
    workers: int = option(2, "Threads that read frames ahead of the CNN.", at_least=1, at_most=256)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Training: first on cached features of a frozen CNN, then end to end."""

    stage: tuple[dict[str, Any], ...] = option(
        (),
        "A stage, as a TOML table; once for each. They replace those of the options below.",
    )
    concept_epochs: int = option(
        6, "Epochs of the content classifier, which come first, with --concept-slots.",
        at_least=0, at_most=1000,
    )  # fmt: skip
    epochs: int = option(7, "Epochs with the CNN frozen.", at_least=0, at_most=1000)
    finetune_epochs: int = option(
        4, "Further epochs that also train the CNN.", at_least=0, at_most=1000
    )
    scst_epochs: int = option(
        0, "Further epochs that reward sampled captions by CIDEr, with the CNN frozen.",
        at_least=0, at_most=1000,
    )  # fmt: skip
    batch: int = option(32, "Batch size.", flag="--batch-size", at_least=1, at_most=4096)
    finetune_batch: int = option(
        32,
        "Batch size when the CNN is trained as well.",
        flag="--finetune-batch-size",
        at_least=1,
        at_most=4096,
    )
    frames: int = option(
        4,
        "Maximum number of frames per clip; batches draw 1, 2, 4... up to it.",
        at_least=1,
        at_most=64,
    )
    finetune_frames: int = option(
        2, "The same when the CNN is trained as well.", at_least=1, at_most=64
    )
    cached_frames: int = option(
        8, "Frames per sample whose features are cached; clips are drawn from them.",
        at_least=1, at_most=64,
    )  # fmt: skip
    finetune_from: int = option(
        4, "Number of first blocks of the CNN that stay frozen.", at_least=0
    )
    text_batch: int = option(
        96, "Sentences of --text mixed into each step.", at_least=0, at_most=4096
    )
    text_weight: float = option(0.5, "Loss weight of these sentences.", at_least=0, at_most=100)
    concept_weight: float = option(
        0.05, "Weight of the content classifier's loss when the CNN is trained as well.",
        at_least=0, at_most=100,
    )  # fmt: skip
    captions: int = option(3, "Captions drawn per sample and epoch.", at_least=1, at_most=100)
    min_count: int | None = option(
        None, "Rarer words are unknown.  [default: 5, less for small datasets]",
        at_least=1,
    )  # fmt: skip
    optimizer: Literal["adamw", "adam", "adagrad"] = option("adamw", "Optimizer.")
    lr: float = option(8e-4, "Peak learning rate.", above=0, at_most=1)
    concept_lr: float = option(
        1e-3, "Peak learning rate of the content classifier in its own epochs.", above=0, at_most=1
    )
    finetune_lr: float = option(
        3e-4, "Peak learning rate when the CNN is trained as well.", above=0, at_most=1
    )
    backbone_lr: float = option(1e-4, "Peak learning rate of the CNN.", above=0, at_most=1)
    scst_lr: float = option(
        1e-4, "Peak learning rate when captions are rewarded.", above=0, at_most=1
    )
    scst_temperature: float = option(
        0.5, "Temperature for sampling the captions that are rewarded.", above=0, at_most=2
    )
    scst_concepts: float = option(
        0.5, "Reward for naming the concepts of a sample, relative to CIDEr, with --concept-slots.",
        at_least=0, at_most=100,
    )  # fmt: skip
    scst_imitate: float = option(
        0.1, "Weight of the cross entropy of reference captions beside the reward.",
        at_least=0, at_most=100,
    )  # fmt: skip
    warmup: float = option(0.05, "Share of steps in which the learning rate rises; then it decays.",
                           at_least=0, at_most=1)  # fmt: skip
    weight_decay: float = option(0.01, "AdamW's weight decay.", at_least=0, at_most=1)
    label_smoothing: float = option(0.1, "Label smoothing.", at_least=0, at_most=0.9)
    own_words: float = option(
        0.0, "Scheduled sampling: share of the model's own words, rising from 0 to this.",
        at_least=0, at_most=1,
    )  # fmt: skip
    even_attention: float = option(
        0.0, "Weight of a loss that spreads attention evenly over a caption's words; 0: none.",
        at_least=0, at_most=100,
    )  # fmt: skip
    clip_norm: float = option(1.0, "Gradient clipping: maximum norm.", above=0)
    ema: float = option(
        0.995, "Decay of the moving average of the weights, which is what is saved; 0: none.",
        at_least=0, at_most=1,
    )  # fmt: skip
    select: Literal["cider", "loss"] = option(
        "cider",
        "Dev score that selects the best epoch; cider stands for the accuracy of labels, and for "
        "Spearman's correlation of scores.",
    )
    patience: int = option(
        3, "Early stopping: epochs of a stage without a better dev score.", at_least=1
    )
    workers: int = option(
        1, "Processes that load clips; 0 loads them in the main process.", at_least=0, at_most=64
    )
    seed: int = option(1, "Random seed.", at_least=0)
