"""The CNN in OpenVINO: the same captions, nothing sent, nothing run that came with a model."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Apart

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from processors import needs_bf16

from vidcaption import Captioner, DeviceError, ModelError, OutputError, UsageError
from vidcaption.cli import main
from vidcaption.model import engine
from vidcaption.model import folder as model_folder
from vidcaption.model.folder import Model

CLIP = Path(__file__).parent.parent.parent / "examples/clip.mp4"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def model(network, vocabulary):
    return Model(network, vocabulary, "0" * 64)


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / engine.FILE
    assert 0 <= engine.export(model, path) < 0.01
    assert {each.name for each in path.parent.iterdir()} == {"encoder.bin", engine.FILE}
    return path


@pytest.fixture(scope="session")
def encoder(exported):
    return engine.OpenVinoEncoder(exported)


@pytest.fixture
def folder(network, vocabulary, tmp_path):
    model_folder.save(tmp_path / "model", network, vocabulary, "# small\n")
    return tmp_path / "model"


@settings(max_examples=20)
@given(count=st.integers(1, 5), darkest=st.integers(0, 255), seed=st.integers(0, 2**32))
def test_features_are_those_of_pytorch(encoder, network, count, darkest, seed):
    draw = torch.Generator().manual_seed(seed)
    shape = (count, 64, 64, 3)
    images = torch.randint(darkest, 256, shape, dtype=torch.uint8, generator=draw)
    images = images.permute(0, 3, 1, 2)  # as the pipeline has them
    with torch.inference_mode():
        expected, got = network.encoder(images), encoder(images)
    assert (got.shape, got.dtype) == (expected.shape, torch.float32)
    assert (got - expected).abs().max() <= 1e-3 * expected.abs().max()


@needs_bf16
def test_numbers_of_16_bits(exported, encoder):
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    exact, got = encoder(images), engine.OpenVinoEncoder(exported, torch.bfloat16)(images)
    assert got.dtype == torch.float32
    assert 0 < (got - exact).norm() < 0.3 * exact.norm()


def test_it_does_not_survive_a_fork(encoder, monkeypatch):
    monkeypatch.setattr(encoder, "_process", os.getppid())
    with pytest.raises(DeviceError, match="loaded before this process was forked"):
        encoder(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_regions_of_uneven_size(make_network, vocabulary, tmp_path):
    network = make_network(image_size=96, grid=2)  # of maps of 3
    engine.export(Model(network, vocabulary, "0" * 64), tmp_path / "x.xml")  # compares them
    images = torch.zeros(3, 3, 96, 96, dtype=torch.uint8)
    assert engine.OpenVinoEncoder(tmp_path / "x.xml")(images).shape == (3, 4, 1280)


def test_a_pyramid_over_crops(make_network, vocabulary, tmp_path):
    network = make_network(grid=1, pyramid=2, crops=10)
    engine.export(Model(network, vocabulary, "0" * 64), tmp_path / "x.xml")  # compares them
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    got = engine.OpenVinoEncoder(tmp_path / "x.xml")(images)
    with torch.inference_mode():
        torch.testing.assert_close(got, network.encoder(images), rtol=1e-3, atol=1e-3)


def test_tracks_cannot_be_followed(make_network, vocabulary, tmp_path):
    network = make_network(tracks=2, start_with="frames+tracks")
    with pytest.raises(DeviceError, match="cannot follow the tracks that this model sees; omit"):
        engine.export(Model(network, vocabulary, "0" * 64), tmp_path / "x.xml")


def test_another_cnn_is_not_taken_for_the_model(make_network, vocabulary, exported):
    other = Model(make_network(seed=1), vocabulary, "0" * 64)
    with pytest.raises(DeviceError, match="computes other features than PyTorch"):
        engine.compare(other, exported)


def test_what_came_with_a_model_is_not_run(folder, cache):
    (folder / engine.FILE).write_bytes(b"not to be opened")
    first = Captioner.from_pretrained(folder, engine="openvino")
    kept = engine.cached(folder)
    assert kept.is_relative_to(cache) and kept.is_file()
    assert str(first.machine.device) == "cpu"

    made = kept.stat().st_mtime_ns
    Captioner.from_pretrained(folder, engine="openvino")
    assert kept.stat().st_mtime_ns == made  # found, not made again
    kept.write_bytes(kept.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="export it again with 'vidcaption models export NAME'"):
        Captioner.from_pretrained(folder, engine="openvino")


def test_without_a_home_there_is_no_place_for_it(folder, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it is for an unknown user
    with pytest.raises(OutputError, match="this user has none; set XDG_CACHE_HOME to a folder"):
        engine.cached(folder)


def test_another_config_or_version_is_another_file(folder, make_network, vocabulary, monkeypatch):
    first = engine.cached(folder)
    model_folder.save(folder, make_network(mean=(0.5, 0.5, 0.5)), vocabulary, "# small\n")
    second = engine.cached(folder)
    monkeypatch.setattr(engine, "__version__", "99")
    assert len({first, second, engine.cached(folder)}) == 3


def test_a_place_that_cannot_be_written_to(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        engine.export(model, tmp_path / "file" / engine.FILE)


def test_without_the_extra(folder, cache, monkeypatch, capsys):
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match=r"pip install 'vidcaption\[openvino\]'"):
        Captioner.from_pretrained(folder, engine="openvino")
    assert main(["run", str(CLIP), "--model", str(folder), "--engine", "openvino"]) == 3
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "OpenVINO is not installed" in said.err


@pytest.mark.parametrize("device", ["cuda", "mps", "cpu,cuda:1"])
def test_it_runs_on_the_cpu(device, capsys):
    with pytest.raises(UsageError, match="--engine openvino runs on the CPU"):
        Captioner.from_pretrained(engine="openvino", device=device)
    assert main(["run", str(CLIP), "--engine", "openvino", "--device", device]) == 2
    assert "--engine openvino runs on the CPU" in capsys.readouterr().err


def test_captions_are_the_same(cache):
    one, other = (
        Captioner.from_pretrained(device="cpu", precision="fp32", engine=engine).caption(CLIP)
        for engine in ("torch", "openvino")
    )
    assert [each.text for each in one.segments] == [each.text for each in other.segments]
    for each, same in zip(one.segments, other.segments, strict=True):
        assert each.score == pytest.approx(same.score, abs=1e-3)


def test_commands_write_to_the_cache_and_nowhere_else(folder, tmp_path):
    """A process of its own, in a home of its own, where OpenVINO keeps no account of it."""
    home = tmp_path / "home"
    names = ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")
    needed = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")  # others, such as CI, would silence it
    inherited = {name: os.environ[name] for name in needed if name in os.environ}
    environment = inherited | dict.fromkeys(names, str(home)) | {"PYTHONPATH": os.getcwd()}
    command = ["run", str(CLIP), "--end", "1", "--model", str(folder), "--engine", "openvino"]
    first = Apart(*command, cwd=tmp_path, environment=environment)
    assert (first.code, len(first.lines)) == (0, 1)
    assert "exporting the CNN to OpenVINO" in first.lines[0]
    second = Apart(*command, cwd=tmp_path, environment=environment)
    assert (second.code, second.lines, second.out) == (0, [], first.out)
    assert "openvino" in second.loaded
    assert not {"openvino_telemetry.main", "torchvision"} & second.loaded
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {"encoder.bin", engine.FILE}
    assert {path.parent.parent.parent.name for path in kept} == {"vidcaption"}
