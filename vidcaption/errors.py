"""The exceptions of vidcaption, and the exit code of each branch.

VidcaptionError
├── UsageError      2    a bad option, a missing file, an unreadable dataset or config
├── InputError      1    one input cannot be captioned; the others go on
└── SetupError      3    nothing can run
    ├── ModelError       weights missing, broken, altered or of the wrong shape
    ├── DeviceError      the requested device or precision is not available
    └── OutputError      a result cannot be written: no permission, no space

Messages are one sentence: what was given, what is allowed, what to do next.
"""


class VidcaptionError(Exception):
    """Base class of the exceptions of vidcaption.

    >>> try:
    ...     captioner.caption("clip.mp4")
    ... except vidcaption.VidcaptionError as error:
    ...     sys.exit(error.exit_code)
    """

    exit_code = 1


class UsageError(VidcaptionError):
    """The command or call was wrong: a bad option value, a missing file, an unreadable dataset."""

    exit_code = 2


class InputError(VidcaptionError):
    """One input cannot be captioned: not a video, no video stream, no decodable frame."""

    exit_code = 1


class SetupError(VidcaptionError):
    """Nothing can run, whatever the input."""

    exit_code = 3


class ModelError(SetupError):
    """A model is missing, broken, altered, made for another version, or cannot be fetched."""


class DeviceError(SetupError):
    """The requested device or precision is not available on this machine."""


class OutputError(SetupError):
    """A result cannot be written: the folder is read-only, or the disk is full."""
