"""The stages of a training as data: what each trains, on what, by which objectives.

Flags alone build the usual four. Tables, as ``[[train.stage]]`` in a file, are the stages instead:
those with the name of a usual one take from it what they do not say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from vidcaption.errors import UsageError
from vidcaption.model.network import CaptionNetwork
from vidcaption.options.base import nearest
from vidcaption.options.training import TrainOptions
from vidcaption.training.objectives import OBJECTIVES

SOURCES = ("features", "pixels")
_OWN = ("name", "source", "trains", "objectives")
# the options that a stage may have a value of its own for, by key
_OPTIONS = (
    *("epochs", "batch-size", "frames", "cached-frames", "camera", "finetune-from", "captions"),
    *("text-batch", "optimizer", "warmup", "weight-decay", "label-smoothing", "own-words"),
    *("clip-norm", "even-attention", "ema", "patience", "scst-temperature", "scst-concepts"),
)


def _decoder(network: CaptionNetwork, options: TrainOptions) -> list[nn.Parameter]:
    """All but CNN, classifier and detector, and the confidence, which is fitted at the end."""
    others = (network.encoder, network.classifier, network.detector, network.confidence)
    held = {id(p) for each in others if each is not None for p in each.parameters()}
    return [p for p in network.parameters() if id(p) not in held]


def _cnn(network: CaptionNetwork, options: TrainOptions) -> list[nn.Parameter]:
    return network.encoder.train_from(options.finetune_from)


def _classifier(network: CaptionNetwork, options: TrainOptions) -> list[nn.Parameter]:
    return list(network.classifier.parameters()) if network.classifier else []


def _joint(network: CaptionNetwork, options: TrainOptions) -> list[nn.Parameter]:
    return list(network.heads["joint"].parameters()) if "joint" in network.heads else []


PARTS: dict[str, Callable[[CaptionNetwork, TrainOptions], list[nn.Parameter]]] = {
    "decoder": _decoder,
    "cnn": _cnn,
    "classifier": _classifier,
    "joint": _joint,
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some epochs with one cycle of the learning rate.

    ``source``: ``features`` of the CNN, computed once, or ``pixels``. ``trains``: the highest
    learning rate of each part of the network that trains, see PARTS. ``objectives``: the weight of
    each, see OBJECTIVES; the first decides which samples are seen, and how an epoch is judged.
    ``options``: those of the training, with what the stage has instead.
    """

    name: str
    source: str
    trains: Mapping[str, float]
    objectives: Mapping[str, float]
    options: TrainOptions

    def parameters(self, network: CaptionNetwork) -> list[tuple[list[nn.Parameter], float]]:
        """Let what the stage trains require gradients, and nothing else; with the rates of each.

        Empty where ``network`` has none of these parts.
        """
        network.requires_grad_(False)
        groups = []
        for part, rate in self.trains.items():
            if parameters := PARTS[part](network, self.options):
                groups.append((parameters, rate))
        for parameters, _ in groups:
            for parameter in parameters:
                parameter.requires_grad_(True)
        return groups


def stages_of(options: TrainOptions) -> list[Stage]:
    """The stages that have epochs, in order. Raises UsageError for a table that makes none."""
    usual = _usual(options)
    tables = options.stage or [{"name": name} for name in usual]
    stages = [_stage(table, usual, options) for table in tables]
    return [stage for stage in stages if stage.options.epochs]


def _usual(options: TrainOptions) -> dict[str, dict[str, Any]]:
    """The tables of the stages that flags build."""
    o = options
    return {
        "concepts": {
            "epochs": o.concept_epochs,
            "frames": 2,
            "trains": {"classifier": o.concept_lr},
            "objectives": {"concepts": 1.0},
        },
        "frozen": {
            "epochs": o.epochs,
            "trains": {"decoder": o.lr},
            "objectives": {
                "captions": 1.0,
                "labels": 1.0,
                "scores": 1.0,
                "joint": 1.0,
                "alignment": 1.0,
                "regions": 1.0,
                "texts": o.text_weight,
            },
        },
        "finetune": {
            "epochs": o.finetune_epochs,
            "source": "pixels",
            "batch-size": o.finetune_batch,
            "frames": o.finetune_frames,
            "trains": {
                "decoder": o.finetune_lr,
                "cnn": o.backbone_lr,
                "classifier": o.backbone_lr,
            },
            "objectives": {
                "captions": 1.0,
                "labels": 1.0,
                "scores": 1.0,
                "joint": 1.0,
                "alignment": 1.0,
                "regions": 1.0,
                "texts": o.text_weight,
                "concepts": o.concept_weight,
            },
        },
        # for a model that has learnt the rest; flags alone leave it out
        "joint": {
            "epochs": 0,
            "batch-size": 128,
            "frames": 2,
            "captions": 5,
            "trains": {"joint": 2e-3},
            "objectives": {"joint": 1.0},
        },
        "scst": {
            "epochs": o.scst_epochs,
            "trains": {"decoder": o.scst_lr},
            "objectives": {
                "rewards": 1.0,
                "captions": o.scst_imitate,
                "labels": o.scst_imitate,
                "scores": o.scst_imitate,
                "joint": o.scst_imitate,
                "alignment": o.scst_imitate,
                "regions": o.scst_imitate,
                "texts": o.scst_imitate * o.text_weight,
            },
        },
    }


def _stage(
    table: Mapping[str, Any], usual: Mapping[str, Mapping[str, Any]], options: TrainOptions
) -> Stage:
    """Raises UsageError."""
    name = table.get("name")
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise UsageError(f"a stage has name {name!r}; give each a name, such as 'frozen'")
    known = (*_OWN, *_OPTIONS)
    if unknown := [key for key in table if key not in known]:
        raise UsageError(
            f"stage {name!r} has {unknown[0]!r}, which is unknown; {nearest(unknown[0], known)}"
        )
    values = {"source": "features"} | dict(usual.get(name, {})) | dict(table)
    if missing := [key for key in ("epochs", "trains", "objectives") if key not in values]:
        raise UsageError(
            f"stage {name!r} has no {' and '.join(missing)}; only {', '.join(usual)} have them "
            "unless given"
        )
    if values["source"] not in SOURCES:
        raise UsageError(
            f"stage {name!r} has source {values['source']!r}; allowed are {', '.join(SOURCES)}"
        )
    _check_numbers(name, "trains", values["trains"], PARTS, most=1)
    _check_numbers(name, "objectives", values["objectives"], OBJECTIVES, most=100)
    if "cnn" in values["trains"] and values["source"] == "features":
        raise UsageError(
            f"stage {name!r} trains the cnn on its own features, which do not change; give it "
            "source 'pixels'"
        )
    own = {key.replace("-", "_"): value for key, value in values.items() if key in _OPTIONS}
    try:
        own_options = options.with_flags(own)
    except UsageError as error:
        raise UsageError(f"stage {name!r}: {error}") from error
    return Stage(
        name=name,
        source=values["source"],
        trains=values["trains"],
        objectives=values["objectives"],
        options=own_options,
    )


def _check_numbers(
    name: str, key: str, numbers: Any, known: Mapping[str, Any], most: float
) -> None:
    """Raises UsageError where ``numbers`` is no table of numbers up to ``most`` by known names."""
    if not isinstance(numbers, Mapping) or not numbers:
        raise UsageError(
            f"stage {name!r} has {key} {numbers!r}; it must be a table of numbers, each for one of "
            f"{', '.join(known)}"
        )
    for each, number in numbers.items():
        if each not in known:
            raise UsageError(
                f"stage {name!r} has {each!r} in {key}, which is unknown; {nearest(each, known)}"
            )
        if type(number) not in (int, float) or not 0 <= number <= most:
            raise UsageError(
                f"stage {name!r} has {number!r} for {each} in {key}; it must be a number from 0 "
                f"to {most:g}"
            )
