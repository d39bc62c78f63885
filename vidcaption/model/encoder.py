"""Frames to region vectors: a CNN as torchvision has them, without its classifier."""

import struct
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidcaption.errors import ModelError
from vidcaption.model import efficientnet
from vidcaption.model.config import InputConfig
from vidcaption.model.parts import BACKBONES, load
from vidcaption.model.tracks import Tracks


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
        if name == BACKBONES[backbone].last:
            break
    trunk = nn.Sequential(layers)
    _fold_batch_norm(trunk)
    return trunk


def _make(backbone: str) -> nn.Sequential:
    """A trunk with weights of no meaning."""
    if own := BACKBONES[backbone].own:
        return nn.Sequential(OrderedDict(features=load(own)()))
    return _folded(backbone, _classifier(backbone))


def _source(backbone: str) -> str:
    """Whose weights fit a backbone."""
    if backbone == "efficientnet_lite2":
        return "TensorFlow's EfficientNet-Lite2"
    return f"torchvision's {backbone}"


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


def _load_classifier(backbone: str, trunk: nn.Module, path: Path) -> nn.Linear:
    """Give a trunk the weights of a whole classifier, whose last layer this returns. Raises
    ModelError."""
    weights = _read_weights(path, _source(backbone))
    try:
        if backbone == "efficientnet_lite2":
            own = efficientnet.trunk_weights(weights)
            _fill(trunk, {f"features.{name}": x for name, x in own.items()})
            last: nn.Module = nn.Linear(efficientnet.CHANNELS, weights["fc.bias"].numel())
            _fill(last, {x: weights[f"fc.{x}"] for x in ("weight", "bias")})
        else:
            classifier = _classifier(backbone)
            _fill(classifier, weights)
            trunk.load_state_dict(_folded(backbone, classifier).state_dict())
            last = [x for x in classifier.modules() if isinstance(x, nn.Linear)][-1]
    except (KeyError, ValueError) as error:
        reason = error if isinstance(error, ValueError) else f"it has no tensor {error.args[0]}"
        raise ModelError(f"{path} does not fit {_source(backbone)}: {reason}") from error
    assert isinstance(last, nn.Linear)
    return last


def _read_weights(path: Path, source: str) -> dict[str, Tensor]:
    """Tensors by name. Raises ModelError."""
    refused = ModelError(
        f"{path} does not hold tensors by name; give a state dict of {source}, as .safetensors or "
        "as torch.save writes it (.pth)"
    )
    try:
        with path.open("rb"):  # says why a file cannot be read, in the same words for both kinds
            pass
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # of odd pickles
                weights = torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (
        *(SafetensorError, RuntimeError, UnpicklingError, EOFError, struct.error),
        *(AssertionError, AttributeError, LookupError, TypeError, ValueError),
    ) as error:
        raise refused from error
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in weights.items()
    ):
        raise refused
    return weights


def _fill(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load a state dict. Raises ValueError that names a tensor that does not fit."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = next(_misfits(weights, module.state_dict()), "its tensors cannot be copied")
        raise ValueError(reason) from error


def _misfits(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> Iterator[str]:
    for name, tensor in wanted.items():
        # PyTorch itself fills in the count of batches, which older files lack
        if name not in weights and not name.endswith("num_batches_tracked"):
            yield f"it has no tensor {name}"
        elif name in weights and weights[name].shape != tensor.shape:
            yield f"{name} has shape {tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
    for name in weights.keys() - wanted.keys():
        yield f"it has an unknown tensor {name}"


def _pool(maps: Tensor, grid: int) -> Tensor:
    return maps if maps.shape[-2:] == (grid, grid) else F.adaptive_avg_pool2d(maps, grid)


def _pyramid(maps: Tensor, levels: int) -> Tensor:
    """(N, C, H, W) -> (N, P * C, 1, 1): the mean of the maps, of each of their quarters and so on,
    P parts in all (Lazebnik et al. 2006)."""
    parts = [F.adaptive_avg_pool2d(maps, 2**level).flatten(2) for level in range(levels)]
    return torch.cat(parts, 2).transpose(1, 2).flatten(1)[..., None, None]


def _over_crops(cnn: nn.Module, pixels: Tensor, crops: int) -> Iterator[Tensor]:
    """The maps of whole pictures; or of their corners and centre, 224 of 256 pixels (Krizhevsky et
    al. 2012, section 4.1); with 10 crops also those of the mirrored ones, mirrored back."""
    if crops == 1:
        yield cnn(pixels)
        return
    side = pixels.shape[-1] * 7 // 8
    end = pixels.shape[-1] - side
    for top, left in ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)):
        crop = pixels[..., top : top + side, left : left + side]
        yield cnn(crop)
        if crops == 10:
            yield cnn(crop.flip(-1)).flip(-1)


class Encoder(nn.Module):
    """One CNN, or several, over single frames; weights are random until loaded.

    ``channels``: of their vectors, after which come the ``words`` of ``tracks``, if there are some.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: InputConfig) -> None:
        super().__init__()
        self.config = config
        parts = sum(4**level for level in range(config.pyramid))
        self.channels = parts * sum(BACKBONES[name].channels for name in config.backbones)
        trunks = {name: _make(name) for name in config.backbones}
        self.trunk: nn.Module
        if len(trunks) > 1:
            self.trunk = nn.ModuleDict(trunks)
        else:
            self.trunk = trunks[config.backbone]
        self.trunk.to(memory_format=torch.channels_last)
        for module in self.trunk.modules():
            # without batch norm a random layer must itself keep the variance (He et al. 2015)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.tracks = Tracks(config.tracks) if config.tracks else None
        self.words = self.tracks.channels if self.tracks else 0
        self.register_buffer("mean", _per_channel(config.mean), persistent=False)
        self.register_buffer("std", _per_channel(config.std), persistent=False)

    def load_imagenet(self, paths: Sequence[Path]) -> nn.Linear | None:
        """Take the weights of whole ImageNet classifiers, one file for each backbone: safetensors
        or a ``.pth`` that holds tensors only, of torchvision's, or EfficientNet-Lite2's in
        TensorFlow's names.

        Returns the last layer, (C -> classes), where it reads the pooled features. Raises
        ModelError.
        """
        for (backbone, trunk), path in zip(self._trunks().items(), paths, strict=True):
            last = _load_classifier(backbone, trunk, path)
        return last if last.in_features == self.channels else None

    def _trunks(self) -> dict[str, nn.Module]:
        if isinstance(self.trunk, nn.ModuleDict):
            return dict(self.trunk.items())
        return {self.config.backbone: self.trunk}

    def train_from(self, block: int) -> list[nn.Parameter]:
        """Let all but the first ``block`` blocks of each CNN train, and give their parameters.

        Edges and colours need no training, and at their high resolution they cost the most.
        """
        self.requires_grad_(False)
        trained = nn.ModuleList()
        for trunk in self._trunks().values():
            parts = list(trunk.children())
            blocks = list(parts[0].children()) if len(parts) == 1 else parts
            trained.extend(blocks[block:])
        return list(trained.requires_grad_(True).parameters())

    def forward(self, images: Tensor) -> Tensor:
        """``images``: (N, 3, S, S) uint8 RGB -> (N, R, C) float, R = grid * grid region vectors; or
        with optical flow, if ``tracks`` need it."""
        seen = images if self.tracks is None else images[:, self.config.picture]
        pixels = seen.to(memory_format=torch.channels_last, dtype=torch.float32)
        pixels = pixels.sub_(self.mean).div_(self.std)
        vectors = [self._see(cnn, pixels) for cnn in self._trunks().values()]
        if self.tracks is not None:
            words = _pool(self.tracks(images[:, 3:]), self.config.grid)
            vectors.append(words.to(vectors[0].dtype))
        return torch.cat(vectors, 1).flatten(2).transpose(1, 2)

    def _see(self, cnn: nn.Module, pixels: Tensor) -> Tensor:
        """What one CNN makes of normalized pixels, the mean over crops: (N, C, grid, grid)."""
        grid, levels = self.config.grid, self.config.pyramid
        vectors = [
            _pyramid(maps, levels) if levels > 1 else _pool(maps, grid)
            for maps in _over_crops(cnn, pixels, self.config.crops)
        ]
        return vectors[0] if len(vectors) == 1 else torch.stack(vectors).mean(0)
