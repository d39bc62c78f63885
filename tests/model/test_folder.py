import copy
import errno
import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from vidcaption.errors import ModelError, OutputError
from vidcaption.model import folder as model_folder
from vidcaption.model.manifest import MANIFEST, write_manifest


@pytest.fixture(scope="module")
def saved(tmp_path_factory, network, vocabulary):
    folder = tmp_path_factory.mktemp("model")
    model_folder.save(folder, network, vocabulary, "# card\n")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def test_loads_what_was_saved(saved, network, vocabulary, features):
    model = model_folder.load(saved)
    assert model.vocabulary.words == vocabulary.words
    assert model.network.config == network.config
    assert not model.network.training
    manifest = json.loads((saved / "manifest.json").read_text())
    assert model.sha256 == manifest["model.safetensors"]["sha256"]
    images = torch.randint(0, 256, (1, 2, 3, 64, 64), dtype=torch.uint8)
    rounded = copy.deepcopy(network)  # as on disk
    rounded.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    with torch.inference_mode():
        expected, got = (n.remember(n.encode(images)).keys for n in (rounded, model.network))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_files_are_readable_by_all_users(saved):
    modes = {path.stat().st_mode & 0o444 for path in saved.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "vocab.json", "manifest.json"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"has no {name}"):
        model_folder.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json"])
def test_an_altered_file_is_refused(folder, name):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=f"{name} is not the file that {MANIFEST} describes"):
        model_folder.load(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"config.json": 3}'])
def test_a_broken_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match="manifest"):
        model_folder.load(folder)


def replace_weights(folder, tensors):
    save_file(tensors, folder / "model.safetensors")
    write_manifest(folder)


def test_weights_of_the_wrong_shape_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["decoder.bias"] = torch.zeros(31)
    replace_weights(folder, tensors)
    with pytest.raises(ModelError, match=r"decoder.bias has shape \(31,\), not \(30,\)"):
        model_folder.load(folder)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_weights_of_a_training_that_diverged_are_refused(folder, odd):
    tensors = load_file(folder / "model.safetensors")
    tensors["decoder.bias"][3] = odd
    replace_weights(folder, tensors)
    with pytest.raises(ModelError, match=r"has numbers that are not finite in decoder\.bias"):
        model_folder.load(folder)


def test_missing_and_unknown_weights_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    bias = tensors.pop("decoder.bias")
    replace_weights(folder, tensors)
    with pytest.raises(ModelError, match=r"has no tensor decoder\.bias"):
        model_folder.load(folder)
    replace_weights(folder, tensors | {"decoder.bias": bias, "zzz": torch.ones(1)})
    with pytest.raises(ModelError, match="has an unknown tensor zzz"):
        model_folder.load(folder)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_a_pickle_in_place_of_safetensors_is_never_opened(folder):
    for write in (lambda f: pickle.dump(Evil(), f), lambda f: torch.save({"evil": Evil()}, f)):
        with (folder / "model.safetensors").open("wb") as file:
            write(file)
        write_manifest(folder)
        with pytest.raises(ModelError, match="pickle, which is never loaded"):
            model_folder.load(folder)


def test_weights_that_are_cut_off_are_refused(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 99)
    write_manifest(folder)
    with pytest.raises(ModelError, match="is not a safetensors file: it is cut off or altered"):
        model_folder.load(folder)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not a model folder"):
        model_folder.load(tmp_path / "nowhere")


def test_a_failed_save_spares_the_model_that_is_there(folder, network, vocabulary, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(model_folder, "write_manifest", full)
    with pytest.raises(OutputError, match="No space left"):
        model_folder.save(folder, network, vocabulary, "# another\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_saving_where_nothing_can_be_written_is_an_output_error(tmp_path, network, vocabulary):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the model .*: a file is where a folder"):
        model_folder.save(tmp_path / "file" / "model", network, vocabulary, "")
