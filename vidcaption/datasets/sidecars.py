"""A folder of videos and images with captions in a file of the same name beside each."""

import re
from collections.abc import Set
from pathlib import Path

import srt

from vidcaption.datasets.items import Item, list_folder, read_lines, read_text, sample
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

SIDECARS = (".txt", ".srt")
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


def read_folder(folder: Path, without: Set[Path] = frozenset()) -> list[Sample]:
    """The videos and images in ``folder``, without subfolders, that have captions.

    ``clip.txt`` has a caption of the whole ``clip.mp4`` on each line; each cue of ``clip.srt`` is
    the caption of its own part, or of a single frame if it has no length. ``without``: caption
    files to skip. Raises UsageError that names file and line.
    """
    samples: list[Sample] = []
    for file in list_folder(folder):
        video = file.suffix.lower() in VIDEO_SUFFIXES
        if file.name.startswith(".") or not (video or file.suffix.lower() in IMAGE_SUFFIXES):
            continue
        lines, cues = (file.with_suffix(suffix) for suffix in SIDECARS)
        has_lines, has_cues = (each.is_file() and each not in without for each in (lines, cues))
        if video and has_cues:
            if has_lines:
                raise UsageError(f"{file} has both {lines.name} and {cues.name}; keep one")
            samples += _read_cues(file, cues)
        elif has_lines:
            captions = [" ".join(line.split()) for line in read_lines(lines) if line.strip()]
            if not captions:
                raise UsageError(f"{lines} has no captions; write one on each line")
            samples.append(sample(Item(file.name, "", tuple(captions)), file))
    if not samples:
        raise UsageError(
            f"no video or image in {folder} has a .txt or .srt file beside it"
            f"{' that vidcaption did not write' if without else ''}, or is in a folder named by "
            "its label; for a dataset in another format give its file, not its folder"
        )
    return samples


def _read_cues(video: Path, path: Path) -> list[Sample]:
    """One sample per cue with text. Raises UsageError."""
    text = read_text(path)
    try:
        cues = list(srt.parse(text))
    except srt.SRTParseError as error:
        blank = len(error.unmatched_content) - len(error.unmatched_content.lstrip())
        line = text.count("\n", 0, error.expected_start + blank) + 1
        raise UsageError(f"{path}, line {line}: not a cue of SubRip subtitles") from error
    times = [number for number, line in enumerate(text.split("\n"), 1) if "-->" in line]
    samples = []
    for number, cue in enumerate(cues):
        where = f"{path}, line {times[number]}"
        if "-->" in cue.content:  # which would also shift the line numbers of later cues
            raise UsageError(f"{where}: the cue's text contains -->, which separates start and end")
        start_s, end_s = cue.start.total_seconds(), cue.end.total_seconds()
        if end_s < start_s:
            raise UsageError(f"{where}: the cue ends before it starts")
        if caption := " ".join(_MARKUP.sub("", cue.content).split()):
            name = f"{video.name}#{number + 1}"
            samples.append(
                Sample(name, (caption,), None, video=video, start_s=start_s, end_s=end_s)
            )
    if not samples:
        raise UsageError(f"{path} has no captions")
    return samples
