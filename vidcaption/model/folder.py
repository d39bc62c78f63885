"""A model on disk: a folder of JSON and safetensors, nothing in it executable."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors

from vidcaption.errors import ModelError, OutputError
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary

CONFIG, WEIGHTS, WORDS, CARD, MANIFEST = (
    "config.json",
    "model.safetensors",
    "vocab.json",
    "README.md",
    "manifest.json",
)


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. ``sha256`` is that of its weights file."""

    network: CaptionNetwork
    vocabulary: Vocabulary
    sha256: str


def save(folder: Path, network: CaptionNetwork, vocabulary: Vocabulary, card: str) -> None:
    """Write a model folder, weights in fp16. Raises OutputError."""
    weights = {
        name: x.detach().cpu().half().contiguous() for name, x in network.state_dict().items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).write_bytes(to_safetensors(weights, metadata={"format": "pt"}))
        (folder / CONFIG).write_text(network.config.to_json(), encoding="utf-8")
        (folder / WORDS).write_text(vocabulary.to_json(), encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
        # last, so that a folder that was cut short has no manifest, or one that does not match
        write_manifest(folder)
    except OSError as error:
        raise OutputError(f"cannot write the model to {folder}: {error.strerror}") from error


def write_manifest(folder: Path) -> None:
    """Record size and sha256 of each file, after an edit of the model card say."""
    rows = {}
    for name in (CONFIG, WEIGHTS, WORDS, CARD):
        path = folder / name
        rows[name] = {"sha256": _sha256(path), "size": path.stat().st_size}
    (folder / MANIFEST).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def load(folder: Path, device: torch.device | str = "cpu") -> Model:
    """Check and load a model folder, in fp32 and ready to caption. Raises ModelError."""
    rows = _verify(folder)
    config = ModelConfig.from_json(_read(folder / CONFIG))
    vocabulary = Vocabulary.from_json(_read(folder / WORDS))
    with torch.device("meta"):  # no memory and no time spent on random weights
        network = CaptionNetwork(config, len(vocabulary))
    state = _read_weights(folder / WEIGHTS, {k: v.shape for k, v in network.state_dict().items()})
    network.load_state_dict({name: x.float() for name, x in state.items()}, assign=True)
    return Model(network.to(device).eval(), vocabulary, rows[WEIGHTS]["sha256"])


def _verify(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest, once every file has been found to match it."""
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not a model folder; give a folder with {CONFIG} and {WEIGHTS}"
        )
    try:
        rows = json.loads(_read(folder / MANIFEST))
        expected = {
            name: (rows[name]["size"], rows[name]["sha256"]) for name in (CONFIG, WEIGHTS, WORDS)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / MANIFEST} is broken; fetch or save the model again") from error
    for name, (size, sha256) in expected.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"model folder {folder} lacks {name}; fetch or save the model again")
        if path.stat().st_size != size or _sha256(path) != sha256:
            raise ModelError(
                f"{path} is not the file that {MANIFEST} describes (size or sha256 differs); "
                "it was altered or only half copied: fetch or save the model again"
            )
    return rows  # type: ignore[no-any-return]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelError(
            f"model folder {path.parent} lacks {path.name}; fetch or save the model again"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error


def _read_weights(path: Path, shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """The tensors of ``path``, after comparing its header with ``shapes``."""
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            if odd := sorted(names ^ shapes.keys()):
                kind = "lacks" if odd[0] in shapes else "has an unknown"
                raise ModelError(f"{path} does not fit {CONFIG}: it {kind} tensor {odd[0]}")
            for name, shape in shapes.items():
                if (got := tuple(file.get_slice(name).get_shape())) != tuple(shape):
                    raise ModelError(
                        f"{path} does not fit {CONFIG}: {name} has shape {got}, not {tuple(shape)}"
                    )
            return {name: file.get_tensor(name) for name in shapes}
    except (SafetensorError, OSError) as error:
        hint = "it looks like a pickle, which is never opened" if _is_pickle(path) else str(error)
        raise ModelError(f"{path} is not a safetensors file: {hint}") from error


def _is_pickle(path: Path) -> bool:
    """PyTorch's own files are ZIP archives of pickles, or bare pickles in the oldest."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
