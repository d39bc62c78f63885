import pytest
import torch

from vidcaption.errors import DeviceError, UsageError
from vidcaption.model.device import Machine
from vidcaption.options import DeviceOptions


def test_auto_finds_a_device_that_computes():
    machine = Machine.find()
    with machine.autocast():
        product = torch.ones(2, 2, device=machine.device) @ torch.ones(2, 2, device=machine.device)
    assert product.dtype == machine.dtype
    assert product.sum() == 8


def test_precision_is_taken_as_asked():
    machine = Machine.find(DeviceOptions(device="cpu", precision="bf16"))
    with machine.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:x", ""])
def test_an_unknown_device_is_a_usage_error(name):
    with pytest.raises(UsageError, match="allowed are auto, cpu"):
        Machine.find(DeviceOptions(device=name))


def test_a_device_that_is_not_here_is_a_device_error():
    with pytest.raises(DeviceError, match="CUDA devices"):
        Machine.find(DeviceOptions(device="cuda:99"))


def test_fp16_on_the_cpu_is_refused():
    with pytest.raises(DeviceError, match="use fp32 or bf16"):
        Machine.find(DeviceOptions(device="cpu", precision="fp16"))


@pytest.mark.gpu
def test_cuda_gives_the_captions_of_the_cpu(network, features):
    from vidcaption.model.search import search
    from vidcaption.options import SearchOptions

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    with torch.inference_mode():
        expected = search(network.decoder, network.remember(features), SearchOptions())
        network.cuda()
        got = search(network.decoder, network.remember(features.cuda()), SearchOptions())
    network.cpu()
    assert [c.ids for c in got] == [c.ids for c in expected]
