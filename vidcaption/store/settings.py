"""The Hub's settings, which its library reads from the environment on import, and being offline."""

import os
import warnings
from types import ModuleType

from vidcaption.addresses import Address, Location
from vidcaption.errors import ModelError, UsageError


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


def check_network(location: Location, *, offline: bool) -> None:
    """Raise UsageError for an address if ``offline``, or the Hub's settings, forbid the network."""
    if isinstance(location, Address) and (offline or settings().is_offline_mode()):
        by = "--offline" if offline else "HF_HUB_OFFLINE"
        raise UsageError(
            f"{location} is an address, and {by} forbids the network; download it first, or remove "
            f"{by}"
        )
