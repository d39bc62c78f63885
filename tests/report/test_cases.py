import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import write_tiny

from vidcaption.datasets import samples as reading
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import Said, caption_samples, load_clip
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.folder import Model
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import search
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.report.cases import attend, choose, look
from vidcaption.video.reader import VideoReader


@given(st.lists(st.floats(0, 1000), max_size=30), st.integers(1, 6))
def test_best_and_worst_are_so_and_none_stands_twice(merits, each):
    chosen = choose(np.array(merits), each)
    shown = [i for several in chosen.values() for i in several]
    assert len(shown) == len(set(shown)) == min(3 * each, len(merits))
    ordered = sorted(merits, reverse=True)
    assert [merits[i] for i in chosen["best"]] == ordered[:each]
    assert [merits[i] for i in chosen["worst"]] == ordered[each:][::-1][:each]
    assert choose(np.array(merits), each) == chosen


def test_attention_is_that_of_the_search(model, samples, cpu):
    sample = samples[3]  # of four frames
    clip = load_clip(sample, 4, 64)
    with torch.inference_mode():
        memory = model.network.remember(model.network.encode(clip.unsqueeze(0)))
    [caption] = search(model.network.decoder, memory, SearchOptions())
    attention = attend(model, clip, caption.ids, cpu)
    assert attention.shape == (len(caption.ids), 4, 2, 2)
    assert attention.sum((1, 2, 3)) == pytest.approx(1, abs=1e-5)
    # the search's last row is of the caption's end
    wanted = caption.attention[:-1].reshape(attention.shape).numpy()
    assert attention == pytest.approx(wanted, abs=1e-5)


def test_attention_lands_on_the_frame_and_the_cell_that_differ(model, cpu):
    """Without an LSTM over frames, equal frames get equal weights, wherever they stand."""
    clip = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    clip[2] = torch.linspace(0, 255, 64).byte()
    attention = attend(model, clip, [5, 6, 7], cpu)
    for other in (1, 3):
        assert attention[:, other] == pytest.approx(attention[:, 0], rel=1e-3)
    assert (abs(attention[:, 2] / attention[:, 0] - 1).max((1, 2)) > 0.01).all()


def test_attention_depends_on_what_the_detector_finds(cpu):
    config = ModelConfig.flat(
        image_size=64, grid=2, size=16, attention_heads=2, embedding=12, concept_slots=2
    )
    vocabulary = Vocabulary(["a", "dog", "cat", "on"], ["dog", "cat"], (), [1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(CaptionNetwork(config, vocabulary).eval(), vocabulary, "")
    clip = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    seen = []
    for logit in (-20.0, 20.0):
        torch.nn.init.constant_(model.network.detector.out.bias, logit)
        seen.append(attend(model, clip, vocabulary.encode("a dog"), cpu))
    assert abs(seen[0] - seen[1]).max() > 1e-3


def test_a_case_shows_the_caption_that_was_said(model, samples, cpu, monkeypatch):
    said = caption_samples(model.network, model.vocabulary, samples[2:3], 2, SearchOptions(), cpu)
    opened = []
    monkeypatch.setattr(
        *(reading, "VideoReader"),
        lambda *args, **more: opened.append(1) or VideoReader(*args, **more),
    )
    case = look(model, samples[2], said["2"], 12.5, 2, cpu)
    assert len(opened) == 2  # each picture once
    assert case.words == said["2"].text.split()
    assert [frame.shape for frame in case.frames] == [(60, 80, 3)] * 2
    clip = load_clip(samples[2], 2, 64)
    expected = attend(model, clip, model.vocabulary.encode(said["2"].text), cpu)
    assert case.attention.shape == (len(case.words), 2, 2, 2)
    assert (case.attention == expected).all()


def test_where_a_model_of_flow_looked_is_not_shown(samples, cpu, tmp_path):
    flow = folder.load(write_tiny(tmp_path / "flow", kind="flow"))
    case = look(flow, samples[2], Said("word1 word2", -1.0), 12.5, 2, cpu)
    assert case.words == [] and case.attention.shape == (0, 2, 2, 2)
    clip = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    assert attend(flow, clip, [5, 6], cpu).shape == (0, 2, 2, 2)


def test_where_a_model_of_four_words_looked_is_not_shown(samples, cpu):
    config = ModelConfig.flat(
        image_size=64,
        grid=2,
        size=16,
        attention_heads=2,
        embedding=12,
        concept_slots=2,
        roles="max",
    )
    vocabulary = Vocabulary(["word1", "dog"], ["dog"])
    model = Model(CaptionNetwork(config, vocabulary).eval(), vocabulary, "")
    case = look(model, samples[2], Said("word1 dog", -1.0), 12.5, 2, cpu)
    assert case.words == [] and case.attention.shape == (0, 2, 2, 2)


def test_a_caption_without_words(model, samples, cpu):
    said = caption_samples(model.network, model.vocabulary, samples[:1], 1, SearchOptions(), cpu)
    nothing = said["0"]._replace(text="")
    case = look(model, Sample("0", (), None, samples[0].stills), nothing, None, 1, cpu)
    assert case.words == [] and case.attention.shape == (0, 1, 2, 2)
