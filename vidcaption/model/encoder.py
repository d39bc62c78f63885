"""Frames to region vectors: a CNN as torchvision has them, without its classifier."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidcaption.errors import ModelError
from vidcaption.model.config import CnnConfig
from vidcaption.model.mobilenet import mobilenet_v2


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
    import torchvision  # takes as long as PyTorch, and captioning by the default CNN needs none

    # googlenet and inception_v3 warn about, and spend seconds on, an initialisation left unsaid
    extra = {"init_weights": False} if backbone in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(backbone, weights=None, **extra)
    return model


def _folded(backbone: str, model: nn.Module) -> nn.Sequential:
    """The children of a classifier up to the trunk's last, in order, without auxiliary classifiers
    and with batch norm folded away."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in model.named_children():
        if not name.lower().startswith("aux"):
            layers[name] = child
        if name == TRUNKS[backbone].last:
            break
    trunk = nn.Sequential(layers)
    _fold_batch_norm(trunk)
    return trunk


def _make(backbone: str) -> nn.Sequential:
    """A trunk with weights of no meaning."""
    if backbone == "mobilenet_v2":
        return nn.Sequential(OrderedDict(features=mobilenet_v2()))
    return _folded(backbone, _classifier(backbone))


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
        self.trunk = _make(config.backbone).to(memory_format=torch.channels_last)
        for module in self.trunk.modules():
            # without batch norm a random layer must itself keep the variance (He et al. 2015)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.register_buffer("mean", _per_channel(config.mean), persistent=False)
        self.register_buffer("std", _per_channel(config.std), persistent=False)

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
        self.trunk.load_state_dict(_folded(self.config.backbone, classifier).state_dict())

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
        maps: Tensor = self.trunk(pixels.sub_(self.mean).div_(self.std))  # (N, C, H, W)
        if maps.shape[-1] != self.config.grid or maps.shape[-2] != self.config.grid:
            maps = F.adaptive_avg_pool2d(maps, self.config.grid)
        return maps.flatten(2).transpose(1, 2)
