"""``vidcaption train``."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidcaption.cli.flags import Datasets, LabelField, complete_model, complete_preset, with_options
from vidcaption.cli.help import helped
from vidcaption.cli.settings import (
    DEFAULT,
    RECIPE,
    Setting,
    apart_from_recorded,
    preset_lines,
    settings,
    to_toml,
    use_preset,
)
from vidcaption.errors import UsageError
from vidcaption.model.config import ModelConfig
from vidcaption.options.base import flag_of
from vidcaption.options.captioning import DeviceOptions
from vidcaption.options.output import VoiceOptions
from vidcaption.options.training import TrainOptions

if TYPE_CHECKING:
    from vidcaption.datasets.samples import Sample
    from vidcaption.training.trainer import Trainer

logger = logging.getLogger(__name__)

FEW_SAMPLES = 100
# options of a single run rather than the recipe
_PASSING = ("out", "resume", "quiet", "verbose", "progress", "device", "threads")
# what a resumed training may have of its own, or is compared by its checkpoint
_OWN = (*_PASSING, "datasets", "features", "precision")
# what --init decides
_NETWORK = [flag_of(f)[2:] for f in ModelConfig.flat_fields() if f.name != "heads"]
_PLACES = (
    *("datasets", "text", "features", "init", "backbone-weights"),
    *("concept-scores", "backbone-classes"),
)


@helped(
    """
    vidcaption train data.csv --out my-model
    vidcaption train data.csv --out my-model --init default    from the built-in model
    vidcaption train data.csv --out my-model --resume          after an interruption
    vidcaption train data.csv --out my-model --heads classes   labels instead of captions
    vidcaption run clip.mp4 --model my-model                   use it
    """,
    first="out init preset heads resume epochs batch-size device",
    Presets=preset_lines,
)
@with_options
def train(
    context: typer.Context,
    datasets: Datasets,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for model and checkpoint.")],
    training: TrainOptions,
    config: ModelConfig,
    machine: DeviceOptions,
    voice: VoiceOptions,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text file of sentences without pictures, one per line (also .gz), as additional "
            "training data for the decoder.",
        ),
    ] = None,
    concept_scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Scores of other networks for the pictures, to train --concept-slots: JSON lines "
            "(also .gz) with a path and a score from 0 to 1 for each concept.",
        ),
    ] = None,
    backbone_classes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the classes of the CNN's ImageNet classifier, which --concept-slots "
            "then keeps: JSON lines with a noun, in order.",
        ),
    ] = None,
    backbone_weights: Annotated[
        str,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="Initial weights of the CNN: torchvision's, random, or a torchvision state dict "
            "(.pth or .safetensors); for several CNNs a file for each, joined by +.",
        ),
    ] = "imagenet",
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=complete_model,
            help="Model to start from, whose network it keeps.",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the frozen CNN's features, which trainings can share.  "
            "[default: below --out]",
        ),
    ] = None,
    new_words: Annotated[
        bool,
        typer.Option("--new-words", help="Add the words of the captions to those of --init."),
    ] = False,
    label_field: LabelField = "label",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the training in the folder.")
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Default options: a preset or a TOML file.",
            is_eager=True,
            callback=use_preset,
            autocompletion=complete_preset,
        ),
    ] = None,
) -> int:
    """Train a model on images and videos with captions, labels or scores.

    Needs the extra "train". The folder can be used as run --model and with evaluate; its
    training.html shows the training and sample captions. Under torchrun all processes train one
    model. --config FOLDER/training.toml with another --out repeats a training.
    """
    from vidcaption.cli.console import INTERRUPTED, interruptible, make_bar
    from vidcaption.cli.references import read_references
    from vidcaption.datasets.samples import with_splits
    from vidcaption.datasets.scores import read_classes, read_scores
    from vidcaption.datasets.sentences import read_sentences
    from vidcaption.datasets.splits import write_splits
    from vidcaption.output.write import check_writable, write_atomic

    config = replace(config, frames=training.frames)
    check_writable([out / RECIPE])
    if resume:
        _check_resumed(out, apart_from_recorded(context))
    samples, drawn = list["Sample"](), {}
    for path in datasets:
        read = read_references(path, label_field)
        split = with_splits(read, training.seed)
        if split != read:
            drawn[path] = split
        samples += [replace(sample, dataset=str(path)) for sample in split]
    texts = [sentence for path in text or () for sentence in read_sentences(path)]
    folders = {path.parent for path in datasets}
    scores = [read_scores(path, folders) for path in concept_scores or ()]
    classes = read_classes(backbone_classes) if backbone_classes else ()

    from vidcaption.model.device import Machine
    from vidcaption.model.folder import load
    from vidcaption.model.vocabulary import SPECIAL
    from vidcaption.store import resolve
    from vidcaption.training.backbone import find_weights
    from vidcaption.training.distributed import World, own_device
    from vidcaption.training.history import best_of
    from vidcaption.training.material import Material, labels_of, names_of
    from vidcaption.training.page import write_training_page
    from vidcaption.training.trainer import CHECKPOINT, Trainer
    from vidcaption.training.words import with_heads, with_new_words

    if new_words and init is None:
        raise UsageError("--new-words needs --init; add that, or remove --new-words")
    start = load(resolve(init)) if init else None
    if start:
        kept = start.network.config.flat_values()
        _check_kept(settings(context), config.flat_values(), kept, f"--init {init}")
    heads = config.heads
    if start:
        if {each.key: each.source for each in settings(context)}["heads"] == DEFAULT:
            heads = start.network.config.heads
        train = (s for s in samples if s.split == "train" and s.label is not None)
        labels = labels_of(train) if "classes" in heads.split("+") else ()
        taught = (s for s in samples if s.split == "train")
        names = names_of(taught) if "regions" in heads.split("+") else ((), ())
        start = with_heads(start, heads, labels, training.seed, names)
    if start and new_words:
        if not start.network.config.writes:
            raise UsageError(f"--new-words is for captions, and --heads is {heads}; remove one")
        captions = [text for s in samples if s.split == "train" for text in s.captions]
        start = with_new_words(start, captions, training.min_count, training.seed)
    if init and backbone_weights not in ("imagenet", "none"):
        raise UsageError(
            f"--backbone-weights is {backbone_weights}, and --init {init} has weights of its own; "
            "remove one of them"
        )
    # a checkpoint includes the CNN, and so does a model
    known = resume or start
    weights = [] if known else find_weights(config.input.backbones, backbone_weights)
    found = Machine.find(own_device(machine))
    found.keep_freed_memory()
    world = World(found.device)
    material = Material(
        samples,
        texts,
        min_count=training.min_count,
        seed=training.seed,
        scores=scores,
        classes=classes,
        with_concepts=bool((start.network.config if start else config).concept_slots),
        vocabulary=start.vocabulary if start else None,
        heads=heads.split("+"),
    )
    if "caption" in heads.split("+") and len(material.vocabulary) == len(SPECIAL):
        least = training.min_count
        raise UsageError(f"no word occurs {least} times in the captions; lower --min-count")
    if not world.first:
        voice = replace(voice, progress="off")
        logging.getLogger("vidcaption").setLevel(logging.ERROR)
    try:
        bar = make_bar(voice)
        with interruptible(), bar or nullcontext():
            trainer = Trainer(
                *(out, config, training, found, material, world),
                watch=bar.begin if bar else None,
                imagenet=weights,
                init=start,
                features=features,
            )
            if world.first and not resume and not (out / CHECKPOINT).exists():
                write_atomic(out / RECIPE, _recipe(settings(context), heads))
                write_splits(out, drawn)
            for warning in (*_left_out(samples, trainer), *_warnings(trainer, init)):
                logger.warning(warning)
            history = trainer.run(resume).history
            if history and world.first:
                if bar:
                    bar.begin("training.html", None, float)
                write_training_page(out, trainer.dev, found)
    except KeyboardInterrupt:
        if (out / CHECKPOINT).exists():
            again = "; the same command with --resume continues after the last epoch"
        else:
            again = " during the first epoch: nothing was saved"
        logger.info(f"interrupted{again}")
        return INTERRUPTED
    if history:
        best = best_of(history)
        logger.info(
            f"the model is in {out}: epoch {best.epoch} of {len(history)}, {best.score}; to use "
            f"it, run: vidcaption run VIDEO --model {out}"
        )
    world.leave()
    return 0


def _warnings(trainer: "Trainer", init: str | None) -> Iterator[str]:
    """Warnings about data that cannot be learned."""
    from vidcaption.output.text import counted

    if len(trainer.train) < FEW_SAMPLES:
        yield (
            f"only {counted(len(trainer.train), 'sample')} to train on: it takes "
            + ("hundreds" if init else "thousands, or hundreds with --init default")
        )
    if not trainer.config.writes:
        return
    captions = [text for sample in trainer.train for text in sample.captions]
    unknown = trainer.vocabulary.unknown(captions)
    if unknown:
        what = f"{counted(len(unknown), 'word')} of the captions will not be learned"
        if init is None:
            yield f"{what}, as they are too rare; --min-count 1 includes all"
        else:
            yield f"{what}, as {init} does not know them; --new-words adds those that are not rare"


def _left_out(samples: "Sequence[Sample]", trainer: "Trainer") -> Iterator[str]:
    """Warnings about samples and labels that a head beside captions cannot learn."""
    from vidcaption.datasets.samples import TARGETS
    from vidcaption.output.text import counted

    for head in trainer.network.heads:
        lacking = [s for s in samples if s.split != "test" and not s.has(head)]
        if lacking:
            yield (
                f"{counted(len(lacking), 'sample')} without a {TARGETS[head][1]} will not be used, "
                f"such as {lacking[0].id}"
            )
    known = trainer.vocabulary.labels
    if known and (
        new := sorted({s.label for s in (*trainer.train, *trainer.dev) if s.label} - set(known))
    ):
        yield (
            f"no training sample has {counted(len(new), 'label')} of the dev split, such as "
            f"{new[0]!r}, which count as wrong"
        )


def _check_resumed(out: Path, chosen: Iterable[tuple[Setting, Any]]) -> None:
    """Raises UsageError for options that are not those of the training in ``out``.

    ``chosen``: with the values that were recorded. Files may have moved.
    """
    apart = []
    for each, was in chosen:
        now = _absolute(each.key, each.value)
        unused = was is None and each.key in _NETWORK  # not recorded, as with --init
        if each.key in _OWN or unused or _is_gone(was) or _words(now) == _words(was):
            continue
        given = f"--{each.key} {_words(was)} instead of {_words(each.value)}"
        apart.append(f"no --{each.key}" if was is None or was is False else given)
    if apart:
        raise UsageError(
            f"{out} belongs to a training with {', '.join(apart)}; use the same again, or train "
            "into another folder"
        )


def _check_kept(
    chosen: Iterable[Setting], asked: Mapping[str, Any], kept: Mapping[str, Any], init: str
) -> None:
    """Raises UsageError for an option of the network that the model to start from has otherwise.

    ``asked``, ``kept``: the options of the network, and the model's, by flag.
    """
    for each in chosen:
        flag = f"--{each.key}"
        given = each.key in _NETWORK and each.source != DEFAULT
        if given and asked[flag] != kept[flag]:
            raise UsageError(
                f"{flag} is {_words(each.value)}, and {init} keeps the model's network, which has "
                f"{_words(kept[flag])}; remove one of them"
            )


def _words(value: Any) -> str:
    return to_toml(value).strip('"')


def _is_gone(value: Any) -> bool:
    """Whether a recorded path does not exist any more."""
    places = value if isinstance(value, list) else [value]
    return any(os.path.isabs(str(one)) and not os.path.exists(str(one)) for one in places)


def _recipe(chosen: Iterable[Setting], heads: str) -> str:
    """The options of a training, for ``--config`` of another one.

    ``heads``: those of the network. Paths are made absolute. With ``--init`` the network's other
    options are omitted, as they have no effect.
    """
    from vidcaption.output.text import printable

    lines = {each.key: each for each in chosen if each.value not in (None, [], ())}
    lines["heads"] = replace(lines["heads"], value=heads)
    passing = _NETWORK if "init" in lines else []
    rows = [
        f"{key} = {to_toml(_absolute(key, each.value))}  # {printable(each.source)}\n"
        for key, each in lines.items()
        if key not in (*_PASSING, *passing)
    ]
    return (
        f"# Repeat it: vidcaption train --config {RECIPE} --out FOLDER\n\n[train]\n{''.join(rows)}"
    )


def _absolute(key: str, value: Any) -> Any:
    """``value``, as an absolute path if it is an existing file or folder."""
    if isinstance(value, list | tuple):
        return [_absolute(key, one) for one in value]
    is_place = key in _PLACES and Path(os.path.expanduser(value)).exists()
    return Path(os.path.expanduser(value)).absolute() if is_place else value
