"""``vidcaption index``."""

import logging
import os
from pathlib import Path

from vidcaption.cli.console import closing_words
from vidcaption.cli.flags import Folders, Model, Offline, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import UsageError
from vidcaption.events import event
from vidcaption.options.batch import IndexOptions, RayOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import LogOptions

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption index ~/Videos
    vidcaption index /media/camera --segment scenes --index camera.sqlite
    vidcaption index --redo --prune         another model or options; forget what is gone
    """,
    first="index redo prune segment window model device",
)
@with_options
def index(
    indexing: IndexOptions,
    ray: RayOptions,
    options: CaptionOptions,
    machine: MachineOptions,
    voice: LogOptions,
    inputs: Folders = None,
    model: Model = None,
    offline: Offline = False,
) -> int:
    """Caption new files in folders, for vidcaption find.

    Folders are remembered, and find looks for new files in them each time. A file is captioned if
    it is new or has changed; moved files are recognised by their content. Missing files stay in
    the index, as they may be on an unmounted drive; find skips them.

    Exit codes: 0 all files are indexed, 1 some are not, 2 wrong usage, 3 nothing can run or be
    written, 130 interrupted; the same command continues then.
    """
    from vidcaption.batch import discover
    from vidcaption.cli.captioning import bring_up_to_date, check_ray, counted, default_index
    from vidcaption.cli.console import interruptible
    from vidcaption.find.index import Index
    from vidcaption.find.update import find_files, missing

    path = indexing.index or default_index()
    with closing_words(), interruptible():
        check_ray(ray, machine)
        if not inputs and not path.exists():
            raise UsageError(f"there is no index at {path} yet; name the folders to index")
        files = list(discover(inputs, recursive=True)) if inputs else []
        below = [Path(os.path.realpath(name)) for name in inputs or ()]
        with Index(path, create=True) as opened:
            for folder in filter(os.path.isdir, below):
                opened.add_folder(folder)
            if not inputs:
                files = find_files(opened.folders())
            code = bring_up_to_date(
                *(opened, files, model, options, machine, ray, voice),
                redo=indexing.redo,
                offline=offline,
            )
            if indexing.prune:
                gone = missing(opened.videos(), below)
                opened.remove(gone)
                logger.info(f"{counted(gone)} missing and removed", extra=event("pruned"))
            return code
