"""Where weights come from: embedded in the package, or a folder."""

from pathlib import Path

from vidcaption.errors import ModelError

DEFAULT = "default"
_PACKAGE = Path(__file__).parent


def resolve(name: str | Path | None = None) -> Path:
    """The folder of a model: of the embedded one for None or ``default``, else ``name`` itself.

    Raises ModelError where there is no such folder.
    """
    if name is None or name == DEFAULT:
        # inside a wheel the weights lie in the package, in a checkout beside it
        places = (_PACKAGE / "_weights" / DEFAULT, _PACKAGE.parent / "weights" / DEFAULT)
        for place in places:
            if place.is_dir():
                return place
        raise ModelError("this installation has no embedded model; install vidcaption again")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"there is no model {str(name)!r}; give a model folder, or leave it out for the "
            "embedded one"
        )
    return folder
