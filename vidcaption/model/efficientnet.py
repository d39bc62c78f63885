"""EfficientNet-Lite2 without batch norm and classifier, padded as TensorFlow trained it.

EfficientNet-B0 (Tan and Le 2019, table 1) 1.1 times as wide and 1.2 times as deep, with ReLU6 and
without squeeze-and-excitation; stem, head, and the depth of the first and the last stage stay B0's.
"""

import torch.nn.functional as F
from torch import Tensor, nn

# of each stage: expansion, kernel, channels, blocks, the first one's stride
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 3, 2),
    (6, 5, 48, 3, 2),
    (6, 3, 88, 4, 2),
    (6, 5, 120, 4, 1),
    (6, 5, 208, 5, 2),
    (6, 3, 352, 1, 1),
)
STEM, CHANNELS = 32, 1280


class SamePad(nn.Module):
    """The zero padding of TensorFlow's ``SAME``, for an output of size / stride, rounded up; if it
    is odd, there is more at the right and bottom.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H + padding, W + padding)."""
        sides: list[int] = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            sides += [total // 2, total - total // 2]
        return F.pad(x, sides)


def _convolution(
    inner: int, outer: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and ReLU6. With stride 1 PyTorch's own padding is the same as TensorFlow's."""
    padding = kernel // 2 if stride == 1 else 0
    convolution = nn.Conv2d(inner, outer, kernel, stride, padding, groups=groups)
    pad = [SamePad(kernel, stride)] if stride > 1 else []
    return [*pad, convolution, nn.ReLU6(inplace=True)]


class Block(nn.Module):
    """Expand, depthwise convolution, project; added to the input if the shape allows."""

    def __init__(self, inner: int, outer: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inner * expansion
        self.adds = stride == 1 and inner == outer
        self.conv = nn.Sequential(
            *(_convolution(inner, wide) if expansion > 1 else []),
            *_convolution(wide, wide, kernel, stride, groups=wide),
            nn.Conv2d(wide, outer, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inner, H, W) -> (N, outer, H / stride, W / stride), rounded up."""
        out: Tensor = self.conv(x)
        return x + out if self.adds else out


def efficientnet_lite2() -> nn.Sequential:
    """(N, 3, H, W) -> (N, 1280, H / 32, W / 32), rounded up."""
    features: list[nn.Module] = [nn.Sequential(*_convolution(3, STEM, 3, stride=2))]
    channels = STEM
    for expansion, kernel, outer, count, stride in STAGES:
        for index in range(count):
            first = 1 if index else stride
            features.append(Block(channels, outer, expansion, kernel, first))
            channels = outer
    features.append(nn.Sequential(*_convolution(channels, CHANNELS)))
    return nn.Sequential(*features)


def trunk_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in the names of TensorFlow's layers (``stem``, ``blocks.N.expand``, ``.dw``,
    ``.project``, ``head``), by the names of ``efficientnet_lite2``'s parameters."""
    model = efficientnet_lite2()
    names = ["stem"]
    for index in range(len(model) - 2):
        parts = ("dw", "project") if index == 0 else ("expand", "dw", "project")
        names += [f"blocks.{index}.{part}" for part in parts]
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    return {
        f"{layer}.{kind}": weights[f"{name}.{kind}"]
        for layer, name in zip(layers, [*names, "head"], strict=True)
        for kind in ("weight", "bias")
    }
