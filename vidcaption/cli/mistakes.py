"""What is wrong with a command line, in this program's words instead of a library's."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vidcaption.video.names import address_hint, is_address

_TOO_MANY = re.compile(r"Got unexpected extra argument.*? \((.*)\)")


def video_as_command(name: str, rest: Sequence[str]) -> str | None:
    """What to say of a command that is a file, if it is one: ``vidcaption clip.mp4``."""
    if is_address(name):
        return address_hint(name)
    known = PurePath(name).suffix.casefold() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
    if known or name == "-" or os.path.exists(name):
        return f"to caption {name}, write: vidcaption run {shlex.join([name, *rest])}"
    return None


def explained(error: Any, args: Sequence[str]) -> str:
    """The message of an error of Typer's, without a full stop. ``args``: the command's."""
    label = _label(error.param) if getattr(error, "param", None) else ""
    message: str = error.format_message().rstrip(".")
    match type(error).__name__:  # they are not public
        case "NoSuchOption":
            message = f"there is no option {error.option_name}"
            if error.possibilities:
                message += f"; did you mean {' or '.join(error.possibilities)}"
            if error.ctx is not None and error.ctx.parent is None:
                message += f"; options follow a command: vidcaption run INPUT {error.option_name}"
        case "MissingParameter":
            message = f"{label} is missing"
        case "BadOptionUsage":
            several = re.search(r"\d+", message.removeprefix(error.option_name))
            needs = f"needs {several[0]} values" if several else "needs a value"
            taken = "takes no value" if "not take" in message else needs
            message = f"{error.option_name} {taken}"
        case "BadParameter":
            message = f"{label} is wrong: {error.message.rstrip('.')}"
    if extra := _TOO_MANY.search(message):
        message = f"{extra[1]} is more than the command takes"
    if message == "Missing command":
        message = "a command is missing"
    dashed = [arg for arg in args if arg.startswith("-") and os.path.exists(arg)]
    return message + (f"; for the file write ./{dashed[0]}, or -- before it" if dashed else "")


def _label(parameter: Any) -> str:
    """An option's flags, or an argument as the help has it."""
    if parameter.param_type_name == "option":
        return " / ".join(parameter.opts)
    return str(parameter.metavar or parameter.name.upper())
