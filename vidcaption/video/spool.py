"""A copy of a stream in a file, since most containers need seeking."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from vidcaption.errors import InputError, OutputError, UsageError


@contextmanager
def spooled(stream: BinaryIO, name: str, what: str) -> Iterator[Path]:
    """A file of that name with the rest of a stream; it is removed at the end.

    ``what``: what messages call the stream. Raises UsageError if it cannot be read, InputError if
    it is empty, OutputError if the file cannot be written.
    """
    try:
        place = TemporaryDirectory(prefix="vidcaption-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _not_kept(what, "there is no folder for temporary files") from error
    with place as folder:
        path = Path(folder, name)
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
        except (TypeError, ValueError) as error:  # text, closed, or open for writing
            raise UsageError(
                f"{what} cannot be read; give a file that is open for reading in binary mode"
            ) from error
        except OSError as error:
            raise _not_kept(what, f"{error.strerror} in {Path(folder).parent}") from error
        if not path.stat().st_size:
            raise InputError(f"{what} is empty; check what writes it")
        yield path


def _not_kept(what: str, reason: str) -> OutputError:
    return OutputError(
        f"{what} cannot be copied to a temporary file: {reason}; name a folder with space in "
        "the environment variable TMPDIR"
    )
