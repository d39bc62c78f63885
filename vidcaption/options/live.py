"""Options of watching a stream."""

from dataclasses import dataclass
from pathlib import Path

from vidcaption.errors import UsageError
from vidcaption.options.base import Options, option


@dataclass(frozen=True, kw_only=True)
class LiveOptions(Options):
    """Output and connection."""

    jsonl: bool = option(False, "Print one JSON object per line, with all data.")
    vtt: Path | None = option(
        None, "Also keep this file up to date: WebVTT subtitles, with the latest 200 captions."
    )
    on: tuple[str, ...] = option(
        (),
        "Run COMMAND for captions like this: * is any text, and case does not matter; may be "
        "given several times.",
    )
    timeout_s: float = option(
        10.0, "Connect again after so many seconds without data.", at_least=0.1, at_most=3600
    )
    retries: int | None = option(
        None,
        "Give up after so many failed attempts to connect again; 0: end with the stream.  "
        "[default: never]",
        at_least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.on:
            raise UsageError("--on is empty; give a caption, or a part of one: '*dog*'")
