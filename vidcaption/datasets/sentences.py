"""Sentences without pictures, for training a decoder."""

import gzip
from pathlib import Path

from vidcaption.datasets.items import holds_times
from vidcaption.errors import UsageError


def read_sentences(path: Path) -> list[str]:
    """The non-blank lines of a text file, which may be compressed (``.gz``).

    Raises UsageError if it cannot be read, is not UTF-8, contains times or has no sentence.
    """
    try:
        encoded = path.read_bytes()
        text = (gzip.decompress(encoded) if path.suffix == ".gz" else encoded).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}") from error
    except EOFError as error:
        raise UsageError(f"{path} is truncated; download it again") from error
    except gzip.BadGzipFile as error:
        raise UsageError(f"{path} is named .gz but is not gzip data") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if timed := next(filter(holds_times, sentences), None):
        raise UsageError(f"{path} contains times, {timed[:60]!r}; remove them")
    if not sentences:
        raise UsageError(f"{path} has no sentences; write one on each line")
    return sentences
