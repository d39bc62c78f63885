"""Models whose words are mixed: ``A`` and ``B=0.3``."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from vidcaption.errors import UsageError
from vidcaption.model.manifest import WEIGHTS, read_rows

Name = str | Path
Mixture = Sequence[Name | tuple[Name, float]]  # each but the first with the weight of its words


def parse(given: Sequence[str]) -> list[Name | tuple[Name, float]]:
    """The first model, and each other from ``NAME=WEIGHT``. Raises UsageError."""
    first, *others = given
    name, weight = _split(first)
    if weight is not None and not Path(first).is_dir():
        raise UsageError(
            f"--model is {first!r}, and the first model's weight is what the others leave of 1; "
            f"give {name} without a weight"
        )
    mixture: list[Name | tuple[Name, float]] = [first]
    for each in others:
        name, weight = _split(each)
        if weight is None:
            raise UsageError(
                f"--model is {each!r}; models after the first need a weight, such as {each}=0.3"
            )
        mixture.append((name, weight))
    weigh(mixture)
    return mixture


def weigh(mixture: Name | Mixture | None) -> list[tuple[Name | None, float]]:
    """Each model and its weight, the first with what the others leave of 1. Raises UsageError."""
    if mixture is None or isinstance(mixture, str | Path):
        return [(mixture, 1.0)]
    if not mixture or isinstance(mixture[0], tuple):
        raise UsageError(
            f"models to mix are {mixture!r}; give the first without a weight, as in "
            '["A", ("B", 0.3)]'
        )
    others = []
    for each in mixture[1:]:
        if not isinstance(each, tuple):
            raise UsageError(f"the model {each} has no weight; give both, as in ({each!r}, 0.3)")
        name, weight = each
        if not 0 <= weight <= 1:
            raise UsageError(f"the weight of {name} is {weight:g}; it must be from 0 to 1")
        others.append((name, float(weight)))
    rest = 1 - sum(weight for _, weight in others)
    if rest < -1e-9:
        raise UsageError(
            f"the weights of the models to mix add up to {1 - rest:g}; together they can be 1 at "
            "most, and the first model gets the rest"
        )
    return [(mixture[0], max(rest, 0.0)), *others]


def folders(mixture: Path | Mixture) -> list[tuple[Path, float]]:
    """The folder of each model and its weight, after they were resolved. Raises UsageError."""
    return [(Path(name or ""), weight) for name, weight in weigh(mixture)]


def sha256_of(mixture: Path | Mixture) -> str:
    """``mixed_sha256`` of resolved models, from their manifests. Raises UsageError, ModelError."""
    rows = [(read_rows(folder), weight) for folder, weight in folders(mixture)]
    return mixed_sha256([(each[WEIGHTS]["sha256"], weight) for each, weight in rows])


def mixed_name(parts: Sequence[tuple[str, float]]) -> str:
    """``A + B=0.3``, or the name of a single model."""
    (first, _), *others = parts
    return " + ".join([first, *(f"{name}={weight:g}" for name, weight in others)])


def mixed_sha256(parts: Sequence[tuple[str, float]]) -> str:
    """That of several models by theirs, which tells mixtures apart; of one, its own."""
    (first, _), *others = parts
    return sha256(json.dumps([first, *others]).encode()).hexdigest() if others else first


def _split(text: str) -> tuple[str, float | None]:
    name, equals, weight = text.rpartition("=")
    try:
        return (name, float(weight)) if equals else (text, None)
    except ValueError:
        return text, None
