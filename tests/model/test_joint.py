from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny
from torch import Tensor

from vidcaption.errors import ModelError, UsageError
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.joint import pack, unpack
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import FIT
from vidcaption.model.sentences import SIZE, read_sentence
from vidcaption.model.vocabulary import PAD, UNK, Vocabulary
from vidcaption.options.captioning import SearchOptions

HEADS = ("caption+joint", "joint")
SMALL = {"image_size": 64, "grid": 2, "size": 16, "embedding": 12, "dropout": 0.0}


@pytest.mark.parametrize("heads", HEADS)
def test_numpy_reads_as_pytorch_does(heads: str, tmp_path: Path) -> None:
    model = folder.load(write_tiny(tmp_path, heads=heads))
    for text in ("word3", "Word1, word7 word7 of word2", " ".join(f"word{i}" for i in range(40))):
        with torch.inference_mode():
            (expected,) = model.network.read_sentences([model.vocabulary.encode(text)])
        vector = read_sentence(tmp_path, text)
        assert vector is not None and vector.dtype == np.float32
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert read_sentence(tmp_path, "no word of these") is None


def test_sentences_do_not_depend_on_those_beside_them(tmp_path: Path) -> None:
    network = folder.load(write_tiny(tmp_path, heads="caption+joint")).network
    with torch.inference_mode():
        short, long, unknown = network.read_sentences([[5], [6, 7, UNK, 8, 9], [UNK]])
        torch.testing.assert_close(network.read_sentences([[5]])[0], short)
        torch.testing.assert_close(network.read_sentences([[6, 7, 8, 9]])[0], long)
    for vector in (short, long, unknown):
        assert vector.norm().item() == pytest.approx(1, abs=1e-5) and len(vector) == SIZE


def test_what_a_window_is_kept_as_is_close(features: Tensor, tmp_path: Path) -> None:
    network = folder.load(write_tiny(tmp_path, heads="caption+joint")).network
    with torch.inference_mode():
        vectors = network.heads["joint"](network.remember(features))
        captions = network.caption(features, SearchOptions())
    kept = [caption.vector for caption in captions]
    assert kept == pack(vectors) and all(len(each) == SIZE for each in kept)
    cosines = (unpack(kept) * vectors.numpy()).sum(1) / np.linalg.norm(unpack(kept), axis=1)
    assert (cosines > 0.995).all()
    extreme = torch.zeros(1, SIZE)
    extreme[0, 0] = -1.0
    assert unpack(pack(extreme))[0, 0] == pytest.approx(-4 / SIZE**0.5)


def test_captions_have_no_vector_without_the_head(features: Tensor, tmp_path: Path) -> None:
    network = folder.load(write_tiny(tmp_path)).network
    assert [caption.vector for caption in network.caption(features, SearchOptions())] == [b""] * 3


def test_how_well_captions_fit_is_the_cosine_of_each_with_its_window(tmp_path: Path) -> None:
    network = folder.load(write_tiny(tmp_path, heads="caption+joint")).network
    captions = [[[5, 6, 7], [8]], [[9], [5, 6]]]
    words = torch.tensor([[[*ids, *[PAD] * (3 - len(ids))] for ids in each] for each in captions])
    with torch.inference_mode():
        windows = network.read_sentences([[11, 12], [13]])
        fit = network.heads["joint"].fit(windows, words, network.decoder.embedding)
        for own, each, window in zip(fit, captions, windows, strict=True):
            torch.testing.assert_close(own, network.read_sentences(each) @ window)
        nothing = torch.full_like(words, PAD)
        assert (
            network.heads["joint"].fit(windows, nothing, network.decoder.embedding).isfinite().all()
        )


def test_captions_are_chosen_by_how_well_they_fit(features: Tensor, tmp_path: Path) -> None:
    vocabulary = Vocabulary([f"word{i}" for i in range(9)], ["word1"])
    torch.manual_seed(0)
    with_slots = ModelConfig.flat(heads="caption+joint", concept_slots=1, **SMALL)
    network = CaptionNetwork(with_slots, vocabulary).eval()
    captions = network.caption(features, SearchOptions())
    with torch.inference_mode():
        windows = network.heads["joint"](network.remember(features))
        said = network.read_sentences([caption.ids for caption in captions])
    head = network.heads.pop("joint")
    alone = network.caption(features, SearchOptions())
    assert head.embedding is None  # the decoder's is shared
    assert all(x.vector for x in captions) and not any(x.vector for x in alone)
    cosines = (windows * said).sum(-1).tolist()
    for caption, cosine, likeliest in zip(captions, cosines, alone, strict=True):
        assert caption.concepts == likeliest.concepts
        assert caption.rank - FIT * cosine <= likeliest.rank + 1e-5
    assert [x.ids for x in captions] != [x.ids for x in alone]


def test_alone_it_has_words_and_says_nothing(features: Tensor, tmp_path: Path) -> None:
    network = folder.load(write_tiny(tmp_path, heads="joint")).network
    with pytest.raises(UsageError, match="has the head joint alone, which says nothing"):
        network.caption(features, SearchOptions())
    with pytest.raises(ModelError, match=r"has the head joint, but vocab\.json has 0 words"):
        CaptionNetwork(ModelConfig.flat(heads="joint", **SMALL), Vocabulary([]))
    assert ModelConfig(heads="joint+score").says == "score"
    assert ModelConfig(heads="joint").says == "joint"


def test_broken_weights_are_an_error_in_a_sentence(tmp_path: Path) -> None:
    path = write_tiny(tmp_path, heads="caption+joint") / "model.safetensors"
    weights = load_file(path)
    del weights["heads.joint.sentence.bias"]
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"cannot read the joint space of .*model\.safetensors"):
        read_sentence(tmp_path, "word1")
    path.write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"cannot read the joint space of .*model\.safetensors"):
        read_sentence(tmp_path, "word1")
