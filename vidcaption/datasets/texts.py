"""Captions in text files, one per line after a name: Flickr8k, Flickr30k and MSVD."""

import re
from pathlib import Path

from vidcaption.datasets.items import find_files, gather, read_lines, with_lists
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError

_TOKEN = re.compile(r"(?P<name>.+)#\d+\t(?P<caption>.*)")
_DESCRIPTION = re.compile(r"(?P<name>\S+)\s(?P<caption>.*)")


def read_flickr(path: Path) -> list[Sample]:
    """``Flickr8k.token.txt`` or ``results_20130124.token``: ``name.jpg#0``, a tab, a caption.

    Hodosh et al. 2013, Young et al. 2014. Raises UsageError that names file and line.
    """
    return _read(path, _TOKEN, "an image, #, a number, a tab and a caption")


def read_msvd(path: Path) -> list[Sample]:
    """``AllVideoDescriptions.txt``: a clip's name, a space, a sentence; # begins a comment.

    Chen and Dolan 2011. Raises UsageError that names file and line.
    """
    return _read(path, _DESCRIPTION, "a clip, a space and a sentence")


def _read(path: Path, form: re.Pattern[str], wanted: str) -> list[Sample]:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = form.fullmatch(line)
        if not found:
            raise UsageError(f"{path}, line {number}: a line must be {wanted}; got {line[:60]!r}")
        rows.append((f"line {number}", found["name"], found["caption"]))
    return find_files(path, with_lists(path, gather(path, rows)))
