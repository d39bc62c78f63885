"""The Hub's settings, which its library takes from the environment when it is imported."""

import os
import warnings
from types import ModuleType

from vidcaption.errors import ModelError


def settings() -> ModuleType:
    """``huggingface_hub.constants``, imported where it is first needed.

    Raises ModelError where the environment holds a value that the library cannot read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of variables that have no effect
            from huggingface_hub import constants
    except ValueError as error:
        # it reads two numbers and an address
        odd = [n for n in os.environ if n.startswith("HF_") and repr(os.environ[n]) in str(error)]
        name = odd[0] if odd else "HF_ENDPOINT"
        raise ModelError(
            f"{name} is {os.environ.get(name)!r}, which cannot be read; correct it or unset it"
        ) from error
    return constants
