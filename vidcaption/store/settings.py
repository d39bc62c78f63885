"""The Hub's settings, which its library reads from the environment on import."""

import os
import warnings
from types import ModuleType

from vidcaption.errors import ModelError


def settings() -> ModuleType:
    """``huggingface_hub.constants``, imported when first needed.

    Raises ModelError if the environment contains a value that the library cannot parse.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about variables without effect
            from huggingface_hub import constants
    except ValueError as error:
        # it parses two numbers and an address
        odd = [n for n in os.environ if n.startswith("HF_") and repr(os.environ[n]) in str(error)]
        name = odd[0] if odd else "HF_ENDPOINT"
        raise ModelError(
            f"{name} is {os.environ.get(name)!r}, which is not valid; correct it or unset it"
        ) from error
    return constants
