"""MobileNetV2 without batch norm and classifier, so that captioning needs no torchvision.

Importing torchvision takes as long as importing PyTorch. Its other networks are used from there;
this one is small enough to be defined here (Sandler et al. 2018, table 2).
"""

from torch import Tensor, nn

from vidcaption.model.efficientnet import SamePad

# of each stage: how much wider blocks are inside, their channels, how many, the first one's stride
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, CHANNELS = 32, 1280


def _convolution(
    inner: int, outer: int, kernel: int = 1, stride: int = 1, groups: int = 1, same: bool = False
) -> nn.Sequential:
    pads = same and stride > 1  # with stride 1 both paddings are the same
    padding = 0 if pads else kernel // 2
    convolution = nn.Conv2d(inner, outer, kernel, stride, padding, groups=groups)
    before = [SamePad(kernel, stride)] if pads else []
    return nn.Sequential(*before, convolution, nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; added to the input if the shape allows."""

    def __init__(self, inner: int, outer: int, widen: int, stride: int, same: bool) -> None:
        super().__init__()
        wide = inner * widen
        self.adds = stride == 1 and inner == outer
        self.conv = nn.Sequential(
            *([_convolution(inner, wide)] if widen > 1 else []),
            _convolution(wide, wide, 3, stride, groups=wide, same=same),
            nn.Conv2d(wide, outer, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inner, H, W) -> (N, outer, H / stride, W / stride)."""
        out: Tensor = self.conv(x)
        return x + out if self.adds else out


def mobilenet_v2(same: bool = False) -> nn.Sequential:
    """(N, 3, H, W) -> (N, 1280, H / 32, W / 32), rounded up.

    ``same``: padded as TensorFlow trains it, which puts an odd zero at the right and bottom.

    Parameters have torchvision's names and shapes, and the biases that folding its batch norms
    into its convolutions gives.
    """
    features: list[nn.Module] = [_convolution(3, STEM, 3, stride=2, same=same)]
    channels = STEM
    for widen, outer, count, stride in STAGES:
        for index in range(count):
            first = 1 if index else stride
            features.append(InvertedResidual(channels, outer, widen, first, same))
            channels = outer
    features.append(_convolution(channels, CHANNELS))
    return nn.Sequential(*features)
