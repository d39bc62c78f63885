"""What reads bytes that anybody may have written: each target takes any, and raises for defects.

The errors that a reader raises on purpose are passed over, provided that they are one sentence.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from vidcaption.batch.inputs import read_list
from vidcaption.batch.manifest import read_manifest
from vidcaption.errors import InputError, ModelError, UsageError
from vidcaption.model.config import ModelConfig
from vidcaption.model.manifest import read_text
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import CaptionOptions
from vidcaption.video.batches import WindowReader

HOURS = CaptionOptions(window_s=3600, frames=2)
_folder = TemporaryDirectory(prefix="vidcaption-fuzz-")  # pytest removes it, and libFuzzer does not

av.logging.set_level(None)


def config(data: bytes) -> None:
    """A model's ``config.json``: what is read is written, and read again, the same."""
    try:
        read = ModelConfig.from_json(read_text(_file(data)))
    except ModelError as error:
        _check(error)
    else:
        assert ModelConfig.from_json(read.to_json()) == read


def vocabulary(data: bytes) -> None:
    """A model's ``vocab.json``."""
    try:
        read = Vocabulary.from_json(read_text(_file(data)))
    except ModelError as error:
        _check(error)
    else:
        assert Vocabulary.from_json(read.to_json()).words == read.words
        assert len(read.decode(range(len(read)))) == len(read)


def video(data: bytes) -> None:
    """A file that should be a video: its description, and its windows."""
    try:
        with WindowReader(_file(data), (16, 16), HOURS, 8) as reader:
            assert reader.info.duration_s is None or reader.info.duration_s > 0
            while windows := reader.read():
                assert all(0 <= window.start_s <= window.end_s for window in windows)
                assert all(frame.image.shape == (16, 16, 3) for w in windows for frame in w.frames)
    except InputError as error:
        _check(error)


def manifest(data: bytes) -> None:
    """The manifest of a batch."""
    try:
        rows = read_manifest(_file(data))
    except UsageError as error:
        _check(error)
    else:
        assert len({row.path for row in rows}) == len(rows)


def paths(data: bytes) -> None:
    """A list of paths."""
    try:
        read = read_list(str(_file(data)))
    except UsageError as error:
        _check(error)
    else:
        assert read


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (config, vocabulary, video, manifest, paths)
}


def _file(data: bytes) -> Path:
    path = Path(_folder.name, "input")
    path.write_bytes(data)
    return path


def _check(error: Exception) -> None:
    message = str(error)
    assert message.isprintable(), message
