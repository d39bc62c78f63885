"""The CNN on the CPU, with each activation computed inside the convolution before it.

This is what PyTorch's compiler does with such a network, without minutes of compiling and a C++
compiler: oneDNN's operations, called directly. The results are those of the plain network.
"""

from copy import deepcopy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcaption.model.detector import ObjectDetector
from vidcaption.model.device import Machine
from vidcaption.model.efficientnet import SamePad
from vidcaption.model.encoder import Encoder

Cnn = TypeVar("Cnn", Encoder, ObjectDetector)

Activation = tuple[str, list[float], str]  # oneDNN's name, parameters and variant
_NONE: Activation = ("none", [], "")
_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: ("relu", [], ""),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
    nn.Hardswish: ("hardswish", [], ""),
}


def fused(cnn: Cnn, machine: Machine) -> Cnn:
    """What computes the same faster on this machine: a copy for inference, or the CNN itself.

    PyTorch does not promise the operations that it takes; without them there is no copy.
    """
    operations = torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )
    if machine.device.type != "cpu" or not operations:
        return cnn
    copy = deepcopy(cnn)
    _fuse(copy.trunk, machine.dtype)
    return copy


def _fuse(module: nn.Module, dtype: torch.dtype) -> None:
    """Fuse the convolutions inside ``module``, in place."""
    latest: FusedConvolution | None = None
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            latest = FusedConvolution(child, dtype)
            if before and isinstance(before[1], SamePad) and latest.take_padding(child):
                setattr(module, before[0], nn.Identity())
            setattr(module, name, latest)
        elif latest and isinstance(module, nn.Sequential) and type(child) in _ACTIVATIONS:
            latest.activation = _ACTIVATIONS[type(child)]
            setattr(module, name, nn.Identity())
        elif not isinstance(child, nn.Identity):  # in place of a batch norm
            _fuse(child, dtype)
            latest = None
        before = name, child


class FusedConvolution(nn.Module):
    """A convolution of zero-padded maps and an activation, with weights laid out for oneDNN."""

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.activation = _NONE
        self.dtype = dtype
        plain = convolution
        self._padding = plain.padding
        self._shape = plain.stride, plain.dilation, plain.groups
        assert plain.bias is not None  # batch norms are folded into the convolutions
        self._bias = plain.bias.detach().to(dtype)
        self._weight = self._laid_out(plain.weight)
        self._half: int | None = None  # of the kernel, if it pads as SamePad does

    def _laid_out(self, weight: Tensor) -> Tensor:
        laid_out: Tensor = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            weight.detach().to(self.dtype).to_mkldnn(), self._padding, *self._shape
        )
        return laid_out

    def take_padding(self, convolution: nn.Conv2d) -> bool:
        """Pad as the SamePad before ``convolution`` does, if that is faster than a copy.

        oneDNN pads both ends alike, but SamePad one zero more at the end if a side is even; a
        kernel with a row and a column of zeros in front sees the same. Of a depthwise convolution,
        which has few weights, this costs almost nothing.
        """
        if convolution.groups == 1 or convolution.stride != (2, 2):
            return False
        self._half = convolution.kernel_size[0] // 2  # as long as wide, like SamePad's
        self._weight = self._laid_out(F.pad(convolution.weight, (1, 0, 1, 0)))
        return True

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W') of ``dtype``."""
        padding = self._padding
        if self._half is not None:
            padding = self._half + maps.shape[-2] % 2, self._half + maps.shape[-1] % 2
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps.to(self.dtype), self._weight, self._bias, padding, *self._shape, *self.activation
        )
        return out
