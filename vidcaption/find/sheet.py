"""A contact sheet: a page with a picture of each moment found."""

import logging
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vidcaption.errors import InputError
from vidcaption.find.search import Moment
from vidcaption.output.formats import readable_line
from vidcaption.report.page import render
from vidcaption.report.pictures import jpeg_uri, ratio, shrink
from vidcaption.types import Segment
from vidcaption.video.container import open_video, undecodable

logger = logging.getLogger(__name__)

_WIDTH = 320  # pixels of a picture


def contact_sheet(title: str, moments: Sequence[Moment]) -> str:
    """HTML in one file that fetches nothing, with links to the videos."""
    return render("moments.html", title=title, moments=list(map(_card, moments)))


def line(moment: Moment) -> str:
    """Its times and caption, readable."""
    return readable_line(Segment(moment.start_s, moment.end_s, moment.text, moment.score))


def thumbnail(moment: Moment) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB from the middle of a moment, or the last picture of its video.

    Raises InputError.
    """
    path = str(moment.path)
    middle_s = (moment.start_s + moment.end_s) / 2
    picture: av.VideoFrame | None = None
    try:
        with open_video(path) as (container, stream):
            middle_s += (container.start_time or 0) / av.time_base
            if stream.time_base is not None and container.duration is not None:
                container.seek(int(middle_s / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                picture = frame
                if frame.time is None or frame.time >= middle_s:
                    break
        if picture is None:
            raise undecodable(path)
        image = picture.to_ndarray(format="rgb24")
        turned = np.rot90(image, round(picture.rotation / 90))
    except FFmpegError as error:
        raise undecodable(path) from error
    upright = np.ascontiguousarray(turned, np.uint8)
    return shrink(upright, round(_WIDTH / ratio(upright)), _WIDTH)


def _card(moment: Moment) -> dict[str, Any]:
    picture = None
    try:
        picture = jpeg_uri(thumbnail(moment))
    except InputError as error:
        logger.warning(f"there is no picture of a moment: {error}")
    return {
        "picture": picture,
        "line": line(moment),
        "text": moment.text,
        "name": moment.path.name,
        "path": str(moment.path),
        "address": f"{moment.path.as_uri()}#t={moment.start_s:.3f},{moment.end_s:.3f}",
        "score": f"{moment.score:.2f}",
        "confidence": None if moment.confidence is None else f"{moment.confidence:.0%}",
    }
