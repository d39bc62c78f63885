"""``vidcaption run``."""

from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.completion import complete_model
from vidcaption.cli.flags import with_options
from vidcaption.cli.weights import Offline, resolve_with_bar
from vidcaption.options import CaptionOptions, MachineOptions, OutputOptions, VoiceOptions


@with_options
def run(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Videos, images, or folders of them.")
    ],
    output: OutputOptions,
    options: CaptionOptions,
    machine: MachineOptions,
    voice: VoiceOptions,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Look into the folders within a folder, too.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            autocompletion=complete_model,
            help="A model folder, or owner/name or owner/name@revision on the Hub; the embedded "
            "model unless given.",
        ),
    ] = None,
    offline: Offline = False,
) -> int:
    """Caption videos: files next to them in each format asked for, or else lines on stdout.

    Exit codes: 0 all inputs are captioned, 1 some are not, 2 the command is wrong, 3 nothing can
    run or be written, 130 interrupted.
    """
    from vidcaption.batch import caption_all, discover
    from vidcaption.cli.delivery import Delivery
    from vidcaption.cli.reporter import Reporter
    from vidcaption.cli.voice import Voice

    found = discover(inputs, recursive=recursive)
    several = len(found) > 1 or any(Path(name).is_dir() for name in inputs)
    delivery = Delivery(output, found, several=several)

    folder = resolve_with_bar(model, offline, Voice(voice))

    # Only now, as it takes seconds: whatever can be wrong with the command was said before.
    from vidcaption.pipeline import Captioner

    captioner = Captioner.from_pretrained(
        folder,
        device=machine.device,
        precision=machine.precision,
        batch_size=machine.batch_size,
        threads=machine.threads,
    )
    reporter = Reporter(voice, delivery, count=len(found))
    reporter.detail(f"model {captioner.model.name}, sha256 {captioner.model.sha256}")
    reporter.detail(f"on {captioner.machine.device}, {captioner.machine.precision}")
    with reporter.bar():
        outcomes = caption_all(captioner, found, options, delivery.targets, reporter)
        delivery.deliver(reporter.followed(outcomes))
    reporter.sum_up()
    return 1 if reporter.failed else 0
