"""The CNN in OpenVINO, on the CPU. Needs the extra "openvino".

A model's CNN is exported once, compared with PyTorch's, and stored in the user's cache. Only those
are run: nothing that comes with a model is executed.
"""

import hashlib
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcaption.errors import DeviceError, ModelError, OutputError
from vidcaption.model.encoder import Encoder
from vidcaption.model.folder import Model
from vidcaption.model.manifest import CONFIG, WEIGHTS, read_rows
from vidcaption.options.captioning import SearchOptions
from vidcaption.version import __version__

FILE = "encoder.xml"  # the operations; the weights are beside it, in encoder.bin
TOLERANCE = 1e-3  # of the largest feature
_TYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}  # OpenVINO's names
_CLIPS, _FRAMES = 4, 2  # that both must caption equally


class OpenVinoEncoder:
    """An exported CNN, called like ``Encoder``, with the current number of threads of PyTorch.

    ``dtype``: the number format of its computations, float32 or bfloat16. Raises ModelError if
    ``path`` is not such a file.
    """

    def __init__(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        options = {
            "INFERENCE_PRECISION_HINT": _TYPES[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # the video's decoder needs the same cores
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            compiled = silent_runtime().compile_model(path, "CPU", options)
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot read {path}; export it again with 'vidcaption models export NAME'"
            ) from error
        self._process = os.getpid()
        self._request = compiled.create_infer_request()

    def __call__(self, images: Tensor) -> Tensor:
        """``images``: (N, 3, S, S) uint8 RGB -> (N, R, C) float32.

        Raises DeviceError in a process that was forked since.
        """
        if self._process != os.getpid():
            raise DeviceError(
                "OpenVINO was loaded before this process was forked, and cannot be used after a "
                "fork; load the model in this process"
            )
        features = self._request.infer([images.contiguous().numpy()])
        return torch.from_numpy(features[0])


def silent_runtime() -> Any:
    """OpenVINO without the telemetry that its import sends, by hiding the package for that."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # as if it were not installed
    import openvino

    return openvino


def require() -> None:
    """Raises DeviceError if the library of the extra is not installed."""
    if find_spec("openvino") is None:
        raise DeviceError(
            "OpenVINO is not installed; run pip install 'vidcaption[openvino]', or omit --engine"
        )


def cached(folder: Path) -> Path:
    """The path of the exported CNN of a model folder, which may not exist; each version of the
    model and of vidcaption has its own. Raises ModelError, and OutputError if the user has no home
    folder."""
    from platformdirs import user_cache_path

    rows = read_rows(folder)
    made_from = (rows[CONFIG]["sha256"], rows[WEIGHTS]["sha256"], __version__)
    key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()
    try:
        place = user_cache_path("vidcaption", appauthor=False)
    except RuntimeError as error:
        raise OutputError(
            "the exported CNN is kept in the home folder, and this user has none; set "
            "XDG_CACHE_HOME to a folder that can be written to"
        ) from error
    return place / "openvino" / key / FILE


def open_encoder(folder: Path, model: Model, dtype: torch.dtype) -> OpenVinoEncoder:
    """The CNN of ``model``, loaded from ``folder`` onto the CPU, and exported if not yet done.

    Raises DeviceError, ModelError, OutputError.
    """
    require()
    path = cached(folder)
    if not path.exists():
        export(model, path)
    return OpenVinoEncoder(path, dtype)


def export(model: Model, path: Path) -> float:
    """Write the CNN of a model on the CPU for OpenVINO, after comparing it with PyTorch's.

    The input ``images`` is (N, 3, S, S) uint8 RGB, the output ``features`` (N, R, C) float32; N is
    free. Returns the result of ``compare``. Raises DeviceError if the result differs or the extra
    is missing, OutputError.
    """
    require()
    if model.network.encoder.tracks is not None:
        raise DeviceError("OpenVINO cannot follow the tracks that this model sees; omit --engine")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".exporting-", dir=path.parent) as place:
            fresh = Path(place) / FILE
            _write(model.network.encoder, fresh)
            difference = compare(model, fresh)
            for each in (fresh.with_suffix(".bin"), fresh):  # existing files are complete
                each.replace(path.with_suffix(each.suffix))
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); choose another place, "
            "which for the cache is XDG_CACHE_HOME on Linux"
        ) from error
    return difference


def compare(model: Model, path: Path) -> float:
    """The largest difference in features of some pictures between an exported CNN and PyTorch's.

    Raises DeviceError if it is above ``TOLERANCE``, or a caption differs.
    """
    network, draw = model.network, torch.Generator().manual_seed(0)
    blots = torch.rand(_CLIPS * _FRAMES, 3, 5, 5, generator=draw)
    pictures = F.interpolate(255 * blots, network.config.input.image_size, mode="bilinear").byte()
    with torch.inference_mode():
        both = [encoder(pictures) for encoder in (network.encoder, OpenVinoEncoder(path))]
        said = [
            [(caption.ids, caption.text) for caption in network.caption(clips, SearchOptions())]
            for clips in (each.unflatten(0, (_CLIPS, _FRAMES)) for each in both)
        ]
    difference = (both[0] - both[1]).abs().max().item()
    if difference > TOLERANCE * both[0].abs().max().item() or said[0] != said[1]:
        raise DeviceError(
            f"OpenVINO computes other features than PyTorch on this machine (they differ by "
            f"{difference:.2g}); omit --engine"
        )
    return difference


@torch.no_grad()
def _write(encoder: Encoder, path: Path) -> None:
    side = encoder.config.image_size
    pictures = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    openvino = silent_runtime()
    # PyTorch warns that tracing is deprecated, and that sizes become constant, as they are; its
    # successor takes five times as long.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(encoder, pictures, check_trace=False)  # compared separately
    exported = openvino.convert_model(traced, input=[(-1, 3, side, side)])
    exported.output(0).set_names({"features"})
    openvino.save_model(exported, path, compress_to_fp16=False)
