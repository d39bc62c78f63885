"""Checks whether this installation works, and what to do if not. Does not use the network.

Each check imports what it needs, so missing or broken libraries are reported and not raised.
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

from vidcaption.errors import DeviceError, VidcaptionError
from vidcaption.output.text import counted
from vidcaption.version import __version__

# what a check found if all is well; or the problem, and what to do about it
Result = str | tuple[str, str]
Check = Callable[[], Result]

_REINSTALL = "reinstall vidcaption and its dependencies"
_LIBRARIES = (
    *("jinja2", "numpy", "PIL", "pi_heif", "rich", "safetensors", "scenedetect", "srt", "yaml"),
)
# common codecs, and FFmpeg's decoders for them
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
    """The result of a check. ``failed``: nothing can be captioned; ``warning``: most can."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    advice: str | None = None


def examine() -> Iterator[Finding]:
    """Every check in turn; heavy libraries and the last check, a caption, take seconds."""
    for name, check in _CHECKS.items():
        try:
            result = check()
        except Exception as error:  # importing a broken library may raise anything
            kind = "" if isinstance(error, VidcaptionError) else f"{type(error).__name__}: "
            reason = " ".join(f"{kind}{error}".split())
            if name in _OPTIONAL:
                yield Finding(name, "warning", reason, "captioning does not need this")
            else:
                before = "see what failed above, or " if check is _caption else ""
                yield Finding(name, "failed", reason, before + _REINSTALL)
        else:
            found, advice = (result, None) if isinstance(result, str) else result
            yield Finding(name, "warning" if advice else "ok", found, advice)


def _python() -> str:
    return f"{platform.python_version()} on {platform.platform()}"


def _itself() -> str:
    return f"{__version__} in {Path(__file__).parent}"


def _library(module: str) -> Check:
    return lambda: str(import_module(module).__version__)


def _pyav() -> str:
    import av

    libraries = ", ".join(
        f"{name} {'.'.join(map(str, version))}"
        for name, version in av.library_versions.items()
        if name in ("libavcodec", "libavformat")
    )
    return f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}: {libraries}"


def _others() -> str:
    for name in _LIBRARIES:
        import_module(name)
    return ", ".join(_LIBRARIES)


def _devices() -> Result:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    found = [f"cpu ({torch.get_num_threads()} threads, {capability})"]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index} ({card.name}, {card.total_memory / 1e9:.0f} GB)")
    if torch.backends.mps.is_available():
        found.append("mps")
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        return (
            f"{', '.join(found)}; an NVIDIA driver is here that this PyTorch cannot use",
            "update the driver, or install a PyTorch for it: https://pytorch.org/get-started",
        )
    return ", ".join(found)


def _precisions() -> str:
    from vidcaption.model.device import Machine
    from vidcaption.options.captioning import DeviceOptions

    usual = Machine.find()
    found = []
    for precision in ("fp32", "bf16", "fp16"):
        try:
            Machine.find(DeviceOptions(precision=precision))
        except DeviceError:
            continue
        found.append(precision + (" (taken)" if precision == usual.precision else ""))
    return f"{', '.join(found)} on {usual.device}"


def _codecs() -> Result:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    def there(decoder: str) -> bool:
        try:
            Codec(decoder, "r")
        except UnknownCodecError:
            return False
        return True

    found = [name for name, decoders in _DECODERS.items() if any(map(there, decoders))]
    if missing := [name for name in _DECODERS if name not in found]:
        return (
            f"{', '.join(found)}; not {', '.join(missing)}",
            "install PyAV from PyPI, whose FFmpeg has them: pip install --force-reinstall av",
        )
    return ", ".join(found)


def _weights() -> str:
    from vidcaption.model.manifest import WEIGHTS, check
    from vidcaption.store import resolve

    folder = resolve()
    return f"whole, sha256 {check(folder)[WEIGHTS]['sha256'][:12]}, in {folder}"


def _model_cache() -> Result:
    from vidcaption.store import cache
    from vidcaption.store.settings import settings

    cache.check_home()
    place = Path(settings().HF_HUB_CACHE).absolute()
    models = list(cache.models())
    size = sum(_size(each.folder) for each in models)
    found = f"{place}: {counted(len(models), 'vidcaption model')}, {size / 1e6:.1f} MB"
    if partial := [f"{each.repo}@{each.commit}" for each in models if not each.complete]:
        advice = f"fetch the rest: vidcaption models pull {' '.join(partial)}"
        return f"{found}, not all complete", advice
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    if not os.access(there, os.W_OK):
        advice = "to fetch models, set HF_HOME to a folder that can be written to"
        return f"{found}; it cannot be written to", advice
    return found


def _backbone_cache() -> str:
    import torch

    place = Path(torch.hub.get_dir()) / "checkpoints"
    count = len(list(place.glob("*.pth")))
    size = _size(place) if place.is_dir() else 0
    return f"{place}: {counted(count, 'file')} of ImageNet weights, {size / 1e6:.1f} MB"


def _network() -> Result:
    from vidcaption.store.settings import settings

    constants = settings()

    from huggingface_hub import get_token

    offline = constants.is_offline_mode()
    parts = [
        "disabled by HF_HUB_OFFLINE" if offline else "only used for models on the Hub",
        f"at {_shown(constants.ENDPOINT)}",
        "a token is set" if get_token() else "no token",
    ]
    if proxies := sorted({_shown(url) for name, url in getproxies().items() if name != "no"}):
        parts.append(f"through {', '.join(proxies)}")
    if urlsplit(constants.ENDPOINT).scheme not in ("http", "https"):
        return ", ".join(parts), "set HF_ENDPOINT to a URL, or unset it"
    return ", ".join(parts)


def _scoring() -> Result:
    from vidcaption.evaluation.metrics import has_java

    if find_spec("pycocoevalcap") is None:
        advice = "for evaluate, install vidcaption[eval], and a Java runtime"
        return "there is no pycocoevalcap", advice
    if not has_java():
        advice = "for standard scores, including METEOR, install a Java runtime"
        return "pycocoevalcap, but there is no Java", advice
    return f"pycocoevalcap, and Java at {shutil.which('java')}"


def _training() -> Result:
    if missing := [name for name in ("matplotlib", "pycocoevalcap") if find_spec(name) is None]:
        return f"there is no {' and no '.join(missing)}", "for train, install vidcaption[train]"
    return "matplotlib, pycocoevalcap"


def _caption() -> str:
    from vidcaption.pipeline import Captioner

    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip)
        captioner = Captioner.from_pretrained()
        began = time.monotonic()
        [segment] = captioner.caption(clip).segments
    seconds, machine = time.monotonic() - began, captioner.machine
    return f"{segment.text!r} in {seconds:.1f} s on {machine.device}, {machine.precision}"


_CHECKS: dict[str, Check] = {
    "Python": _python,
    "vidcaption": _itself,
    "PyTorch": _library("torch"),
    "torchvision": _library("torchvision"),
    "PyAV": _pyav,
    "OpenCV": _library("cv2"),
    "other libraries": _others,
    "devices": _devices,
    "precisions": _precisions,
    "codecs": _codecs,
    "built-in model": _weights,
    "model cache": _model_cache,
    "training's cache": _backbone_cache,
    "network": _network,
    "scoring": _scoring,
    "training": _training,
    "a caption": _caption,
}
_OPTIONAL = ("codecs", "model cache", "training's cache", "network", "scoring", "training")


def _write_clip(path: Path) -> None:
    """One second of a moving square, 96x96 at 8 frames per second, in a codec of every FFmpeg
    build."""
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
    """A URL without the name and password that it may contain."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else repr(url)
