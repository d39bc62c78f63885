import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch

from vidcaption.errors import ModelError, UsageError
from vidcaption.training import backbone

DATA = b"weights"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serves a file as torchvision's weights of every backbone; gives its URL and the cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    name = f"resnet50-{hashlib.sha256(DATA).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(DATA)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    point = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/{name}")
    weights = SimpleNamespace(DEFAULT=point)
    monkeypatch.setattr(backbone.torchvision.models, "get_model_weights", lambda name: weights)
    yield SimpleNamespace(folder=folder, name=name, cache=tmp_path / "hub/checkpoints", point=point)
    server.shutdown()
    server.server_close()
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


def test_torchvisions_weights_are_downloaded_once(served):
    [path] = backbone.find_weights(["resnet50"], "imagenet")
    assert path == served.cache / served.name and path.read_bytes() == DATA
    (served.folder / served.name).unlink()
    assert backbone.find_weights(["resnet50"], "imagenet") == [path]


def test_a_broken_download_is_not_kept(served):
    (served.folder / served.name).write_bytes(b"broken")
    with pytest.raises(ModelError, match="what arrived is not the file of that name"):
        backbone.find_weights(["resnet50"], "imagenet")
    assert list(served.cache.iterdir()) == []


def test_without_a_network_the_error_says_where_the_file_belongs(served):
    served.point.url = f"http://127.0.0.1:9/{served.name}"
    with pytest.raises(ModelError) as caught:
        backbone.find_weights(["resnet50"], "imagenet")
    told = f"(its server refuses the connection); put the file at {served.cache / served.name}"
    assert told in str(caught.value)


def test_every_backbone_has_weights_with_a_hash_in_their_name():
    from vidcaption.model.parts import BACKBONES

    for name in BACKBONES.keys() - {"efficientnet_lite2"}:
        url = backbone.torchvision.models.get_model_weights(name).DEFAULT.url
        assert int(url.rpartition("-")[2].removesuffix(".pth"), 16) > 0


def test_tensorflows_network_is_not_downloaded():
    with pytest.raises(UsageError, match="no weights to download; name a file"):
        backbone.find_weights(["efficientnet_lite2"], "imagenet")


def test_a_file_for_each_of_several_backbones(tmp_path, served):
    path = tmp_path / "w.pth"
    path.touch()
    two = ["vgg16", "resnet50"]
    assert backbone.find_weights(two, f"{path}+{path}") == [path, path]
    downloaded = served.cache / served.name
    assert backbone.find_weights(two, "imagenet") == [downloaded, downloaded]
    assert backbone.find_weights(two, f"{path}+imagenet") == [path, downloaded]
    with pytest.raises(UsageError, match="there are 2 backbones; name a file for each"):
        backbone.find_weights(two, str(path))


def test_files_and_none(tmp_path):
    path = tmp_path / "w.safetensors"
    path.touch()
    assert backbone.find_weights(["vgg16"], str(path)) == [path]
    assert backbone.find_weights(["vgg16"], "none") == []
    with pytest.raises(UsageError, match="which does not exist; name a state dict"):
        backbone.find_weights(["vgg16"], "gone.pth")
