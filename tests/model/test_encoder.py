import pytest
import torch
import torchvision
from safetensors.torch import save_file

from vidcaption.errors import ModelError
from vidcaption.model.config import InputConfig
from vidcaption.model.encoder import Encoder
from vidcaption.model.parts import BACKBONES


@pytest.fixture(scope="module")
def mobilenet():
    """A torchvision classifier whose batch norms are not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torchvision.models.mobilenet_v2()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="module")
def weights(mobilenet, tmp_path_factory):
    path = tmp_path_factory.mktemp("backbone") / "mobilenet.safetensors"
    save_file(mobilenet.state_dict(), path)
    return path


def test_gives_the_classifiers_own_feature_maps(mobilenet, weights):
    config = InputConfig(image_size=96, grid=3)
    encoder = Encoder(config).eval()
    encoder.load_imagenet([weights])
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (config.mean, config.std))
    with torch.inference_mode():
        expected = mobilenet.features((images / 255 - mean) / std)
        got = encoder(images)
    assert got.shape == (2, 9, 1280)
    torch.testing.assert_close(got, expected.flatten(2).transpose(1, 2), rtol=1e-3, atol=1e-3)


def test_takes_torchvisions_own_files(mobilenet, weights, tmp_path):
    torch.save(mobilenet.state_dict(), tmp_path / "weights.pth")
    one, other = (Encoder(InputConfig(image_size=64)) for _ in range(2))
    one.load_imagenet([weights])
    other.load_imagenet([tmp_path / "weights.pth"])
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_a_grid_of_one_is_the_mean_of_the_map(weights):
    images = torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8)
    pooled, grid = (Encoder(InputConfig(image_size=96, grid=n)).eval() for n in (1, 3))
    for encoder in (pooled, grid):
        encoder.load_imagenet([weights])
    with torch.inference_mode():
        torch.testing.assert_close(
            pooled(images), grid(images).mean(1, keepdim=True), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("levels", [2, 3])
def test_a_pyramid_is_the_mean_of_each_part_of_the_map(weights, levels):
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    encoder = Encoder(InputConfig(image_size=128, grid=1, pyramid=levels)).eval()
    random = {name: x.clone() for name, x in encoder.state_dict().items()}
    assert encoder.load_imagenet([weights]) is None  # which reads the mean of the whole
    whole = Encoder(InputConfig(image_size=128, grid=4)).eval()
    for each in encoder, whole:
        each.load_state_dict(random)
    with torch.inference_mode():
        got, maps = encoder(images), whole(images).unflatten(1, (4, 4))
    assert got.shape == (2, 1, encoder.channels) == (2, 1, {2: 5, 3: 21}[levels] * 1280)
    parts = [maps]
    parts += [half for rows in maps.split(2, 1) for half in rows.split(2, 2)]
    parts += [cell for rows in maps.split(1, 1) for cell in rows.split(1, 2)]
    expected = torch.cat([part.mean((1, 2)) for part in parts], 1)[:, : encoder.channels]
    torch.testing.assert_close(got[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_each_cnn_has_a_pyramid_of_its_own(weights):
    seen = {"image_size": 64, "grid": 1, "pyramid": 2, "tracks": 4}
    one = Encoder(InputConfig(**seen)).eval()
    both = Encoder(InputConfig(**seen, backbone="efficientnet_lite2+mobilenet_v2")).eval()
    both.trunk["mobilenet_v2"].load_state_dict(one.trunk.state_dict())
    images = torch.randint(0, 256, (2, 18, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        first, second = one(images), both(images)
    assert first.shape[-1] == one.channels + one.words == 5 * 1280 + 12
    assert second.shape[-1] == both.channels + both.words == 10 * 1280 + 12
    torch.testing.assert_close(second[..., 5 * 1280 : 10 * 1280], first[..., : 5 * 1280])


@pytest.mark.parametrize("crops", [5, 10])
def test_crops_are_averaged_and_mirrored_ones_mirrored_back(crops):
    image = torch.randint(0, 256, (1, 3, 80, 80), dtype=torch.uint8)
    encoder = Encoder(InputConfig(image_size=80, grid=2, crops=crops)).eval()
    plain = Encoder(InputConfig(image_size=70, grid=2)).eval()
    plain.load_state_dict(encoder.state_dict())
    corners = [(0, 0), (0, 10), (10, 0), (10, 10), (5, 5)]
    views = torch.cat([image[:, :, top : top + 70, left : left + 70] for top, left in corners])
    with torch.inference_mode():
        seen = plain(views)
        if crops == 10:
            seen = torch.cat([seen, plain(views.flip(3))[:, [1, 0, 3, 2]]])
        got = encoder(image)
    assert got.shape == (1, 4, 1280)
    torch.testing.assert_close(got[0], seen.mean(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_runs(backbone):
    encoder = Encoder(InputConfig(backbone=backbone, image_size=96, grid=2)).eval()
    with torch.inference_mode():
        features = encoder(torch.zeros(1, 3, 96, 96, dtype=torch.uint8))
    assert features.shape == (1, 4, encoder.channels)
    assert features.isfinite().all()


def test_weights_of_another_network_are_refused(tmp_path, mobilenet, weights):
    with pytest.raises(ModelError, match=r"does not fit torchvision's resnet50: it has no tensor"):
        Encoder(InputConfig(backbone="resnet50", image_size=64)).load_imagenet([weights])
    encoder = Encoder(InputConfig(image_size=64))
    state = mobilenet.state_dict()
    for change, reason in (
        (
            {"classifier.1.bias": torch.zeros(5)},
            r"classifier.1.bias has shape \(5,\), not \(1000,\)",
        ),
        ({"more": torch.zeros(1)}, "it has an unknown tensor more"),
    ):
        torch.save(state | change, tmp_path / "odd.pth")
        with pytest.raises(ModelError, match=f"odd.pth does not fit .*mobilenet_v2: {reason}$"):
            encoder.load_imagenet([tmp_path / "odd.pth"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".jpg"])
def test_a_file_that_holds_no_weights_is_refused_in_plain_words(tmp_path, suffix):
    encoder, path = Encoder(InputConfig(image_size=64)), tmp_path / f"bad{suffix}"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, whole := tmp_path / "whole")
    torch.save(torch.nn.Linear(1, 1), code := tmp_path / "code")
    contents = [
        b"",
        b"nonsense",
        b"\xff\xd8\xff\xe0",
        b"\x80\x02",
        b"\x80\xbd}.",
        b"\x80\x02}q\x01X\x01",
    ]
    contents += [whole.read_bytes(), whole.read_bytes()[:500], code.read_bytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ModelError) as error:
            encoder.load_imagenet([path])
        assert str(error.value) == (
            f"{path} does not hold tensors by name; give a state dict of torchvision's "
            "mobilenet_v2, as .safetensors or as torch.save writes it (.pth)"
        )
    path.unlink()
    with pytest.raises(
        ModelError, match=rf"bad\{suffix} cannot be read: No such file or directory"
    ):
        encoder.load_imagenet([path])


def test_several_see_what_each_of_them_sees(weights, tmp_path):
    both = InputConfig(backbone="mobilenet_v2+efficientnet_lite2", image_size=64, grid=3)
    encoder = Encoder(both).eval()
    other = Encoder(InputConfig(backbone="efficientnet_lite2", image_size=64, grid=3)).eval()
    one = Encoder(InputConfig(image_size=64, grid=3)).eval()
    one.load_imagenet([weights])
    state = {f"trunk.mobilenet_v2.{k[6:]}": x for k, x in one.state_dict().items()}
    state |= {f"trunk.efficientnet_lite2.{k[6:]}": x for k, x in other.state_dict().items()}
    encoder.load_state_dict(state)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        features = encoder(images)
        assert features.shape == (2, 9, encoder.channels) == (2, 9, 2560)
        torch.testing.assert_close(features, torch.cat([one(images), other(images)], -1))
    trained = {id(p) for p in encoder.train_from(12)}
    names = {n.split(".")[1] for n, p in encoder.named_parameters() if id(p) in trained}
    assert names == {"mobilenet_v2", "efficientnet_lite2"}


def test_each_of_several_takes_a_file(weights):
    encoder = Encoder(InputConfig(backbone="resnet50+mobilenet_v2", image_size=64))
    with pytest.raises(ModelError, match="does not fit torchvision's resnet50"):
        encoder.load_imagenet([weights, weights])
    one = Encoder(InputConfig(image_size=64))
    one.load_imagenet([weights])
    two = Encoder(InputConfig(backbone="mobilenet_v2+mobilenet_v3_large", image_size=64))
    save_file(
        torchvision.models.mobilenet_v3_large().state_dict(),
        path := weights.with_name("v3.safetensors"),
    )
    assert two.load_imagenet([weights, path]) is None  # which reads the vectors of both
    assert torch.equal(
        two.trunk["mobilenet_v2"].features[0][0].weight, one.trunk.features[0][0].weight
    )
