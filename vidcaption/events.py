"""What the package's log records carry beside their text."""

import logging
from typing import Any

VERBOSE = 15  # between what is worth knowing and what helps to find out why
logging.addLevelName(VERBOSE, "VERBOSE")


def event(name: str, /, **facts: object) -> dict[str, Any]:
    """``extra`` of a record: what happened, and facts about it, both for JSON alone."""
    return {"event": name, "facts": facts}
