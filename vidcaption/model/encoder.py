"""Frames to region vectors: a torchvision CNN without its classifier."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidcaption.errors import ModelError
from vidcaption.model.config import CnnConfig


@dataclass(frozen=True)
class Trunk:
    """A torchvision model's convolutional part: its last child, and the channels that it gives."""

    last: str
    channels: int


TRUNKS = {
    "mobilenet_v2": Trunk("features", 1280),
    "mobilenet_v3_large": Trunk("features", 960),
    "resnet50": Trunk("layer4", 2048),
    "inception_v3": Trunk("Mixed_7c", 2048),
    "googlenet": Trunk("inception5b", 1024),
    "vgg16": Trunk("features", 512),
}


def _classifier(backbone: str) -> nn.Module:
    # googlenet and inception_v3 warn about, and spend seconds on, an initialisation left unsaid
    extra = {"init_weights": False} if backbone in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(backbone, weights=None, **extra)
    return model


def _cut(model: nn.Module, last: str) -> nn.Sequential:
    """The children of ``model`` up to ``last``, in order, without auxiliary classifiers."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in model.named_children():
        if not name.lower().startswith("aux"):
            layers[name] = child
        if name == last:
            break
    return nn.Sequential(layers)


def _fold_batch_norm(module: nn.Module) -> None:
    """Fold each batch norm into the convolution before it, in place.

    Captioners train on batches too small for batch statistics, so these are frozen anyway; folded,
    they cost neither time nor memory.
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and previous and isinstance(previous[1], nn.Conv2d):
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1].eval(), child.eval()))
            setattr(module, name, nn.Identity())
        else:
            _fold_batch_norm(child)
        previous = (name, child)


def _per_channel(values: tuple[float, float, float]) -> Tensor:
    """Three numbers for RGB in [0, 1] as (3, 1, 1) for RGB in [0, 255]."""
    return 255 * torch.tensor(values, dtype=torch.float32, device="cpu").view(3, 1, 1)


class Encoder(nn.Module):
    """CNN over single frames; weights are random until loaded."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: CnnConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = TRUNKS[config.backbone].channels
        self.trunk = self._trunk(_classifier(config.backbone))
        for module in self.trunk.modules():
            # without batch norm a random layer must itself keep the variance (He et al. 2015)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.register_buffer("mean", _per_channel(config.mean), persistent=False)
        self.register_buffer("std", _per_channel(config.std), persistent=False)

    def _trunk(self, classifier: nn.Module) -> nn.Sequential:
        trunk = _cut(classifier, TRUNKS[self.config.backbone].last)
        _fold_batch_norm(trunk)
        return trunk.to(memory_format=torch.channels_last)

    def load_imagenet(self, path: Path) -> None:
        """Take the weights of a whole torchvision classifier, from safetensors or a ``.pth`` that
        holds tensors only. Raises ModelError."""
        classifier = _classifier(self.config.backbone)
        try:
            if path.suffix == ".safetensors":
                classifier.load_state_dict(load_file(path))
            else:
                classifier.load_state_dict(torch.load(path, "cpu", weights_only=True))
        except (OSError, SafetensorError, RuntimeError, UnpicklingError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"{path} does not fit torchvision's {self.config.backbone}: {reason}"
            ) from error
        self.trunk = self._trunk(classifier)

    def train_from(self, block: int) -> list[nn.Parameter]:
        """Let all but the first ``block`` blocks train, and give their parameters.

        Edges and colours need no training, and at their high resolution they cost the most.
        """
        self.requires_grad_(False)
        parts = list(self.trunk.children())
        blocks = list(parts[0].children()) if len(parts) == 1 else parts
        trained = nn.ModuleList(blocks[block:]).requires_grad_(True)
        return list(trained.parameters())

    def forward(self, images: Tensor) -> Tensor:
        """``images``: (N, 3, S, S) uint8 RGB -> (N, R, C) float, R = grid * grid region vectors."""
        pixels = images.to(memory_format=torch.channels_last, dtype=torch.float32)
        maps: Tensor = self.trunk((pixels - self.mean) / self.std)  # (N, C, H, W)
        if maps.shape[-1] != self.config.grid or maps.shape[-2] != self.config.grid:
            maps = F.adaptive_avg_pool2d(maps, self.config.grid)
        return maps.flatten(2).transpose(1, 2)
