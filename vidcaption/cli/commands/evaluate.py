"""``vidcaption evaluate``."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcaption.cli.captioning import resolve_mixture, resolve_with_bar
from vidcaption.cli.flags import Json, LabelField, Offline, complete_model, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import UsageError
from vidcaption.events import VERBOSE
from vidcaption.options.captioning import DeviceOptions, SearchOptions
from vidcaption.options.output import VoiceOptions
from vidcaption.options.training import EvaluateOptions

if TYPE_CHECKING:
    from vidcaption.evaluation.evaluate import Evaluation

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption evaluate default data.csv
    vidcaption evaluate my-model data.csv --against default
    vidcaption evaluate my-model data.csv --split dev --html page.html --captions out.jsonl
    """,
    first="split frames beam against captions html json device offline",
)
@with_options
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_model,
            help="A model folder, owner/name or owner/name@revision on the Hub, or 'default' for "
            "the built-in one.",
        ),
    ],
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A dataset: a file of captions or a folder.")
    ],
    options: EvaluateOptions,
    search: SearchOptions,
    machine: DeviceOptions,
    voice: VoiceOptions,
    split: Annotated[
        str | None,
        typer.Option(
            help="The split to score.  [default: test, or all without splits, or dev if they were "
            "drawn by train]"
        ),
    ] = None,
    as_json: Json = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=complete_model,
            help="Also score this model on the same samples, and print the differences.",
        ),
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|coco",
            help="Also score the objects named in captions: those of COCO except persons, or the "
            "classes of a TOML file.",
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help="Also write what the model says to this file, as JSON lines."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE",
            help="Also write an HTML page: the figures, plots of labels or scores, and the best, "
            "the worst and other samples, with where the model looked for each word.",
        ),
    ] = None,
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="MODEL=WEIGHT",
            autocompletion=complete_model,
            help="Average the predictions with those of this model, as run does.",
        ),
    ] = None,
    label_field: LabelField = "label",
    offline: Offline = False,
) -> int:
    """Score what a model says: captions by BLEU, METEOR, ROUGE-L and CIDEr, labels by accuracy, F1
    and ROC curves, scores by correlation.

    Captions need the extra "eval". Without Java there is no METEOR, and the others are approximate.
    Below the scores are facts about what is said, and of a model with a joint space how well it
    finds sentences for samples (annotation_R@1) and samples for sentences (search_R@1): see
    docs/training.md and docs/heads.md.
    """
    from vidcaption.cli.console import put, put_json
    from vidcaption.cli.references import read_references
    from vidcaption.datasets.objects import coco_names, read_names
    from vidcaption.datasets.samples import of_split
    from vidcaption.datasets.splits import read_splits
    from vidcaption.model.manifest import read_config
    from vidcaption.output.text import counted
    from vidcaption.output.write import check_writable, write_atomic
    from vidcaption.store.mixture import folders

    targets = [path for path in (captions, html) if path]
    for path in targets:
        if path.resolve() == dataset.resolve():
            raise UsageError(f"{path} is the dataset; choose another output file")
    check_writable(targets)
    names = None
    if objects:
        # persons are in most captions, and would dominate the figures
        coco = objects == "coco"
        names = coco_names().without("person") if coco else read_names(Path(objects))
    every = read_references(dataset, label_field)
    given = [Path(model), *(others or ())]
    (folder, _), *mixed = folders(resolve_mixture(given, offline, voice))
    other_folder = resolve_with_bar(against, offline, voice) if against else None
    head, *second = (read_config(each).says for each in (folder, other_folder) if each)
    if second and second != [head]:
        raise UsageError(
            f"{model} has the head {head}, and {against} has {second[0]}; choose models with the "
            "same"
        )
    if objects and head != "caption":
        raise UsageError(f"--objects needs captions, and {model} has the head {head}; remove it")
    drawn = read_splits(folder, dataset)
    if drawn and not any(sample.split for sample in every):
        every = [replace(sample, split=drawn.get(sample.id)) for sample in every]
        if split is None:
            split = "dev"
            logger.info(f"{dataset}: scoring what {model} was not trained on, its split 'dev'")
    samples, split = of_split(every, split, dataset, head)

    from vidcaption.evaluation.evaluate import differences, score_model
    from vidcaption.evaluation.metrics import has_java
    from vidcaption.model.device import Machine
    from vidcaption.report.evaluation import evaluation_page
    from vidcaption.report.figures import comparison_table, score_table

    if head == "caption" and not has_java():
        logger.warning(
            "there is no java command: METEOR is missing, and BLEU, ROUGE-L and CIDEr are "
            "approximate; install a Java runtime for standard scores"
        )
    place = Machine.find(machine)
    place.keep_freed_memory()
    where = f"{counted(len(samples), 'sample')} on {place.device}, {place.precision}"
    logger.log(VERBOSE, where)

    def score(name: str, folder: Path, mixed: Sequence[tuple[Path, float]] = ()) -> "Evaluation":
        with _counting(voice, name, len(samples)) as advance:
            arguments = folder, samples, options.frames, search, place, names, advance, mixed
            return score_model(*arguments)

    model = " + ".join([model, *map(str, others or ())])
    evaluation = score(model, folder, mixed)
    facts = {"model": model, "dataset": dataset.name, "split": split, **evaluation.report}
    if objects:
        facts["objects"] = Path(objects).name
    table = score_table(facts)
    if against and other_folder:
        other = score(against, other_folder)
        facts["against"] = {"model": against, **other.report}
        facts["differences"] = differences(evaluation, other)
        table += "\n" + comparison_table(facts, model, against)
    if captions:
        rows = (
            json.dumps({"id": key, "caption": said.text, "score": said.score}, ensure_ascii=False)
            for key, said in evaluation.said.items()
        )
        write_atomic(captions, "".join(row + "\n" for row in rows))
    if html:
        write_atomic(html, evaluation_page(facts, evaluation, samples, folder, place))
    if as_json:
        put_json(facts)
    else:
        put(table)
    return 0


@contextmanager
def _counting(voice: VoiceOptions, label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar, if enabled, and the function that advances it."""
    from vidcaption.cli.console import make_bar

    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count

    bar = make_bar(voice)
    if bar:
        bar.begin(label, total, lambda: done)
    with bar or nullcontext():
        yield advance
