"""``vidcaption live``."""

import logging
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from vidcaption.cli.captioning import loader, resolve_mixture
from vidcaption.cli.console import INTERRUPTED, closing_words, interruptible, put
from vidcaption.cli.flags import Models, Offline, with_options
from vidcaption.cli.help import helped
from vidcaption.events import event
from vidcaption.options.captioning import DeviceOptions, WindowOptions
from vidcaption.options.live import LiveOptions
from vidcaption.options.output import LogOptions

if TYPE_CHECKING:
    from vidcaption.live import Watching

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption live 0                               the first camera
    vidcaption live rtsp://192.168.1.5/stream --window 8 --jsonl
    vidcaption live rtsp://camera/door --on '*man*' --on '*woman*' -- notify-send "at the door"
    vidcaption live recording.ts --vtt latest.vtt   a file that is being written
    ffmpeg -i INPUT -c copy -f mpegts - | vidcaption live -
    """,
    first="jsonl vtt on timeout retries window min-confidence model device",
)
@with_options
def live(
    output: LiveOptions,
    windows: WindowOptions,
    machine: DeviceOptions,
    voice: LogOptions,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A camera's number, a device, an address (RTSP, HLS, RTMP, UDP, TCP), a file that "
            "is being written, or - for standard input.",
        ),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="What --on runs, and its arguments."),
    ] = None,
    model: Models = None,
    offline: Offline = False,
) -> int:
    """Caption a camera or a stream while it is filmed, with the time of day.

    Captions come at most one window late. A machine that is too slow drops frames rather than
    falling behind. A stream that breaks off is connected again, until Ctrl-C.

    COMMAND is run without a shell, with CAPTION, CAPTION_START, CAPTION_END, CAPTION_CONFIDENCE and
    CAPTION_SOURCE in its environment.

    Exit codes: 0 the stream has ended (with --retries), 1 it cannot be watched, 2 wrong usage,
    3 nothing can run or be written, 130 interrupted.
    """
    from vidcaption.live import Hook, Subtitles, Watching, live_json, live_line
    from vidcaption.video.source import Source

    with closing_words(), interruptible():
        found = Source.of(source)
        hook = Hook(output.on, command or (), found.name) if output.on or command else None
        subtitles = Subtitles(output.vtt) if output.vtt else None
        load = loader(lambda: resolve_mixture(model, offline, voice), machine)
        watching = Watching(load(), found, windows, output)
        try:
            with closing(hook) if hook else nullcontext():
                for segment in watching:
                    if output.jsonl:
                        put(live_json(segment, found.name) + "\n")
                    if segment.below_min_confidence:
                        continue
                    if not output.jsonl:
                        put(live_line(segment) + "\n")
                    if subtitles:
                        subtitles.add(segment)
                    if hook:
                        hook.add(segment)
        except KeyboardInterrupt:
            _sum_up("interrupted", watching)
            return INTERRUPTED
        _sum_up("ended", watching)
        return 0


def _sum_up(how: str, watching: "Watching") -> None:
    from vidcaption.output.text import counted

    dropped = (counted(number, what[:-1]) for what, number in watching.dropped.items())
    text = ", ".join([counted(watching.captions, "caption"), *(f"{x} dropped" for x in dropped)])
    facts = event(how, captions=watching.captions, **watching.dropped)
    logger.info(f"{how}: {text}", extra=facts)
