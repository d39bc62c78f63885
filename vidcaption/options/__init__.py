"""All options: frozen dataclasses, the one source for flags, files, arguments and their checks."""

from vidcaption.options.captioning import CaptionOptions

__all__ = ["CaptionOptions"]
