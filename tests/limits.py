"""A disk that fills up, and a process that has opened all the files it may."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def file_size(most: int) -> Iterator[None]:
    """No file that this process or one that it starts writes may grow beyond ``most`` bytes."""
    import resource  # POSIX

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def file_handles(most: int) -> Iterator[None]:
    """This process may not open files beyond that number: none at all where it is 3.

    With less, ``poll`` fails in the threads that serve other tests: it may not watch more files
    than may be open.
    """
    import resource  # POSIX

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
