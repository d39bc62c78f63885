"""Reads HEIF stills (HEIC and AVIF), of which FFmpeg returns only single tiles."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame

from vidcaption.addresses import is_address
from vidcaption.errors import InputError, SetupError, UsageError
from vidcaption.video.container import check_size, open_bytes

if TYPE_CHECKING:  # imported on demand: such pictures are rare
    from PIL.Image import Image

# Major brands of files with a still (ISO/IEC 23008-12, annex B, and AV1 Image File Format); those
# with a sequence are videos. MIAF files name the codec among their compatible brands.
_STILLS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif"}


def read_heif(path: str) -> tuple[str, VideoFrame] | None:
    """The codec and the upright picture of a HEIF still; None for other files.

    Raises InputError for a picture that is too large or cannot be decoded.
    """
    brands = _brands(path)
    if not brands or brands[0] not in _STILLS:
        return None
    avif = b"avif" in brands
    try:
        image = _read_avif(path) if avif else _read_heic(path)
        clear = image.has_transparency_data
        pixels = np.asarray(image.convert("RGBA" if clear else "RGB"))
    except (OSError, EOFError, ValueError, RuntimeError, SyntaxError) as error:
        raise InputError(f"{path} cannot be decoded; it may be damaged or cut off") from error
    return "av1" if avif else "hevc", VideoFrame.from_ndarray(pixels, "rgba" if clear else "rgb24")


def _read_avif(path: str) -> "Image":
    from PIL.AvifImagePlugin import AvifImageFile
    from PIL.ImageOps import exif_transpose

    with open_bytes(path) as file:
        image = AvifImageFile(file)  # not PIL.Image.open, which has its own limit and warns
        check_size(path, *image.size)
        return exif_transpose(image)


def _read_heic(path: str) -> "Image":
    from pi_heif import open_heif

    with open_bytes(path) as file:
        heif = open_heif(file)
    check_size(path, *heif.size)
    if _is_cut_off(path):
        raise EOFError  # libheif would fill the missing part with green
    image: Image = heif.to_pillow()  # libheif has rotated it
    return image


def _brands(path: str) -> list[bytes]:
    """The major brand of an MP4-like file and all compatible ones; none of other files."""
    head = b""
    with suppress(OSError, SetupError, UsageError):  # reported where it is opened as a video
        if os.path.isfile(path) or is_address(path):  # reading a pipe would block
            with open_bytes(path) as file:
                head = file.read(256)
    if head[4:8] != b"ftyp":
        return []
    names = head[8 : int.from_bytes(head[:4], "big")]
    return [names[:4], *(names[at : at + 4] for at in range(8, len(names), 4))]


def _is_cut_off(path: str) -> bool:
    """Whether the box that holds the pixels goes on after the end of the file."""
    with open_bytes(path) as file:
        end = file.seek(0, os.SEEK_END)
        at = file.seek(0)
        while len(head := file.read(16)) >= 8:
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            if head[4:8] == b"mdat" and at + size > end:
                return True
            if size < 8:  # 0: the box extends to the end of the file
                return False
            at += size
            file.seek(at)
    return False
