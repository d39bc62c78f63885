from copy import deepcopy

import pytest
import torch
from processors import needs_bf16
from torch import nn

from vidcaption.model.config import InputConfig
from vidcaption.model.device import Machine
from vidcaption.model.efficientnet import SamePad
from vidcaption.model.encoder import Encoder
from vidcaption.model.fused import FusedConvolution, _fuse, fused

CPU = Machine(torch.device("cpu"), torch.float32)
IMAGES = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)


def encoder(backbone="mobilenet_v2"):
    return Encoder(InputConfig(backbone=backbone, image_size=64, grid=2)).eval()


def kinds(network):
    return {type(module) for module in network.modules()}


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenet_v3_large", "googlenet"])
def test_computes_the_same(backbone):
    plain = encoder(backbone)
    faster = fused(plain, CPU)
    assert FusedConvolution in kinds(faster) and nn.Conv2d not in kinds(faster)
    with torch.inference_mode():
        got, expected = faster(IMAGES), plain(IMAGES)
    assert (got - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("side", [64, 70, 33])
def test_pads_inside_depthwise_convolutions(side):
    """Sides of 64, 32, 16, 8 and 4; of 70, 35, 18, 9 and 5; of 33, 17, 9, 5 and 3."""
    plain = encoder("efficientnet_lite2").trunk
    for layer in plain.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias)
    faster = deepcopy(plain)
    _fuse(faster, torch.float32)
    pads = [layer for layer in faster.modules() if isinstance(layer, SamePad)]
    assert len(pads) == 1  # before the first convolution, which is not depthwise
    maps = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        torch.testing.assert_close(faster(maps), plain(maps), rtol=1e-4, atol=1e-4)


def test_nothing_is_left_of_the_activations():
    assert not kinds(fused(encoder(), CPU)) & {nn.ReLU, nn.ReLU6, nn.Hardswish}


def test_the_encoder_itself_stays_as_it_is():
    plain = encoder()
    before = kinds(plain)
    fused(plain, CPU)
    assert kinds(plain) == before


@needs_bf16
def test_computes_in_half_precision_what_autocast_does():
    plain = encoder()
    machine = Machine(CPU.device, torch.bfloat16)
    with torch.inference_mode(), machine.autocast():
        got, expected = fused(plain, machine)(IMAGES), plain(IMAGES)
    assert got.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=0.05, atol=0.05)


def test_other_devices_take_the_plain_one():
    plain = encoder()
    assert fused(plain, Machine(torch.device("cuda"), torch.float16)) is plain


def test_without_the_operations_there_is_no_copy(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = encoder()
    assert fused(plain, CPU) is plain
