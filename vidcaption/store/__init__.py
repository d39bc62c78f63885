"""Where weights come from: the package, a folder, the Hub's cache, or the Hub.

The network is used only for a model on the Hub that is not complete in the cache, and only if that
is allowed. Code that needs no network does not import the libraries for it.
"""

import os
from pathlib import Path

from vidcaption.errors import ModelError
from vidcaption.model.manifest import check, verify
from vidcaption.store import cache
from vidcaption.store.reference import Reference
from vidcaption.store.settings import settings
from vidcaption.types import Watch

DEFAULT = "default"
_PACKAGE = Path(__file__).parent.parent


def embedded(name: str) -> Path | None:
    """A file or folder of the weights that come with the package, if it exists."""
    # in a wheel the weights are in the package, in a checkout beside it
    places = (_PACKAGE / "_weights" / name, _PACKAGE.parent / "weights" / name)
    return next((place for place in places if place.exists()), None)


def resolve(
    name: str | Path | None = None, *, offline: bool = False, watch: Watch | None = None
) -> Path:
    """The folder of a model: the built-in one for None or ``default``, else that of ``name``.

    ``name``: a folder, or ``owner/name[@revision]`` on the Hub. A branch or tag is resolved once,
    and its commit is recorded in the cache and used from then on: see ``pull``. ``offline``: never
    use the network. Raises ModelError if there is no such model, and OutputError if the cache
    cannot be written.
    """
    place = _place(name)
    if isinstance(place, Path):
        return place
    if cached := cache.find(place):
        return cached
    if offline or settings().is_offline_mode():
        raise ModelError(
            f"{place} is not on this machine, or not complete in {settings().HF_HUB_CACHE}; fetch "
            f"it with 'vidcaption models pull {place}', which uses the network"
        )
    from vidcaption.store.hub import fetch

    return fetch(place, watch)


def pull(name: str, *, update: bool = False, watch: Watch | None = None) -> Path:
    """The folder of a model, checked, and fetched from the Hub if missing or altered.

    ``update``: ask the Hub again what a branch or tag means. Raises ModelError, OutputError.
    """
    place = _place(name)
    if isinstance(place, Path):
        check(place)
        return place
    cached = cache.find(place)
    altered = cached is not None and not _intact(cached)
    if cached and not altered and not update:
        check(cached)
        return cached
    from vidcaption.store.hub import fetch

    return fetch(place, watch, again=altered)


def name_of(folder: Path) -> str:
    """The name of the model in ``folder``, by which others find the same one."""
    if folder == embedded(DEFAULT):
        return DEFAULT
    return cache.name_of(folder) or str(folder)


def _place(name: str | Path | None) -> Path | Reference:
    """The folder of a model, or its name on the Hub. Raises ModelError if it can be neither."""
    if name is None or name == DEFAULT:
        if folder := embedded(DEFAULT):
            return folder
        raise ModelError("this installation has no built-in model; install vidcaption again")
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        return folder
    if reference := Reference.parse(str(name)):
        return reference
    raise ModelError(
        f"there is no model {str(name)!r}; give a model folder, owner/name[@revision] on the Hub, "
        "or omit it for the built-in one"
    )


def _intact(folder: Path) -> bool:
    try:
        verify(folder)
    except ModelError:
        return False
    return True
