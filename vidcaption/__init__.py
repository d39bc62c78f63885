"""Captions local videos: timed sentences about what is seen.

>>> from vidcaption import Captioner
>>> captions = Captioner.from_pretrained().caption("clip.mp4")
>>> captions.save("clip.srt")

Importing this package loads neither PyTorch nor a video library; the first use of a class does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vidcaption.errors import (
    DeviceError,
    InputError,
    ModelError,
    OutputError,
    SetupError,
    UsageError,
    VidcaptionError,
)
from vidcaption.version import __version__

if TYPE_CHECKING:
    from vidcaption.output.captions import Captions
    from vidcaption.pipeline import Captioner
    from vidcaption.types import Segment

__all__ = [
    "Captioner",
    "Captions",
    "DeviceError",
    "InputError",
    "ModelError",
    "OutputError",
    "Segment",
    "SetupError",
    "UsageError",
    "VidcaptionError",
    "__version__",
]

_HOMES = {
    "Captioner": "vidcaption.pipeline",
    "Captions": "vidcaption.output.captions",
    "Segment": "vidcaption.types",
}


def __getattr__(name: str) -> Any:
    """Import a public class when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
