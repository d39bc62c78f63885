import pytest
import torch
from processors import needs_bf16

from vidcaption.errors import DeviceError, UsageError
from vidcaption.model.device import Machine
from vidcaption.model.search import search
from vidcaption.options.captioning import DeviceOptions, SearchOptions


def test_auto_finds_a_device_that_computes():
    machine = Machine.find()
    with machine.autocast():
        product = torch.ones(2, 2, device=machine.device) @ torch.ones(2, 2, device=machine.device)
    assert product.dtype == machine.dtype
    assert product.sum() == 8


@needs_bf16
def test_precision_is_taken_as_asked():
    machine = Machine.find(DeviceOptions(device="cpu", precision="bf16"))
    with machine.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "name", ["gpu", "meta", "cuda:x", "cuda:-1", "cuda:01", "cuda:" + 5000 * "9", "cpu:1", ""]
)
def test_an_unknown_device_is_a_usage_error(name):
    with pytest.raises(UsageError, match="allowed are auto, cpu"):
        Machine.find(DeviceOptions(device=name))


@pytest.mark.parametrize("number", [99, 255, 256, 999])  # PyTorch's number has 8 bits
def test_a_device_that_is_not_here_is_a_device_error(number):
    with pytest.raises(DeviceError, match=f"'cuda:{number}', but PyTorch finds . CUDA devices"):
        Machine.find(DeviceOptions(device=f"cuda:{number}"))


def test_the_processor_may_have_a_number():
    assert Machine.find(DeviceOptions(device="cpu:0")).device.type == "cpu"


def test_bf16_without_avx512_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(DeviceError, match="needs AVX-512"):
        Machine.find(DeviceOptions(device="cpu", precision="bf16"))


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        (lambda: {"avx512_bf16": True}, torch.bfloat16),
        (lambda: {"avx512_bf16": False}, torch.float32),
        (dict, torch.float32),  # another processor
        (None, torch.float32),  # an older PyTorch
    ],
)
def test_the_cpu_runs_bf16_where_it_has_it(monkeypatch, capabilities, dtype):
    if capabilities:
        monkeypatch.setattr(torch.cpu, "get_capabilities", capabilities, raising=False)
    else:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert Machine.find(DeviceOptions(device="cpu")).dtype == dtype


def test_fp16_on_the_cpu_is_refused():
    with pytest.raises(DeviceError, match="use fp32 or bf16"):
        Machine.find(DeviceOptions(device="cpu", precision="fp16"))


def test_threads_stay_within_the_limit_of_a_container(monkeypatch):
    usual = torch.get_num_threads()
    monkeypatch.setattr("vidcaption.model.device.cpu_count", lambda: 2)
    try:
        for before, asked, expected in ((4, None, 2), (1, None, 1), (4, 3, 3)):
            torch.set_num_threads(before)
            Machine.find(DeviceOptions(threads=asked))
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(usual)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "auto"])
@pytest.mark.parametrize("beam", [1, 3])
def test_cuda_captions_whole_windows(make_network, precision, beam):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    machine = Machine.find(DeviceOptions(device="cuda", precision=precision))
    images = torch.randint(0, 256, (3, 2, 3, 64, 64), dtype=torch.uint8)
    network = make_network(seed=7)  # of this test alone, as it is moved
    options = SearchOptions(beam=beam)
    with torch.inference_mode():
        expected = search(network.decoder, network.remember(network.encode(images)), options)
        network.to(machine.device)
        with machine.autocast():
            features = network.encode(images.to(machine.device))
            got = search(network.decoder, network.remember(features), options)
    if precision == "fp32":
        assert [c.ids for c in got] == [c.ids for c in expected]
    assert all(c.ids for c in got)
