"""``vidcaption find``."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcaption.cli.console import closing_words
from vidcaption.cli.flags import Json, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import InputError, UsageError
from vidcaption.events import event
from vidcaption.options.batch import FindOptions, RayOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import LogOptions

if TYPE_CHECKING:
    from vidcaption.find.index import Index
    from vidcaption.find.meaning import Wanted
    from vidcaption.find.query import Query
    from vidcaption.find.search import Moment

logger = logging.getLogger(__name__)

RERANKED = 50  # moments that --rerank looks at


@helped(
    """
    vidcaption find "a dog on a beach" ~/Videos
    vidcaption find "snow -skiing" --after 2026-01-01 --html snow.html
    vidcaption find '"red car"' --no-update --json --limit 100
    vidcaption find --like beach.jpg ~/Videos
    """,
    first="like index update json clip html open limit path after",
)
@with_options
def find(
    options: FindOptions,
    voice: LogOptions,
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERY",
            help='Words, "a phrase" in quotes, -word to exclude; not with --like.',
            show_default=False,
        ),
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER", help="Only in these folders.  [default: all indexed folders]"
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search for what looks like this picture or video."),
    ] = None,
    rerank: Annotated[
        bool,
        typer.Option(
            "--rerank",
            help="Look at the best moments again, and order them by how probable the query is as "
            "their caption.",
        ),
    ] = False,
    index: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The index.  [default: in the user's data folder]"),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update/--no-update", help="First caption new files in the folders."),
    ] = True,
    as_json: Json = False,
    clip: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also cut the moments out into this folder, from the key frame before.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Also write an HTML page with a picture of each moment."),
    ] = None,
    open: Annotated[
        bool, typer.Option("--open", help="Play the best moment, with mpv or VLC.")
    ] = False,
) -> int:
    """Search indexed videos for moments, by what is seen in them.

    The best matches come first, by the words of captions and by similarity in meaning, if the model
    has the head joint; otherwise captions with all of the words, in any inflection, then those with
    some. New files are captioned first, which may take a while, with the index's model and options.

    Exit codes: 0 searched, with or without results, 1 something could not be indexed or cut, 2
    wrong usage, 3 nothing can run or be written, 130 interrupted.
    """
    from vidcaption.batch import discover
    from vidcaption.cli.captioning import default_index
    from vidcaption.cli.console import INTERRUPTED, interruptible
    from vidcaption.find.index import Index
    from vidcaption.find.query import Query
    from vidcaption.find.search import search
    from vidcaption.output.write import check_writable, write_atomic

    path = index or default_index()
    words = query
    if like is not None and query is not None:
        folders, query = [Path(query), *(folders or [])], None
    with closing_words(), interruptible():
        if like is not None and words is not None and not os.path.exists(words):
            raise UsageError(
                f"--like takes no words, and {words!r} is no file or folder; remove the words, or "
                "--like"
            )
        if (like is None) == (query is None):
            raise UsageError("there is nothing to search for; give words, or a picture with --like")
        if rerank and query is None:
            raise UsageError("--rerank needs words, and --like has none; remove one of them")
        asked = None if query is None else Query.parse(query)
        check_writable([html] if html else [])
        if not path.exists() and not (update and folders):
            raise UsageError(
                f"there is no index at {path} yet; name the folders to index, or run "
                "vidcaption index FOLDER first"
            )
        files = list(discover(folders, recursive=True)) if update and folders else None
        with Index(path, create=update) as opened:
            code = _update(opened, folders or [], files, voice) if update else 0
            if code == INTERRUPTED:
                return code
            wanted = _wanted(opened, asked, like)
            first = replace(options, limit=max(options.limit, RERANKED)) if rerank else options
            found = search(opened, asked, first, folders or [], wanted)
            moments = found.moments
            if rerank and asked is not None:
                from vidcaption.find.look import look_again

                moments = look_again(opened, moments, asked)[: options.limit]
        if found.away:
            count = "1 moment is" if found.away == 1 else f"{found.away} moments are"
            message = f"{count} omitted, in missing files"
            logger.info(message, extra=event("away", count=found.away))
        if not moments:
            logger.info(f"nothing found for {query or str(like)!r}", extra=event("nothing"))
        elif query and not moments[0].said:
            logger.info(
                f"the best match has none of the words of {query!r}; it looks most like them, and "
                "may show something else",
                extra=event("unsaid"),
            )
        _print(moments, as_json)
        if html:
            from vidcaption.find.sheet import contact_sheet

            write_atomic(html, contact_sheet(query or f"like {like}", moments))
        if clip and not _cut(moments, clip):
            code = 1
        if open and moments:
            from vidcaption.find.players import play

            play(moments[0])
        return code


def _wanted(index: "Index", query: "Query | None", like: Path | None) -> "Wanted | None":
    """What windows should be like; None, with a line that says why, if only words can be
    compared."""
    if like is not None:
        from vidcaption.find.look import look_like

        return look_like(index, like)
    if query is None or query.literal:
        return None
    from vidcaption.find.space import space_of

    try:
        space = space_of(index)
        from vidcaption.find.meaning import read_query

        return read_query(space, query)
    except UsageError as error:
        logger.info(f"only words are compared: {error}", extra=event("words_alone"))
        return None


def _update(
    index: "Index", folders: Sequence[Path], files: Sequence[Path] | None, voice: LogOptions
) -> int:
    """Caption new files, in all known folders if ``files`` is None. Returns the exit code."""
    from vidcaption.cli.captioning import bring_up_to_date
    from vidcaption.find.update import find_files

    for folder in filter(os.path.isdir, folders):
        index.add_folder(Path(os.path.realpath(folder)))
    model, options = index.latest_recipe() or (None, CaptionOptions())
    files = find_files(index.folders()) if files is None else files
    return bring_up_to_date(index, files, model, options, MachineOptions(), RayOptions(), voice)


def _print(moments: "Sequence[Moment]", as_json: bool) -> None:
    from vidcaption.cli.console import put, put_json
    from vidcaption.output.formats import readable_line
    from vidcaption.output.text import printable
    from vidcaption.types import Segment

    if as_json:
        put_json(
            [
                {
                    "video": str(moment.path),
                    "start": round(moment.start_s, 3),
                    "end": round(moment.end_s, 3),
                    "text": moment.text,
                    "score": round(moment.score, 4),
                    "confidence": moment.confidence,
                    "concepts": moment.concepts,
                }
                for moment in moments
            ]
        )
        return
    here = Path(os.path.realpath(os.curdir))
    for moment in moments:
        path = moment.path
        name = path.relative_to(here) if path.is_relative_to(here) else path
        line = readable_line(Segment(moment.start_s, moment.end_s, moment.text, moment.score))
        put(f"{moment.score:6.2f}  {printable(str(name))}  {line}\n")


def _cut(moments: "Sequence[Moment]", folder: Path) -> bool:
    """Whether all moments could be cut out."""
    from vidcaption.find.clips import cut

    whole = True
    for number, moment in enumerate(moments, start=1):
        try:
            target = cut(moment, folder, number)
        except InputError as error:
            whole = False
            logger.error(str(error), extra=event("failed", path=moment.path))
        else:
            logger.info(f"{moment.path} -> {target}", extra=event("cut", path=moment.path))
    return whole
