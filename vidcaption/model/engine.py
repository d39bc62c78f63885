"""The CNN in ONNX Runtime, on the CPU. Needs the extra "onnx".

A model's CNN is exported once, compared with PyTorch's, and kept in the user's cache. Only what
lies there is run: nothing that comes with a model is executed, and an ONNX file is a program.
"""

import hashlib
import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcaption import __version__
from vidcaption.errors import DeviceError, ModelError, OutputError
from vidcaption.model.encoder import Encoder
from vidcaption.model.folder import Model
from vidcaption.model.manifest import CONFIG, WEIGHTS, read_rows
from vidcaption.model.search import search
from vidcaption.options import SearchOptions

FILE = "encoder.onnx"
TOLERANCE = 1e-3  # of the largest feature
_LIBRARIES = ("onnx", "onnxruntime")
_OPSET = 17
_CLIPS, _FRAMES = 4, 2  # that both must caption alike


class OnnxEncoder:
    """An exported CNN, called as ``Encoder`` is, with as many threads as PyTorch has now.

    Raises ModelError where ``path`` does not hold such a file.
    """

    def __init__(self, path: Path) -> None:
        onnxruntime = silent_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # threads that wait for work would take the cores from the decoder and the word search
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors, which are raised as well
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no base of their own
            raise ModelError(
                f"ONNX Runtime cannot read {path}; export it again with 'vidcaption models export'"
            ) from error

    def __call__(self, images: Tensor) -> Tensor:
        """``images``: (N, 3, S, S) uint8 RGB -> (N, R, C) float32."""
        [features] = self._session.run(None, {"images": images.contiguous().numpy()})
        return torch.from_numpy(features)


def silent_runtime() -> Any:
    """ONNX Runtime without its reports to its makers, which it is built to send: on Linux and macOS
    it asks the environment once, at its import; on Windows it can be told afterwards."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def require() -> None:
    """Raises DeviceError where the libraries of the extra are not installed."""
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise DeviceError(
            f"ONNX Runtime needs {' and '.join(missing)}, which this installation lacks; "
            "run pip install 'vidcaption[onnx]'"
        )


def cached(folder: Path) -> Path:
    """Where the exported CNN of a model folder is kept, there or not: another version of the
    model or of vidcaption has another. Raises ModelError."""
    from platformdirs import user_cache_path

    rows = read_rows(folder)
    made_from = (rows[CONFIG]["sha256"], rows[WEIGHTS]["sha256"], __version__)
    key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()
    return user_cache_path("vidcaption", appauthor=False) / "onnx" / key / FILE


def open_encoder(folder: Path, model: Model) -> OnnxEncoder:
    """The CNN of ``model``, loaded from ``folder`` onto the CPU, exported now if it never was.

    Raises DeviceError, ModelError, OutputError.
    """
    require()
    path = cached(folder)
    if not path.exists():
        export(model, path)
    return OnnxEncoder(path)


def export(model: Model, path: Path) -> float:
    """Write the CNN of a model on the CPU as ONNX, once it was compared with PyTorch's.

    The input ``images`` is (N, 3, S, S) uint8 RGB, the output ``features`` (N, R, C) float32; N is
    free. Returns what ``compare`` does. Raises DeviceError where the result differs or the extra is
    missing, OutputError.
    """
    require()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".exporting-", dir=path.parent) as place:
            fresh = Path(place) / FILE
            _write(model.network.encoder, fresh)
            difference = compare(model, fresh)
            fresh.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); choose another place, "
            "which for the cache is XDG_CACHE_HOME on Linux"
        ) from error
    return difference


def compare(model: Model, path: Path) -> float:
    """The largest difference of any feature of some pictures between an exported CNN and PyTorch's.

    Raises DeviceError where it is above ``TOLERANCE``, or a caption differs.
    """
    network, draw = model.network, torch.Generator().manual_seed(0)
    blots = torch.rand(_CLIPS * _FRAMES, 3, 5, 5, generator=draw)
    pictures = F.interpolate(255 * blots, network.config.image_size, mode="bilinear").byte()
    with torch.inference_mode():
        both = [encoder(pictures) for encoder in (network.encoder, OnnxEncoder(path))]
        memories = [network.remember(each.unflatten(0, (_CLIPS, _FRAMES))) for each in both]
        said = [[x.ids for x in search(network.decoder, m, SearchOptions())] for m in memories]
    difference = (both[0] - both[1]).abs().max().item()
    if difference > TOLERANCE * both[0].abs().max().item() or said[0] != said[1]:
        raise DeviceError(
            f"ONNX Runtime sees something else than PyTorch on this machine (features differ by "
            f"{difference:.2g}); leave --engine out"
        )
    return difference


class _Exportable(nn.Module):
    """What ``Encoder`` computes, in operations that ONNX has: regions of uneven size, which its
    pooling lacks, are a matrix product."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.trunk, self.mean, self.std = encoder.trunk, encoder.mean, encoder.std
        side, grid = encoder.config.image_size, encoder.config.grid
        maps = self.trunk(torch.zeros(1, 3, side, side))
        # (H, grid): what each row of the map, or column, adds to each region
        self.shares = F.adaptive_avg_pool1d(torch.eye(maps.shape[-1]), grid)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.trunk((images.float() - self.mean) / self.std)
        if maps.shape[-1] != self.shares.shape[-1]:
            maps = self.shares.T @ maps @ self.shares
        return maps.flatten(2).transpose(1, 2)


@torch.no_grad()
def _write(encoder: Encoder, path: Path) -> None:
    side = encoder.config.image_size
    pictures = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    # The old exporter: the new one takes many times as long and two more libraries. It warns that
    # it is old, and that the size of maps will be fixed, as it is.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Exportable(encoder),
            (pictures,),
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "n"}, "features": {0: "n"}},
        )
