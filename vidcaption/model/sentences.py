"""Sentences in the joint space without PyTorch: what ``JointHead.read`` computes, in NumPy.

A search in an index takes less time than PyTorch takes to be imported.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vidcaption.errors import ModelError
from vidcaption.model.manifest import WEIGHTS, WORDS, read_text
from vidcaption.model.vocabulary import UNK, Vocabulary

SIZE = 256  # dimensions of the space
HIDDEN = 256
EPSILON = 1e-5  # in layer normalization
# of a signed byte in 1: few numbers in a vector of length 1 are above 4 / sqrt(SIZE)
STEPS = 127 * SIZE**0.5 / 4

Array = NDArray[np.float32]

_LAYERS = (
    *("words.weight_ih_l0", "words.weight_hh_l0", "words.bias_ih_l0", "words.bias_hh_l0"),
    *("sentence.weight", "sentence.bias"),
)


def read_sentence(folder: Path, text: str) -> Array | None:
    """The vector of a text, (SIZE,) of length 1, by the model in ``folder``, which has the head
    joint; None if it knows none of the words. Reads no more of the model than that takes, and does
    not check it against its manifest. Raises ModelError."""
    vocabulary = Vocabulary.from_json(read_text(folder / WORDS))
    words = [word for word in vocabulary.encode(text) if word != UNK]
    if not words:
        return None
    try:
        with safe_open(folder / WEIGHTS, "np") as file:
            own = "heads.joint.embedding.weight"
            table = own if own in file.keys() else "decoder.embedding.weight"  # noqa: SIM118
            rows = file.get_slice(table)
            vectors = np.concatenate([rows[word : word + 1] for word in words]).astype(np.float32)
            layers = {
                name: file.get_tensor(f"heads.joint.{name}").astype(np.float32) for name in _LAYERS
            }
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"cannot read the joint space of {folder / WEIGHTS}, which is cut off or altered; "
            "fetch or save the model again"
        ) from error
    vectors -= vectors.mean(1, keepdims=True)
    vectors /= np.sqrt(vectors.var(1, keepdims=True) + EPSILON)
    read, keep, read_bias, keep_bias, last, last_bias = layers.values()
    states = _states(vectors, read, keep, read_bias, keep_bias)
    vector = np.vecdot(last, states.mean(0)) + last_bias
    length = max(float(np.linalg.norm(vector)), 1e-12)
    found: Array = (vector / length).astype(np.float32)
    return found


def _states(vectors: Array, read: Array, keep: Array, read_bias: Array, keep_bias: Array) -> Array:
    """The states of a GRU (Cho et al. 2014), in PyTorch's form, after each of L inputs: (L, H).

    ``read``, ``keep``: the weights of input and state, of the gates reset and update and of the new
    state, one below the other.
    """
    state = np.zeros(HIDDEN, np.float32)
    states = []
    # not @, whose threads take longer to start than this takes
    for given in np.vecdot(vectors[:, None], read) + read_bias:
        held = np.vecdot(keep, state) + keep_bias
        reset, update = _sigmoid((given + held)[: 2 * HIDDEN]).reshape(2, HIDDEN)
        new = np.tanh(given[2 * HIDDEN :] + reset * held[2 * HIDDEN :])
        state = (1 - update) * new + update * state
        states.append(state)
    return np.stack(states)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)
