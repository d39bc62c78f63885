"""``vidcaption report``."""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidcaption.cli.console import closing_words
from vidcaption.cli.flags import Models, Offline, Videos, with_options
from vidcaption.cli.help import helped
from vidcaption.options.captioning import CaptionOptions, DeviceOptions
from vidcaption.options.output import ReportOptions, VoiceOptions
from vidcaption.version import __version__

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar
    from vidcaption.model.device import Machine
    from vidcaption.model.folder import Model as LoadedModel
    from vidcaption.output.captions import Captions

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption report talk.mp4                     write talk.html
    vidcaption report talk.mp4 --embed             with the video in it
    vidcaption report videos -r --out-dir pages    pages/index.html and the others
    """,
    first="out-dir recursive embed window model device force",
)
@with_options
def report(
    output: ReportOptions,
    options: CaptionOptions,
    machine: DeviceOptions,
    voice: VoiceOptions,
    inputs: Videos,
    model: Models = None,
    offline: Offline = False,
) -> int:
    """Write a web page for each video: a player with captions, thumbnails and a search.

    A page is one file that loads nothing but the video, and a folder gets an index.html of its
    pages. Captions are taken from the .json file beside a video, if run wrote it with the same
    model; otherwise the video is captioned, with the options below. Pages that are up to date are
    skipped.
    """
    from vidcaption.batch import beside, discover
    from vidcaption.cli.captioning import caption, loader, make_each, resolve_mixture
    from vidcaption.cli.console import interruptible, make_bar
    from vidcaption.output.naming import output_paths
    from vidcaption.output.write import check_some_writable, write_atomic
    from vidcaption.report.site import INDEX
    from vidcaption.store.mixture import folders, sha256_of

    with closing_words(), interruptible():
        found = discover(inputs, recursive=output.recursive)
        sources = beside(found, ("json",))
        paths = output_paths(found, ("html",), output.out_dir, found, _of_others(list(found)))
        pages = {video: targets["html"] for video, targets in paths.items()}
        check_some_writable(pages.values())
        mixture = resolve_mixture(model, offline, voice)
        sha256 = sha256_of(mixture)
        load = loader(lambda: mixture, machine)
        looker = functools.cache(lambda: _load_looker(folders(mixture)[0][0], machine))
        keys = {
            video: _key(video, sources[video]["json"], sha256, options, output.embed)
            for video in pages
        }

        def write(video: Path, page: Path) -> None:
            captions = None
            if not output.force:
                captions = _captions_in(sources[video]["json"], video, sha256)
            captions = captions or caption(load(), video, options, bar)
            html = _draw(captions, page, keys[video], output.embed, looker(), bar)
            write_atomic(page, html)

        pairs = (
            (video, page)
            for video, page in pages.items()
            if output.force or not _is_done(page, keys[video])
        )
        with make_bar(voice) or nullcontext() as bar:
            code = make_each(pairs, write)
        root = Path(inputs[0]) if len(inputs) == 1 and os.path.isdir(inputs[0]) else None
        if place := output.out_dir or root:
            _write_index(place / INDEX, (root or place).resolve().name, pages.values(), output)
        return code


def _load_looker(folder: Path, options: DeviceOptions) -> "tuple[LoadedModel, Machine]":
    """The model that shows where it looked, and its device."""
    from vidcaption.model.device import Machine
    from vidcaption.model.folder import load

    machine = Machine.find(options)
    return load(folder, machine.device), machine


def _of_others(videos: Sequence[Path]) -> Callable[[Path], bool]:
    """A function: whether a page belongs to an existing video that is not in ``videos``."""
    from vidcaption.report.site import read_card

    ours = {os.path.abspath(video) for video in videos}

    def is_of_another(page: Path) -> bool:
        card = read_card(page)
        video = str(card.get("video")) if card else ""
        return video not in ours and os.path.isfile(video)

    return is_of_another


def _key(video: Path, source: Path, sha256: str, options: CaptionOptions, embed: bool) -> str:
    """Identifies everything that determines the content of a page."""
    made_of: list[Any] = [__version__, sha256, asdict(options), embed]
    for path in (video, source):
        if path.is_file():
            status = path.stat()
            made_of.append([status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def _is_done(page: Path, key: str) -> bool:
    """Whether a page is to be kept, which is logged."""
    from vidcaption.report.site import read_card

    card = read_card(page)
    if card is None and page.exists():
        logger.info(f"{page} was not written by this command; --force replaces it")
    elif card is not None and card["key"] == key:
        logger.info(f"{page} is up to date; --force writes it again")
    else:
        return False
    return True


def _captions_in(source: Path, video: Path, sha256: str) -> "Captions | None":
    """Captions that run wrote, if by the same model and not older than the video."""
    from vidcaption.output.read import read_captions

    if not source.is_file() or (video.is_file() and _time(source) < _time(video)):
        return None
    captions = read_captions(source)
    if captions.model.sha256 != sha256:
        logger.info(f"{source} was made by another model; {video} is captioned again")
        return None
    logger.info(f"{video}: captions from {source}")
    return replace(captions, video=replace(captions.video, path=str(video)))


def _time(path: Path) -> float:
    return path.stat().st_mtime


def _draw(
    captions: "Captions",
    page: Path,
    key: str,
    embed: bool,
    looker: "tuple[LoadedModel, Machine]",
    bar: "Bar | None",
) -> str:
    from vidcaption.cli.console import positioned
    from vidcaption.report.video import video_page

    watch = positioned(bar, f"{page.name}: pictures", len(captions.shown))
    return video_page(captions, *looker, page, key, watch, embed=embed)


def _write_index(index: Path, title: str, pages: Iterable[Path], output: ReportOptions) -> None:
    """Write the index of a folder, with the pages that it lists already, unless it was not written
    by report."""
    from vidcaption.output.naming import natural_key
    from vidcaption.output.text import counted
    from vidcaption.output.write import write_atomic
    from vidcaption.report.site import index_page, listed_pages, read_card

    if not output.force and index.exists() and read_card(index) is None:
        logger.info(f"{index} was not written by this command; --force replaces it")
        return
    every = {Path(os.path.abspath(page)) for page in (*listed_pages(index), *pages)}
    found = ((page, read_card(page)) for page in sorted(every, key=natural_key))
    cards = [(page, card) for page, card in found if card and "captions" in card]
    write_atomic(index, index_page(title, cards, index))
    logger.info(f"{counted(len(cards), 'page')} -> {index}")
