"""A model on disk: a folder of JSON and safetensors, without executable code."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch.overrides import TorchFunctionMode

from vidcaption.errors import ModelError, OutputError, UsageError
from vidcaption.model.manifest import (
    CARD,
    CONFIG,
    MANIFEST,
    WEIGHTS,
    WORDS,
    read_config,
    read_text,
    verify,
    write_manifest,
)
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.parts import MATCHING
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.reasons import of_system

# heads of which several models have nothing in common, and why
_APART = dict.fromkeys(MATCHING, "each with a space of its own") | {
    "regions": "each of which finds boxes of its own"
}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. ``sha256`` is that of its weights file."""

    network: CaptionNetwork
    vocabulary: Vocabulary
    sha256: str


def save(folder: Path, network: CaptionNetwork, vocabulary: Vocabulary, card: str) -> None:
    """Write a model folder, weights in fp16, single numbers as they are. Raises OutputError."""
    state = {name: x.detach().cpu() for name, x in network.state_dict().items()}
    weights = {name: x.half().contiguous() if x.ndim else x for name, x in state.items()}
    files = {
        WEIGHTS: to_safetensors(weights, metadata={"format": "pt"}),
        CONFIG: network.config.to_json().encode(),
        WORDS: vocabulary.to_json().encode(),
        CARD: card.encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # in a separate folder, so that a full disk or a kill does not damage an existing model
        with TemporaryDirectory(prefix=".saving-", dir=folder) as place:
            for name, data in files.items():
                (Path(place) / name).write_bytes(data)
            write_manifest(Path(place))
            for name in (*files, MANIFEST):
                (Path(place) / name).replace(folder / name)
    except OSError as error:
        raise OutputError(f"cannot write the model to {folder}: {of_system(error)}") from error


def load(folder: Path, device: torch.device | str = "cpu") -> Model:
    """Check and load a model folder, in fp32 and ready to caption. Raises ModelError."""
    rows = verify(folder)
    config = read_config(folder)
    vocabulary = Vocabulary.from_json(read_text(folder / WORDS))
    with (
        torch.device("meta"),
        _NoRandomWeights(),
    ):  # for weights that are replaced
        network = CaptionNetwork(config, vocabulary)
    state = _read_weights(folder / WEIGHTS, {k: v.shape for k, v in network.state_dict().items()})
    weights = {name: x.float() for name, x in state.items()}
    for name, weight in weights.items():
        if not weight.sum().isfinite():  # many times as fast as checking each number
            raise ModelError(
                f"{folder / WEIGHTS} has numbers that are not finite in {name}; use a model "
                "whose training did not diverge, or train it with a lower --lr"
            )
    network.load_state_dict(weights, assign=True)
    network.to(memory_format=torch.channels_last)
    return Model(network.to(device).eval(), vocabulary, rows[WEIGHTS]["sha256"])


def check_mixable(first: Model, name: str, other: Model, other_name: str) -> None:
    """Raise UsageError unless what both say can be mixed, and they see the same optical flow."""
    says, theirs = (each.network.config.says for each in (first, other))
    if says != theirs:
        raise UsageError(
            f"{name} has the head {says}, and {other_name} has {theirs}; only models with the same "
            "can be mixed"
        )
    if says in _APART:
        raise UsageError(
            f"{name} and {other_name} have the head {says} alone, {_APART[says]}, so they cannot "
            "be mixed"
        )
    flows = {
        (x.gap_s, x.method) for each in (first, other) if (x := each.network.config.input.flow)
    }
    if len(flows) > 1:
        raise UsageError(
            f"{name} and {other_name} see different optical flow, so they cannot be mixed; train "
            "both with the same --flow-gap and --flow-method"
        )
    if says == "classes" and first.vocabulary.labels != other.vocabulary.labels:
        raise UsageError(
            f"{name} and {other_name} do not have the same labels "
            f"({len(first.vocabulary.labels)} and {len(other.vocabulary.labels)}), so they cannot "
            "be mixed; train both on the same samples"
        )
    if says == "caption" and first.vocabulary.words != other.vocabulary.words:
        raise UsageError(
            f"{name} and {other_name} do not have the same words "
            f"({len(first.vocabulary)} and {len(other.vocabulary)}), so they cannot be mixed; "
            "train both on the same captions, with the same --min-count and --seed"
        )


class _NoRandomWeights(TorchFunctionMode):
    """Skips the initialization of weights, for which the meta device imports PyTorch's compiler,
    which takes as long as PyTorch itself."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function.__name__.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def _read_weights(path: Path, shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """The tensors of ``path``, after comparing its header with ``shapes``."""
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            if odd := sorted(names ^ shapes.keys()):
                kind = "has no" if odd[0] in shapes else "has an unknown"
                raise ModelError(f"{path} does not fit {CONFIG}: it {kind} tensor {odd[0]}")
            for name, shape in shapes.items():
                if (got := tuple(file.get_slice(name).get_shape())) != tuple(shape):
                    raise ModelError(
                        f"{path} does not fit {CONFIG}: {name} has shape {got}, not {tuple(shape)}"
                    )
            return {name: file.get_tensor(name) for name in shapes}
    except (SafetensorError, OSError) as error:
        hint = "it is cut off or altered"
        if _is_pickle(path):
            hint = "it looks like a pickle, which is never loaded"
        raise ModelError(f"{path} is not a safetensors file: {hint}") from error


def _is_pickle(path: Path) -> bool:
    """PyTorch's own files are ZIP archives of pickles, or bare pickles in the oldest."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
