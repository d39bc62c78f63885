import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from vidcaption.errors import ModelError
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.efficientnet import STAGES, SamePad, efficientnet_lite2
from vidcaption.model.encoder import Encoder
from vidcaption.model.fused import fused

CONFIG = ModelConfig.flat(backbone="efficientnet_lite2", image_size=64, grid=2)


@pytest.fixture(scope="module")
def weights():
    """Random weights in TensorFlow's names, which keep the scale of what passes through."""
    random = torch.Generator().manual_seed(0)

    def layer(outer, inner, kernel, groups=1):
        fan_in = inner // groups * kernel**2
        shape = (outer, inner // groups, kernel, kernel)
        weight = torch.randn(shape, generator=random) * (2 / fan_in) ** 0.5
        return weight, 0.1 * torch.randn(outer, generator=random)

    layers, channels, index = {"stem": layer(32, 3, 3)}, 32, 0
    for expansion, kernel, outer, count, _ in STAGES:
        for _ in range(count):
            wide = channels * expansion
            if expansion > 1:
                layers[f"blocks.{index}.expand"] = layer(wide, channels, 1)
            layers[f"blocks.{index}.dw"] = layer(wide, wide, kernel, wide)
            layers[f"blocks.{index}.project"] = layer(outer, wide, 1)
            channels, index = outer, index + 1
    layers["head"] = layer(1280, channels, 1)
    tensors = {
        f"{name}.{kind}": x
        for name, pair in layers.items()
        for kind, x in zip(("weight", "bias"), pair, strict=True)
    }
    tensors["fc.weight"] = torch.randn(10, 1280, generator=random)
    tensors["fc.bias"] = torch.randn(10, generator=random)
    return tensors


@pytest.fixture(scope="module")
def path(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("backbone") / "lite2.safetensors"
    save_file(weights, path)
    return path


def reference(weights, x):
    """EfficientNet-Lite2 written down a second time, one operation after another."""

    def conv(x, name, stride=1, depthwise=False):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        kernel = weight.shape[-1]
        total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
        (top, left), (height, width) = [n // 2 for n in total], total
        x = F.pad(x, (left, width - left, top, height - top))
        return F.conv2d(x, weight, bias, stride, groups=len(weight) if depthwise else 1)

    x = F.relu6(conv(x, "stem", 2))
    index = 0
    for expansion, _, _, count, first in STAGES:
        for number in range(count):
            name, stride = f"blocks.{index}", 1 if number else first
            y = F.relu6(conv(x, f"{name}.expand")) if expansion > 1 else x
            y = conv(F.relu6(conv(y, f"{name}.dw", stride, depthwise=True)), f"{name}.project")
            x = x + y if y.shape == x.shape else y
            index += 1
    return F.relu6(conv(x, "head"))


@pytest.mark.parametrize("size", [64, 75])
def test_computes_what_tensorflow_does(weights, path, size):
    encoder = Encoder(CONFIG.input).eval()
    last = encoder.load_imagenet([path])
    assert torch.equal(last.weight, weights["fc.weight"])
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(
            encoder.trunk(images), reference(weights, images), rtol=1e-3, atol=1e-3
        )


def test_the_fused_copy_computes_the_same(path):
    encoder = Encoder(CONFIG.input).eval()
    encoder.load_imagenet([path])
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        copy = fused(encoder, Machine(torch.device("cpu"), torch.float32))
        torch.testing.assert_close(copy(images), encoder(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "before", "after"),
    [(3, 2, 224, 0, 1), (3, 2, 225, 1, 1), (5, 2, 56, 1, 2), (5, 2, 57, 2, 2), (3, 1, 7, 1, 1)],
)
def test_pads_the_smaller_half_first(kernel, stride, size, before, after):
    padded = SamePad(kernel, stride)(torch.ones(1, 1, size, size))[0, 0]
    assert padded.shape == (before + size + after,) * 2
    assert padded[:before].sum() == 0 and padded[before, before] == 1
    assert padded[before + size :].sum() == 0
    assert (padded.shape[0] - kernel) // stride + 1 == -(-size // stride)


def test_has_the_published_size():
    trunk = sum(parameter.numel() for parameter in efficientnet_lite2().parameters())
    assert round((trunk + 1280 * 1000 + 1000) / 1e6, 1) == 6.1  # with batch norm folded away


def test_weights_of_another_network_are_refused(tmp_path, weights):
    few = {name: x for name, x in weights.items() if not name.startswith("head")}
    odd = weights | {"stem.weight": torch.zeros(1)}
    for name, tensors, reason in (
        ("few", few, "it has no tensor head.weight"),
        ("odd", odd, r"features.0.1.weight has shape \(1,\), not \(32, 3, 3, 3\)"),
    ):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelError, match=f"fit TensorFlow's EfficientNet-Lite2: {reason}"):
            Encoder(CONFIG.input).load_imagenet([tmp_path / f"{name}.safetensors"])
