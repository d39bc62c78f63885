"""Captions with what tables may get wrong: line ends that are none, odd paths, missing values."""

from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.types import ModelInfo, Segment, VideoInfo, Word

SAMPLE = Captions(
    video=VideoInfo("a\u2028b\udcff.mp4", "h264", 64, 48, 0, 8.0, 25.0, 200),
    model=ModelInfo("default", "0" * 64),
    options=CaptionOptions(),
    segments=(
        Segment(0.0, 4.0, "a dog", -0.5, (Word("dog", 0.9),), confidence=0.7),
        Segment(4.0, 8.0, "a cat\u2028", -0.25, concepts=(Word("cat", 0.5),)),
    ),
)
