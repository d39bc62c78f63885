"""Whether this installation works, and what to do where it does not. Asks nothing of the network.

Each check imports what it looks at, so that whatever is missing or broken is told and not raised.
"""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

import vidcaption

_REINSTALL = "install vidcaption again, and what it needs"
_LIBRARIES = ("huggingface_hub", "numpy", "rich", "safetensors", "scenedetect", "srt", "yaml")
# what people's videos are made with, and FFmpeg's decoders of it
_DECODERS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp8": ("vp8", "libvpx"),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),  # FFmpeg's own needs a GPU
    "mpeg4": ("mpeg4",),
    "mpeg2": ("mpeg2video",),
    "prores": ("prores",),
    "mjpeg": ("mjpeg",),
}


@dataclass(frozen=True)
class Finding:
    """What a check found. With ``failed`` nothing can be captioned; with ``warning`` much can."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    advice: str | None = None


def examine() -> Iterator[Finding]:
    """Every check, in turn; those of heavy libraries and the last, a caption, take seconds."""
    for name, check in _CHECKS.items():
        try:
            found = check()
        except Exception as error:  # importing a broken library may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            if name in _OPTIONAL:
                found = Finding(name, "warning", reason, "captions need none of this")
            else:
                found = Finding(name, "failed", reason, _REINSTALL)
        yield found


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _itself() -> Finding:
    folder = Path(vidcaption.__file__).parent
    return Finding("vidcaption", "ok", f"{vidcaption.__version__} in {folder}")


def _library(name: str, module: str) -> Callable[[], Finding]:
    return lambda: Finding(name, "ok", str(import_module(module).__version__))


def _pyav() -> Finding:
    import av

    libraries = ", ".join(
        f"{name} {'.'.join(map(str, version))}"
        for name, version in av.library_versions.items()
        if name in ("libavcodec", "libavformat")
    )
    return Finding("PyAV", "ok", f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}: {libraries}")


def _others() -> Finding:
    for name in _LIBRARIES:
        import_module(name)
    return Finding("other libraries", "ok", ", ".join(_LIBRARIES))


def _devices() -> Finding:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    found = [f"cpu ({torch.get_num_threads()} threads, {capability})"]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index} ({card.name}, {card.total_memory / 1e9:.0f} GB)")
    if torch.backends.mps.is_available():
        found.append("mps")
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        return Finding(
            "devices",
            "warning",
            f"{', '.join(found)}; an NVIDIA driver is here that this PyTorch cannot use",
            "update the driver, or install a PyTorch for it: https://pytorch.org/get-started",
        )
    return Finding("devices", "ok", ", ".join(found))


def _precisions() -> Finding:
    from vidcaption.errors import DeviceError
    from vidcaption.model.device import Machine
    from vidcaption.options import DeviceOptions

    usual = Machine.find()
    found = []
    for precision in ("fp32", "bf16", "fp16"):
        try:
            Machine.find(DeviceOptions(precision=precision))
        except DeviceError:
            continue
        found.append(precision + (" (taken)" if precision == usual.precision else ""))
    return Finding("precisions", "ok", f"{', '.join(found)} on {usual.device}")


def _codecs() -> Finding:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    def there(decoder: str) -> bool:
        try:
            Codec(decoder, "r")
        except UnknownCodecError:
            return False
        return True

    found = [name for name, decoders in _DECODERS.items() if any(map(there, decoders))]
    missing = [name for name in _DECODERS if name not in found]
    if not missing:
        return Finding("codecs", "ok", ", ".join(found))
    return Finding(
        "codecs",
        "warning",
        f"{', '.join(found)}; not {', '.join(missing)}",
        "install PyAV from PyPI, whose FFmpeg has them: pip install --force-reinstall av",
    )


def _weights() -> Finding:
    from vidcaption.errors import ModelError
    from vidcaption.model.manifest import WEIGHTS, check
    from vidcaption.store import resolve

    try:
        folder = resolve()
        sha256 = check(folder)[WEIGHTS]["sha256"]
    except ModelError as error:
        return Finding("embedded model", "failed", str(error), _REINSTALL)
    return Finding("embedded model", "ok", f"whole, sha256 {sha256[:12]}, in {folder}")


def _model_cache() -> Finding:
    from huggingface_hub import constants

    from vidcaption.store import cache

    place = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    models = list(cache.models())
    size = sum(_size(each.folder) for each in models)
    found = f"{place}: {len(models)} models of vidcaption, {size / 1e6:.1f} MB"
    if partial := [f"{each.repo}@{each.commit}" for each in models if not each.complete]:
        advice = f"fetch the rest: vidcaption models pull {' '.join(partial)}"
        return Finding("model cache", "warning", f"{found}, of which not all is complete", advice)
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    if not os.access(there, os.W_OK):
        advice = "to fetch models, set HF_HOME to a folder that can be written to"
        return Finding("model cache", "warning", f"{found}; it cannot be written to", advice)
    return Finding("model cache", "ok", found)


def _backbone_cache() -> Finding:
    import torch

    place = Path(torch.hub.get_dir()) / "checkpoints"
    files = [path.name for path in sorted(place.glob("*.pth"))]
    size = _size(place) if place.is_dir() else 0
    return Finding(
        "training's cache",
        "ok",
        f"{place}: {len(files)} files of ImageNet weights, {size / 1e6:.1f} MB",
    )


def _network() -> Finding:
    from huggingface_hub import constants, get_token

    offline = constants.is_offline_mode()
    parts = [
        "forbidden by HF_HUB_OFFLINE" if offline else "used for models on the Hub only",
        f"at {_shown(constants.ENDPOINT)}",
        "a token is set" if get_token() else "no token",
    ]
    if proxies := sorted({_shown(url) for name, url in getproxies().items() if name != "no"}):
        parts.append(f"through {', '.join(proxies)}")
    if urlsplit(constants.ENDPOINT).scheme not in ("http", "https"):
        advice = "set HF_ENDPOINT to a URL, or unset it"
        return Finding("network", "warning", ", ".join(parts), advice)
    return Finding("network", "ok", ", ".join(parts))


def _scoring() -> Finding:
    from vidcaption.evaluation.metrics import has_java

    if find_spec("pycocoevalcap") is None:
        advice = "for evaluate, install vidcaption[eval], and a Java runtime"
        return Finding("scoring", "warning", "there is no pycocoevalcap", advice)
    if not has_java():
        advice = "for standard scores, METEOR among them, install a Java runtime"
        return Finding("scoring", "warning", "pycocoevalcap, but there is no Java", advice)
    return Finding("scoring", "ok", f"pycocoevalcap, and Java at {shutil.which('java')}")


def _training() -> Finding:
    if missing := [name for name in ("matplotlib", "pycocoevalcap") if find_spec(name) is None]:
        advice = "for train, install vidcaption[train]"
        return Finding("training", "warning", f"there is no {' and no '.join(missing)}", advice)
    return Finding("training", "ok", "matplotlib, pycocoevalcap")


def _caption() -> Finding:
    from vidcaption.errors import VidcaptionError
    from vidcaption.pipeline import Captioner

    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip)
        try:
            captioner = Captioner.from_pretrained()
            began = time.monotonic()
            [segment] = captioner.caption(clip).segments
        except VidcaptionError as error:
            return Finding("a caption", "failed", str(error), "see what failed above")
    machine = captioner.machine
    return Finding(
        "a caption",
        "ok",
        f"{segment.text!r} in {time.monotonic() - began:.1f} s on {machine.device}, "
        f"{machine.precision}",
    )


_CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": _python,
    "vidcaption": _itself,
    "PyTorch": _library("PyTorch", "torch"),
    "torchvision": _library("torchvision", "torchvision"),
    "PyAV": _pyav,
    "OpenCV": _library("OpenCV", "cv2"),
    "other libraries": _others,
    "devices": _devices,
    "precisions": _precisions,
    "codecs": _codecs,
    "embedded model": _weights,
    "model cache": _model_cache,
    "training's cache": _backbone_cache,
    "network": _network,
    "scoring": _scoring,
    "training": _training,
    "a caption": _caption,
}
_OPTIONAL = ("codecs", "model cache", "training's cache", "network", "scoring", "training")


def _write_clip(path: Path) -> None:
    """A second of a square that moves, 96x96 at 8 frames a second, in a codec that FFmpeg has in
    every build."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8, width=96, height=96, pix_fmt="yuv420p")
        for i in range(8):
            image = np.full((96, 96, 3), 60, np.uint8)
            image[32:64, 8 * i : 8 * i + 32] = 220, 40, 40
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _shown(url: str) -> str:
    """A URL without the name and password that it may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else repr(url)
