"""References and captions in one picture, and where the model looked."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidcaption.datasets.samples import Clip
from vidcaption.output.text import one_line
from vidcaption.report.cases import Case
from vidcaption.report.pictures import heat, ratio, shrink, strip, warmed
from vidcaption.report.plots import to_png

_WIDTH, _LEFT = 1200, 330  # pixels: of the sheet, and of the column with the frames
_STRIP, _TILE = 150, 72  # pixels, maximum height of the frames and height of a word's picture
_GAP, _LINE, _ASCENT = 6, 17, 12  # pixels; the last from the top of a line to its baseline
_CHARACTERS = 115  # of a line
_REFERENCES = 3


@dataclass(frozen=True)
class Drawing:
    """Pictures (x, y of the top left corner) and labels (x, y of the baseline) of a sheet.

    In pixels from the sheet's top left. The last item of a label is its style, for matplotlib.
    """

    pictures: list[tuple[int, int, Clip]] = field(default_factory=list)
    labels: list[tuple[float, int, str, dict[str, Any]]] = field(default_factory=list)

    def png(self, width: int, height: int) -> bytes:
        """A white sheet of ``width`` x ``height`` pixels with everything on it."""
        from matplotlib.figure import Figure

        canvas = np.full((height, width, 3), 255, np.uint8)
        for x, y, picture in self.pictures:
            canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        figure = Figure(figsize=(width / 100, height / 100))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(canvas, aspect="auto", extent=(0, width, height, 0))
        axes.axis("off")
        for left, base, words, style in self.labels:
            # a dollar sign in a caption does not start a formula
            axes.text(left, base, words, fontsize=9, parse_math=False, **style)
        return to_png(figure, dpi=100)


def plot_sheet(cases: Sequence[Case]) -> bytes:
    """PNG of each case's frames, caption and references, and a picture of each word's attention."""
    drawing, height = Drawing(), _GAP
    for case in cases:
        height = _draw(drawing, case, height) + 2 * _GAP
    return drawing.png(_WIDTH, height)


def _draw(drawing: Drawing, case: Case, top: int) -> int:
    """Place a case below ``top``; returns where it ends."""
    frames = strip(case.frames)
    scale = min(1, _STRIP / frames.shape[0], (_LEFT - 3 * _GAP) / frames.shape[1])
    height, width = (max(1, int(scale * side)) for side in frames.shape[:2])
    drawing.pictures.append((_GAP, top, shrink(frames, height, width)))
    y = top
    lines: list[tuple[str, dict[str, Any]]] = [(case.said.text or "(nothing)", {"weight": "bold"})]
    lines += [(caption, {"color": "dimgrey"}) for caption in case.references[:_REFERENCES]]
    for words, style in lines:
        short = textwrap.shorten(one_line(words), _CHARACTERS, placeholder=" ...")
        drawing.labels.append((_LEFT, y + _ASCENT, short, style))
        y += _LINE
    return max(top + height, _draw_words(drawing, case, y + _GAP))


def _draw_words(drawing: Drawing, case: Case, y: int) -> int:
    """For each word the frame with its highest attention, in as many rows as needed."""
    width = round(_TILE * ratio(case.frames[0]))
    per_row = (_WIDTH - _LEFT) // (width + _GAP)
    step = _TILE + _LINE + _GAP
    for i, (word, attention) in enumerate(zip(case.words, case.attention, strict=True)):
        row, column = divmod(i, per_row)
        x, top = _LEFT + column * (width + _GAP), y + row * step
        most = int(attention.sum((1, 2)).argmax())
        frame = shrink(case.frames[most], _TILE, width)
        drawing.pictures.append((x, top, warmed(frame, heat(attention)[most])))
        label = textwrap.shorten(one_line(word), 14, placeholder="...")
        drawing.labels.append((x + width / 2, top + _TILE + _ASCENT, label, {"ha": "center"}))
    return y + step * -(-len(case.words) // per_row)
