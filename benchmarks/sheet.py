"""Draw what a model says of clips and photographs on one sheet, for a person to judge.

    python benchmarks/sheet.py clips/*.mp4 photographs/*.jpg --model runs/mine --out sheet.png \\
      > sheet.tsv

Every segment has a number, up to two of its frames, and its caption. The table on standard output
has a row for each; write right, partly or wrong into its last column, then count:

    cut -f 6 sheet.tsv | sort | uniq -c
"""

import argparse
import csv
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidcaption import Captioner, InputError, Segment
from vidcaption.datasets.samples import Clip, Sample, load_frames
from vidcaption.output.text import one_line
from vidcaption.output.write import write_atomic
from vidcaption.report.pictures import shrink, strip
from vidcaption.report.sheet import Drawing

WIDTH, PICTURE, GAP, LINE = 250, 150, 12, 15  # pixels; the second is the frames' most height
FRAMES, LINES, CHARACTERS = 2, 3, 36  # of an item at most; the last for each line


@dataclass(frozen=True)
class Item:
    path: Path
    segment: Segment
    frames: Sequence[Clip]


def items(captioner: Captioner, paths: Sequence[Path]) -> Iterator[Item]:
    """The segments of all inputs; those that cannot be captioned are named on standard error."""
    for path in paths:
        try:
            for segment in captioner.caption(path).segments:
                part = (segment.start_s, segment.end_s)
                sample = Sample(path.name, (), None, (), path, *part)
                yield Item(path, segment, load_frames(sample, FRAMES))
        except InputError as error:
            print(error, file=sys.stderr)


def draw(shown: Sequence[Item], columns: int) -> bytes:
    """PNG of numbered items, from left to right."""
    drawing = Drawing()
    height = PICTURE + LINES * LINE + GAP
    for i, item in enumerate(shown):
        row, column = divmod(i, columns)
        left, top = GAP + column * (WIDTH + GAP), GAP + row * height
        frames = strip(item.frames)
        scale = min(PICTURE / frames.shape[0], WIDTH / frames.shape[1])
        tall, wide = (max(1, int(scale * side)) for side in frames.shape[:2])
        drawing.pictures.append((left, top, shrink(frames, tall, wide)))
        words = textwrap.wrap(
            f"{i + 1}. {one_line(item.segment.text)}",
            CHARACTERS,
            max_lines=LINES,
            placeholder=" ...",
        )
        for number, line in enumerate(words, 1):
            drawing.labels.append((left, top + tall + number * LINE, line, {}))
    rows = -(-len(shown) // columns)
    return drawing.png(GAP + columns * (WIDTH + GAP), GAP + rows * height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--model", help="a folder or owner/name; the embedded one unless given")
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    asked = parser.parse_args()
    shown = list(items(Captioner.from_pretrained(asked.model), asked.paths))
    if not shown:
        sys.exit("nothing was captioned, so that there is no sheet")
    write_atomic(asked.out, draw(shown, asked.columns))
    table = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    table.writerow(["number", "file", "start", "end", "caption", "judgement"])
    for i, item in enumerate(shown, 1):
        start_s, end_s, text = item.segment.start_s, item.segment.end_s, item.segment.text
        table.writerow([i, item.path, f"{start_s:.1f}", f"{end_s:.1f}", one_line(text), ""])


if __name__ == "__main__":
    main()
