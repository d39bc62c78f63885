"""Segments to files: merging, subtitle layout, formats, names and atomic writing."""

from vidcaption.output.captions import Captions, ModelInfo
from vidcaption.output.formats import FORMATS, render_many, txt_line
from vidcaption.output.merge import merge_equal
from vidcaption.output.naming import output_paths
from vidcaption.output.text import printable
from vidcaption.output.write import write_atomic

__all__ = [
    "FORMATS",
    "Captions",
    "ModelInfo",
    "merge_equal",
    "output_paths",
    "printable",
    "render_many",
    "txt_line",
    "write_atomic",
]
