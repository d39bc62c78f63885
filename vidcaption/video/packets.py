"""The role of a packet in its stream, as far as its first bytes tell.

H.264 (Rec. ITU-T H.264, 7.3.1 and 7.4.1) and HEVC (Rec. ITU-T H.265, 7.3.1 and 7.4.2) say in the
header of each NAL unit whether other pictures are predicted from this one. Containers could flag
that as well, but files by x264 and FFmpeg do not.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

H264_SLICES, H264_IDR, H264_SETTINGS = range(1, 6), 5, {7, 8, 13, 15}
HEVC_SLICES, HEVC_IDR, HEVC_RANDOM_ACCESS = range(32), {19, 20}, range(16, 22)
HEVC_SETTINGS, HEVC_ENDS = range(32, 35), (36, 37)
HEVC_LEADING = range(6, 10)
HEVC_SUB_LAYER = range(15)  # the even ones of these types are not references


class UnsureError(Exception):
    """A stream of which no packet can safely be skipped."""


class Role(NamedTuple):
    """The role of a packet.

    ``key``: it is decoded by itself. ``start``: frames shown after it do not depend on packets
    before it. ``resets``: the decoder notices that by itself. ``droppable``: no other packet needs
    it. ``settings``: it holds settings that others may need. ``between``: if the codec reorders, it
    is shown before a packet that is stored before it. ``ends``: a sequence ends with it, and
    pictures next to that may never be shown.
    """

    key: bool
    start: bool
    resets: bool
    droppable: bool
    settings: bool = False
    between: bool = False
    ends: bool = False


RoleOf = Callable[["Packet[VideoStream]"], Role]


def role_reader(stream: VideoStream) -> RoleOf | None:
    """The function that reads the roles of a stream's packets, or None for unsupported codecs.

    It raises UnsureError for a packet that it cannot read.
    """
    codec = stream.codec_context.codec
    if codec.canonical_name in ("h264", "hevc"):
        return _nal_reader(codec.canonical_name, stream.codec_context.extradata or b"")
    if codec.canonical_name in ("vp9", "av1"):
        return lambda packet: Role(packet.is_keyframe, packet.is_keyframe, True, False)
    if codec.intra_only:
        return lambda packet: Role(True, True, True, True)
    return None


def plain_role(packet: "Packet[VideoStream]") -> Role:
    """What is known about a packet of any other codec."""
    return Role(packet.is_keyframe, False, True, False)


def _nal_reader(codec: str, extradata: bytes) -> RoleOf:
    if extradata[:1] != b"\1":  # Annex B, with start codes
        return lambda packet: _role(codec, packet, _between_codes(bytes(packet)), False)
    at = 4 if codec == "h264" else 21
    if len(extradata) <= at:
        raise UnsureError
    size = (extradata[at] & 3) + 1
    single = codec == "hevc" and extradata[at] >> 3 & 7 == 1  # temporal layer
    return lambda packet: _role(codec, packet, _after_lengths(memoryview(packet), size), single)


def _role(codec: str, packet: "Packet[VideoStream]", units: Iterator[bytes], single: bool) -> Role:
    return _h264(packet, units) if codec == "h264" else _hevc(units, single)


def _h264(packet: "Packet[VideoStream]", units: Iterator[bytes]) -> Role:
    """FFmpeg flags recovery points as key frames, too; they are if they are of I slices.

    But only an IDR picture is a start: what follows a recovery point may refer to what precedes it.
    """
    idr = intra = reference = settings = slices = False
    for unit in units:
        kind = unit[0] & 31
        settings |= kind in H264_SETTINGS
        if kind in H264_SLICES:
            slices = True
            idr |= kind == H264_IDR
            reference |= unit[0] & 0x60 != 0
            # first_mb_in_slice 0 and slice_type 2 or 7, in Exp-Golomb code
            intra |= unit[1] >> 4 == 0b1011 or unit[1] == 0b10001000
    if not slices:
        raise UnsureError
    key = packet.is_keyframe and (idr or intra)
    return Role(key, idr, idr, not (reference or settings), settings, not reference)


def _hevc(units: Iterator[bytes], single: bool) -> Role:
    """Without its leading pictures, a CRA or BLA picture is as good a start as IDR."""
    kinds = [unit[0] >> 1 & 63 for unit in units]
    settings = any(kind in HEVC_SETTINGS for kind in kinds)
    slices = {kind for kind in kinds if kind in HEVC_SLICES}
    if len(slices) != 1:
        raise UnsureError
    kind = slices.pop()
    key = kind in HEVC_RANDOM_ACCESS
    least = kind in HEVC_SUB_LAYER and kind % 2 == 0
    free, between = least and single, least or kind in HEVC_LEADING
    ends = any(kind in HEVC_ENDS for kind in kinds)
    return Role(key, key, kind in HEVC_IDR, free and not settings, settings, between, ends)


def _after_lengths(data: memoryview, size: int) -> Iterator[bytes]:
    """The first two bytes of each NAL unit; the units' lengths have ``size`` bytes."""
    at = 0
    while at + size < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        at += size
        if at + length > len(data):
            raise UnsureError
        if length > 1:
            yield bytes(data[at : at + 2])
        at += length


def _between_codes(data: bytes) -> Iterator[bytes]:
    """The first two bytes of each NAL unit that follows a start code."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        unit = data[at + 3 : at + 5]
        if len(unit) == 2:
            yield unit
        at = data.find(b"\0\0\1", at + 3)
