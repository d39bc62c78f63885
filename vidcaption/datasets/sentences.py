"""Sentences without pictures, from which a decoder can learn to write."""

import gzip
from pathlib import Path

from vidcaption.datasets.items import holds_times
from vidcaption.errors import UsageError


def read_sentences(path: Path) -> list[str]:
    """The lines of a text file that are not blank; a ``.gz`` is read as it is.

    Raises UsageError for what cannot be read, is not UTF-8, has times or has no sentence.
    """
    try:
        encoded = path.read_bytes()
        text = (gzip.decompress(encoded) if path.suffix == ".gz" else encoded).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}") from error
    except EOFError as error:
        raise UsageError(f"{path} is cut off; fetch it again") from error
    except gzip.BadGzipFile as error:
        raise UsageError(f"{path} is named .gz and is not gzip data") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if timed := next(filter(holds_times, sentences), None):
        raise UsageError(
            f"{path} has times in it, {timed[:60]!r}, which are no words; take them out"
        )
    if not sentences:
        raise UsageError(f"{path} holds no sentence; it should have one on each line")
    return sentences
