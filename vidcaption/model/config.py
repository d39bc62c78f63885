"""What a network is made of; stored as ``config.json`` beside its weights."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

from vidcaption.errors import ModelError, UsageError
from vidcaption.model.parts import ATTENTIONS, BACKBONES, CELLS, FED, HEADS, MATCHING, TEMPORAL
from vidcaption.options.base import Options, group_of, option
from vidcaption.reasons import unparsed
from vidcaption.types import Flow

T = TypeVar("T", bound=Options)

STEPS = 5  # of optical flow, through which a track is followed

# The form of config.json, and the first version of vidcaption that reads it. They change together.
SCHEMA, SINCE = 4, "0.5.0"


def _with_slots(values: dict[str, Any]) -> dict[str, Any]:
    return {"concept_slots": 0} | values


def _with_input(values: dict[str, Any]) -> dict[str, Any]:
    """What is seen stands in an object of its own, and attention's heads say whose they are."""
    seen = ("backbone", "image_size", "mean", "std", "grid")
    moved = {"input": {name: values.pop(name) for name in seen if name in values}}
    if "heads" in values:
        moved["attention_heads"] = values.pop("heads")
    return values | moved


# From a config of a schema to one of the next.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _with_slots,
    2: _with_input,
    3: dict,  # what it does not say is as it was
}


@dataclass(frozen=True, kw_only=True)
class InputConfig(Options):
    """Frame encoder: the CNN, its input, and the part of its output that is used.

    ``mean`` and ``std`` normalise RGB scaled to [0, 1].
    """

    backbone: str = option(
        "mobilenet_v2",
        "CNN for single frames; the vectors of several, joined by +, are concatenated.",
        choices=BACKBONES,
        several=True,
    )
    image_size: int = option(
        224,
        "Side of the square that frames are resized to, in pixels.",
        at_least=32,
        at_most=1024,
    )
    mean: tuple[float, float, float] = option(
        (0.485, 0.456, 0.406), "Normalization: mean of RGB in [0, 1]."
    )
    std: tuple[float, float, float] = option(
        (0.229, 0.224, 0.225), "Normalization: its standard deviation."
    )
    kind: Literal["rgb", "flow"] = option(
        "rgb",
        "What the CNN sees: rgb, frames; flow, the optical flow from each to one shortly after it.",
        flag="--input",
    )
    flow_gap_s: float = option(
        0.1, "Seconds between the two frames of --input flow.", at_least=0.01, at_most=2
    )
    flow_method: Literal["dis", "farneback"] = option(
        "dis", "How --input flow is computed: OpenCV's DIS, or Farneback's method."
    )
    grid: int = option(
        7,
        "Each frame gives grid x grid region vectors; 1 is one pooled vector.",
        at_least=1,
        at_most=32,
    )
    pyramid: int = option(
        1,
        "Levels of the one vector of --grid 1: 2 joins those of the frame and its 2 x 2 parts, 3 "
        "also those of 4 x 4.",
        at_least=1,
        at_most=3,
    )
    crops: int = option(
        1,
        "Crops over which a frame's vectors are averaged: 1, the whole frame; 5, its corners and "
        "centre; 10, those mirrored too. The CNN runs once for each.",
        at_least=1,
        at_most=10,
    )
    tracks: int = option(
        0,
        "Words of each codebook of motion along dense tracks, which --start-with and --every-with "
        "can show the decoder; 0 is none.",
        at_least=0,
        at_most=4096,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.std) <= 0:
            raise UsageError(f"--std is {self.std}; each number must be above 0")
        if self.pyramid > 1 and self.grid > 1:
            raise UsageError(
                f"--pyramid {self.pyramid} describes the parts of a frame in its one vector, and "
                f"--grid is {self.grid}; give --grid 1, or leave --pyramid out"
            )
        if self.crops not in (1, 5, 10):
            raise UsageError(f"--crops is {self.crops}; it must be 1, 5 or 10")
        if self.crops == 10 and self.kind == "flow":
            raise UsageError(
                "--crops 10 mirrors frames, and --input flow would take motion to the left for "
                "motion to the right; give --crops 5"
            )

    @property
    def flow(self) -> Flow | None:
        """The optical flow that frames need."""
        if self.kind == "rgb" and not self.tracks:
            return None
        return Flow(self.flow_gap_s, self.flow_method, STEPS if self.tracks else 1)

    @property
    def picture(self) -> slice:
        """The channels of a frame, with optical flow or without, that the CNN sees."""
        return slice(3, 6) if self.kind == "flow" else slice(3)

    @property
    def channels(self) -> slice:
        """Those that the encoder sees."""
        return slice(None) if self.tracks else self.picture

    @property
    def backbones(self) -> list[str]:
        """The name of each CNN."""
        return self.backbone.split("+")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Options):
    """Network: everything that changes its shape or its input."""

    input: InputConfig = option(InputConfig(), "")
    temporal: str = option(
        "lstm",
        "Temporal model: lstm, a bidirectional LSTM over frames; forward, an LSTM that reads them "
        "in order; s2vt, the decoder itself, which reads all frames first; or none.",
        choices=TEMPORAL,
    )
    attention: str = option(
        "dot",
        "Attention of the decoder over regions; hard samples one region for each word.",
        choices=ATTENTIONS,
    )
    attention_heads: int = option(4, "Heads of dot attention.", at_least=1, at_most=64)
    cell: str = option("lstm", "Recurrent cell of the decoder.", choices=CELLS)
    layers: int = option(
        2,
        "Recurrent layers of the decoder: 2, one that asks the attention and one that writes; 1, "
        "a single one that does both.",
        at_least=1,
        at_most=2,
    )
    feed: Literal["start", "word", "every", "both"] = option(
        "both",
        "When the decoder gets the visual input: at the start, as its first state; as a word "
        "before the first one; at every word; or both, at the start and at every word.",
    )
    start_with: str = option(
        "frames",
        "What --feed shows at the start, or as a word: frames; tracks, the motion of --tracks; "
        "concepts, the probability of each concept; joined by + if several.",
        choices=FED,
        several=True,
    )
    every_with: str = option(
        "frames",
        "What --feed shows at every word, in the same way.",
        choices=FED,
        several=True,
    )
    heads: str = option(
        "caption",
        "What the model learns, joined by + if several.",
        choices=HEADS,
        several=True,
    )
    concept_slots: int = option(
        0,
        "Number of most probable concepts that the decoder attends to besides the regions; 0 is "
        "none.",
        at_least=0,
        at_most=64,
    )
    roles: Literal["none", "max", "probabilities"] = option(
        "none",
        "What the decoder sees in place of regions: none, the regions; max, four words, the most "
        "probable subject, verb, object and scene among the concepts of --concept-slots; "
        "probabilities, the mean of all words that each of the four could be.",
    )
    size: int = option(384, "Units of each LSTM and of the attention.", at_least=8, at_most=8192)
    embedding: int = option(
        320, "Size of word vectors, shared by input and output.", at_least=8, at_most=8192
    )
    dropout: float = option(0.3, "Dropout in training.", at_least=0, at_most=0.9)
    frames: int = option(2, "Frames of a window.", flag="", at_least=1, at_most=64)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % (2 * self.attention_heads):
            raise UsageError(
                f"--size is {self.size}; it must be a multiple of twice --attention-heads "
                f"({self.attention_heads})"
            )
        if self.concept_slots and not self.writes:
            raise UsageError(
                f"--concept-slots is {self.concept_slots}, and without the head caption nobody "
                "looks at them; it must be 0"
            )
        if self.writes and "alignment" in self.heads.split("+"):
            raise UsageError(
                f"--heads is {self.heads}; alignment compares regions, which captions keep in "
                "another form, so train it without the head caption, or joint in its place"
            )
        if self.roles != "none" and not self.concept_slots:
            raise UsageError(
                f"--roles {self.roles} chooses among the concepts of --concept-slots, which is 0; "
                "add --concept-slots 16"
            )
        if self.roles != "none" and "regions" in self.heads.split("+"):
            raise UsageError(
                f"--roles {self.roles} shows words in place of the grid, which the head regions "
                "needs; leave it out"
            )
        if not self.fed_at_words and self.attention != "none":
            raise UsageError(
                f"--feed {self.feed} shows nothing to --attention {self.attention}; "
                "add --attention none"
            )
        if self.temporal == "s2vt" and self.layers != 2:
            raise UsageError(
                f"--temporal s2vt reads and writes by a stack of two layers, and --layers is "
                f"{self.layers}; give --layers 2, or --temporal forward"
            )
        if self.feed in ("word", "every") and self.temporal == "s2vt":
            raise UsageError(
                "--temporal s2vt reads the frames before the first word, and --feed is "
                f"{self.feed}; give --feed start or both"
            )
        self._check_fed()

    def _check_fed(self) -> None:
        """Raises UsageError where something is to be shown that there is not, or to nobody."""
        for flag, asked, shown in (
            ("--start-with", self.start_with, self.starts),
            ("--every-with", self.every_with, self.lasts),
        ):
            if asked.split("+") != shown and asked != "frames":
                reason = f"--temporal {self.temporal}, --feed {self.feed} and --heads {self.heads}"
                raise UsageError(f"{flag} {asked} is shown to nobody by {reason}; leave it out")
        if self.lasts and "frames" not in self.lasts and self.attention != "none":
            raise UsageError(
                f"--every-with {self.every_with} shows nothing to --attention {self.attention}; "
                "add --attention none, or +frames"
            )
        if self.fed and "frames" not in self.fed:
            raise UsageError(
                "neither --start-with nor --every-with shows frames; add +frames to one of them"
            )
        if "tracks" in self.fed and not self.input.tracks:
            raise UsageError("the decoder is to see tracks, and --tracks is 0; add --tracks 256")
        if self.input.tracks and "tracks" not in self.fed:
            raise UsageError(
                f"--tracks is {self.input.tracks}, and nobody sees them; add tracks to "
                "--start-with or --every-with"
            )
        if "concepts" in self.fed and (not self.concept_slots or self.roles != "none"):
            raise UsageError(
                "the decoder is to see the probabilities of concepts, which needs --concept-slots "
                "above 0 and --roles none"
            )

    @property
    def starts(self) -> list[str]:
        """What the decoder sees at the start."""
        if not self.writes or self.feed == "every":
            return []
        return ["frames"] if self.temporal == "s2vt" else self.start_with.split("+")

    @property
    def lasts(self) -> list[str]:
        """What the decoder sees at every word."""
        return self.every_with.split("+") if self.writes and self.fed_at_words else []

    @property
    def fed(self) -> set[str]:
        """What the decoder sees, at the start or at every word."""
        return {*self.starts, *self.lasts}

    @property
    def fed_at_words(self) -> bool:
        """Whether the decoder gets the visual input at every word."""
        return self.feed in ("every", "both")

    @property
    def writes(self) -> bool:
        """Whether it writes captions."""
        return "caption" in self.heads.split("+")

    @property
    def looks(self) -> bool:
        """Whether where it looks for a word is somewhere in the frames."""
        return self.writes and not self.input.flow and self.roles == "none"

    @property
    def reads(self) -> bool:
        """Whether it knows words."""
        return not {"caption", "regions", *MATCHING}.isdisjoint(self.heads.split("+"))

    @property
    def says(self) -> str:
        """The head whose words ``run`` writes: caption, or else the first that has some."""
        heads = self.heads.split("+")
        if self.writes:
            return "caption"
        return next((head for head in heads if head not in MATCHING), heads[0])

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, "since": SINCE, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Parse ``config.json`` of this or an older schema; a missing field takes the default of
        its schema. Raises ModelError."""
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(unparsed("config.json", "JSON", error)) from error
        if not isinstance(values, dict):
            raise ModelError(f"config.json is a {type(values).__name__}; it must be an object")
        schema, since = values.pop("schema", None), values.pop("since", None)
        if isinstance(schema, int) and schema > SCHEMA:
            told = isinstance(since, str) and since.isprintable()
            newer = f"vidcaption {since}" if told else "a newer vidcaption"
            raise ModelError(
                f"this model needs {newer} (config.json has schema {schema}, and this version "
                f"reads {SCHEMA}); upgrade with 'pip install --upgrade vidcaption'"
            )
        if type(schema) is not int or schema < 1:
            raise ModelError(
                f"config.json has schema {schema!r}; this version of vidcaption reads 1 to {SCHEMA}"
            )
        for older in range(schema, SCHEMA):
            values = MIGRATIONS[older](values)
        try:
            return _build(cls, values)
        except UsageError as error:
            raise ModelError(f"config.json: {error}") from error


def _build(kind: type[T], values: dict[str, Any]) -> T:
    """Options from what JSON holds of them. Raises ModelError, UsageError."""
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(values.keys() - known):
        raise ModelError(f"config.json has unknown fields: {', '.join(map(repr, unknown))}")
    parsed = {}
    for name, value in values.items():
        group = group_of(known[name])
        if group and not isinstance(value, dict):
            raise ModelError(f"config.json: {name} is {value!r}; it must be an object")
        # JSON has no tuples
        plain = tuple(value) if isinstance(value, list) else value
        parsed[name] = _build(group, value) if group else plain
    return kind(**parsed)
