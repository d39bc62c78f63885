import torch
import torchvision
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vidcaption.model.mobilenet import mobilenet_v2


def folded(features):
    """The weights that torchvision's layers have once their batch norms are folded away."""
    modules = dict(features.named_modules())
    norms = {name: x for name, x in modules.items() if isinstance(x, torch.nn.BatchNorm2d)}
    for name, norm in norms.items():
        parent, _, index = name.rpartition(".")
        before = f"{parent}.{int(index) - 1}"
        weight, bias = fuse_conv_bn_weights(
            modules[before].weight,
            None,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        yield f"{before}.weight", weight
        yield f"{before}.bias", bias


def test_it_is_torchvisions_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torchvision.models.mobilenet_v2().features.eval()
        for module in theirs.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.running_mean, module.bias):
                    tensor.data.uniform_(-0.2, 0.2)
                for tensor in (module.running_var, module.weight):
                    tensor.data.uniform_(0.5, 1.5)
        pixels = torch.randn(2, 3, 72, 96)
    ours = mobilenet_v2().eval()
    weights = dict(folded(theirs))
    assert list(ours.state_dict()) == list(weights)
    ours.load_state_dict(weights)
    with torch.inference_mode():
        expected, got = theirs(pixels), ours(pixels)
    assert got.shape == (2, 1280, 3, 3)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
