"""What a network can be made of: by name, the class that is that part.

The names are the choices of the options of the same name. Loads no PyTorch: a class is imported
when it is looked up, so that ``--help`` need not wait for it. A new part is a class in its module
and a line here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Backbone:
    """The convolutional part of a torchvision classifier: its last child, and the channels that
    it gives. ``own``: the function that makes these layers without torchvision."""

    last: str
    channels: int
    own: str | None = None


def load(name: str) -> Any:
    """What has this name in ``vidcaption.model``, such as ``cells.GRUCell``."""
    module, _, part = name.partition(".")
    return getattr(import_module(f"vidcaption.model.{module}"), part)


class Parts(Mapping[str, Any]):
    """Classes by the names that users know them by."""

    def __init__(self, **classes: str) -> None:
        self._classes = classes

    def __getitem__(self, name: str) -> Any:
        return load(self._classes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


BACKBONES = {
    "efficientnet_lite2": Backbone("features", 1280, "efficientnet.efficientnet_lite2"),
    "mobilenet_v2": Backbone("features", 1280, "mobilenet.mobilenet_v2"),
    "mobilenet_v3_large": Backbone("features", 960),
    "resnet50": Backbone("layer4", 2048),
    "inception_v3": Backbone("Mixed_7c", 2048),
    "googlenet": Backbone("inception5b", 1024),
    "vgg16": Backbone("features", 512),
}
TEMPORAL = Parts(
    none="temporal.NoTemporal",
    lstm="temporal.TemporalLSTM",
    forward="temporal.ForwardLSTM",
    s2vt="temporal.ReadThenWrite",
)
ATTENTIONS = Parts(
    none="attention.NoAttention",
    dot="attention.DotAttention",
    additive="attention.AdditiveAttention",
    hard="attention.HardAttention",
)
CELLS = Parts(lstm="cells.LSTMCell", gru="cells.GRUCell")
HEADS = Parts(
    caption="decoder.Decoder",
    classes="heads.ClassesHead",
    score="heads.ScoreHead",
    joint="joint.JointHead",
    alignment="alignment.AlignmentHead",
    regions="regions.RegionsHead",
)
FED = ("frames", "tracks", "concepts")  # what a decoder can be shown
MATCHING = ("joint", "alignment")  # heads that compare windows with sentences, and say nothing
