import math
from dataclasses import replace

import pytest
import torch

from vidcaption.errors import ModelError
from vidcaption.model import folder as model_folder
from vidcaption.model.concepts import LEAST, SURE, Concepts, ConceptSlots, ContentClassifier, surest
from vidcaption.model.confidence import Confidence
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import HINT, RARE, CaptionNetwork
from vidcaption.model.search import Caption, search
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions

WORDS = ["a", "dog", "fire", "hydrant", "cat", "on", "red"]
PLAIN = Vocabulary(WORDS, ["dog", "fire hydrant", "cat"])
KNOWING = Vocabulary(WORDS, PLAIN.concepts, [2, None, 2, 0])
CONFIG = ModelConfig.flat(
    image_size=64, grid=2, size=16, attention_heads=2, embedding=12, concept_slots=2
)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CaptionNetwork(CONFIG, KNOWING).eval()


def test_the_surest_come_first_and_the_unsure_are_left_out():
    found = surest(torch.tensor([[0.2, LEAST / 2, 0.9, 0.5]]), 3)
    assert found.ids.tolist() == [[2, 3, 0]]
    torch.testing.assert_close(found.confidence, torch.tensor([[0.9, 0.5, 0.2]]))
    found = surest(torch.tensor([[LEAST / 2, 0.9]]), 5)
    assert found.ids.shape == (1, 2)
    torch.testing.assert_close(found.confidence, torch.tensor([[0.9, 0.0]]))


def test_an_untrained_classifier_says_what_the_original_one_says():
    classifier = ContentClassifier(8, KNOWING, dropout=0.0).eval()
    torch.nn.init.zeros_(classifier.out.bias)
    features = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(0))
    classes = classifier.classifier(features.mean(1)).softmax(-1)
    seen = classifier(features).sigmoid()
    expected = torch.stack([classes[:, 3], torch.full((5,), 0.5), classes[:, 0] + classes[:, 2]], 1)
    torch.testing.assert_close(seen, expected, atol=0.01, rtol=0)


def test_takes_the_last_layer_of_an_original_classifier():
    classifier = ContentClassifier(8, KNOWING, dropout=0.0)
    last = torch.nn.Linear(8, 4)
    classifier.take_classes(last)
    assert torch.equal(classifier.classifier.weight, last.weight)
    with pytest.raises(ModelError, match="has 5 classes, but 4 have names"):
        classifier.take_classes(torch.nn.Linear(8, 5))
    ContentClassifier(8, PLAIN, dropout=0.0).take_classes(last)  # has no use for it


def test_a_concept_counts_wherever_it_is_seen():
    """Pooling does not depend on the order of regions, and one region is enough."""
    torch.manual_seed(0)
    classifier = ContentClassifier(8, PLAIN, dropout=0.0).eval()
    torch.nn.init.normal_(classifier.out.weight)
    features = torch.randn(2, 4, 8)
    torch.testing.assert_close(classifier(features), classifier(features.flip(1)))
    more = torch.cat([features, features[:, :1]], 1)
    assert (classifier(more) - classifier(features)).abs().max() < 10


def test_a_slot_is_the_mean_of_its_words_and_empty_ones_are_zero():
    torch.manual_seed(0)
    slots = ConceptSlots(12, 16, PLAIN).eval()
    words = torch.nn.Embedding(len(PLAIN.words), 12)
    concepts = Concepts(torch.tensor([[1, 0, 2]]), torch.tensor([[0.9, 0.4, 0.0]]))
    got = slots(concepts, words)
    assert got.shape == (1, 3, 16) and got[0, 2].abs().sum() == 0 < got[0, 1].abs().sum()
    fire, hydrant = PLAIN.encode("fire hydrant")
    mean = (words.weight[fire] + words.weight[hydrant]) / 2
    by_hand = slots.norm(slots.project(torch.cat([mean, torch.tensor([0.9])])))
    torch.testing.assert_close(got[0, 0], torch.relu(by_hand))
    surer = slots(Concepts(concepts.ids, torch.tensor([[0.1, 0.4, 0.0]])), words)
    assert not torch.equal(surer[0, 0], got[0, 0])


def test_some_slots_stay_empty_in_training():
    slots = ConceptSlots(12, 16, PLAIN).train()
    many = Concepts(torch.zeros(50, 20, dtype=torch.long), torch.ones(50, 20))
    empty = (slots(many, torch.nn.Embedding(11, 12)).abs().sum(-1) == 0).float().mean()
    assert 0.05 < empty < 0.2


def test_concepts_stand_behind_the_regions_in_the_memory(network):
    features = torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        [*_, caption] = search(network.decoder, network.remember(features), SearchOptions())
        assert caption.attention.shape[-1] == 2 * 4 + 2
        torch.testing.assert_close(caption.attention.sum(-1), torch.ones(len(caption.ids) + 1))
        found = network.recognise(features)
        given, own = (network.remember(features, x).values for x in (found, None))
        assert torch.equal(given, own)
        none = Concepts(found.ids, torch.zeros_like(found.confidence))
        assert not torch.equal(network.remember(features, none).values, own)


def test_the_decoder_may_see_the_probabilities_of_all_concepts(network):
    torch.manual_seed(0)
    fed = replace(CONFIG, every_with="frames+concepts", start_with="concepts")
    network = CaptionNetwork(fed, KNOWING).eval()
    features = torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = network.recognise(features)
        expected = network.classifier(features).sigmoid().mean(1)
        torch.testing.assert_close(found.every, expected, rtol=0, atol=1e-3)
        memory = network.remember(features)
        assert memory.values.shape[-2] == 2 * 4  # without slots
        layers = network.vectors["concepts"]
        torch.testing.assert_close(memory.start, layers(found.every))
        assert torch.equal(memory.every, memory.start)
        torch.testing.assert_close(memory.pooled, memory.regions.mean((1, 2)))
        # of a sentence without a picture only the surest are known
        ids, confidence = torch.tensor([[2, 0, 0]]), torch.tensor([[0.9, 0.4, 0.0]])
        memory = network.remember(features[:1], Concepts(ids, confidence))
        torch.testing.assert_close(memory.every, layers(torch.tensor([[0.4, 0.0, 0.9]])))
        [caption, *_] = network.caption(features, SearchOptions())
    assert len(caption.concepts) <= 2 and caption.confidence is not None


def test_the_words_of_the_decoder_are_those_of_the_slots(network):
    concepts = Concepts(torch.tensor([[2]]), torch.tensor([[0.9]]))
    features = torch.zeros(1, 1, 1, 1280)
    with torch.inference_mode():
        before = network.remember(features, concepts).values.clone()
        network.decoder.embedding.weight[KNOWING.encode("cat")] += 1.0
        assert not torch.equal(network.remember(features, concepts).values, before)


def test_survives_the_disk(tmp_path, network):
    model_folder.save(tmp_path, network, KNOWING, "a card")
    loaded = model_folder.load(tmp_path)
    assert loaded.vocabulary.concepts == KNOWING.concepts
    assert loaded.vocabulary.classes == KNOWING.classes
    features = torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        rounded = CaptionNetwork(CONFIG, KNOWING).eval()
        rounded.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
        torch.testing.assert_close(
            loaded.network.remember(features).values, rounded.remember(features).values
        )


def test_slots_need_concepts():
    with pytest.raises(ModelError, match=r"has 2 concept slots, but vocab\.json no concepts"):
        CaptionNetwork(CONFIG, Vocabulary(WORDS))


def test_captions_come_with_concepts_and_confidence(network):
    features = torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(network.confidence.weigh.weight, 0.1)
    with torch.inference_mode():
        captions = network.caption(features, SearchOptions())
        found = network.recognise(features)
    for caption, ids, sure in zip(captions, *(x.tolist() for x in found[:2]), strict=True):
        rounded = [(n, round(p, 3)) for n, p in zip(ids, sure, strict=True) if p]
        assert caption.concepts == tuple(rounded)
        assert 0 < caption.confidence < 1


def test_others_have_a_confidence_of_their_own(network):
    features = torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(network.confidence.weigh.weight, 0.1)
    network._kinds = {word: str(word) for word in range(4, len(KNOWING))}
    with torch.inference_mode():
        captions = network.caption(features, SearchOptions())
    assert any(caption.others for caption in captions)
    for caption in captions:
        for other in (caption, *caption.others):
            [own] = network.confidence([other])
            assert other.confidence == pytest.approx(own, abs=1e-4)
            assert other.concepts == caption.concepts
        assert len({each.confidence for each in (caption, *caption.others)}) > len(caption.others)


def test_captions_are_those_of_given_concepts(network):
    features = torch.randn(1, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    given = Concepts(torch.tensor([[2, 0]]), torch.tensor([[0.9, 0.0]]))
    with torch.inference_mode():
        [caption] = network.caption(features, SearchOptions(), given)
        [own] = search(
            *(network.decoder, network.remember(features, given), SearchOptions()),
            HINT * network.slots.sure_words(given, len(KNOWING)),
        )
    assert caption.concepts == ((2, 0.9),)
    assert caption.ids == own.ids
    assert torch.equal(caption.log_probs, own.log_probs)


def test_confidence_follows_score_length_and_concepts():
    confidence = Confidence(KNOWING)
    fire, hydrant = KNOWING.encode("fire hydrant")
    log_probs = torch.tensor([-1.0, -3.0, -0.5])
    seen = ((1, 0.9), (0, 0.4))
    caption = Caption([fire, hydrant], log_probs, torch.empty(0), 0.0, seen)
    [row] = confidence.describe([caption]).tolist()
    assert row == pytest.approx([-2.0, math.log(3), 0.9, 0.4])
    torch.nn.init.zeros_(confidence.weigh.weight)
    torch.nn.init.constant_(confidence.weigh.bias, 1.0)
    assert confidence([caption]) == [pytest.approx(1 / (1 + math.exp(-1)))]
    assert confidence([]) == []


def test_words_of_sure_concepts_are_hinted_at():
    slots = ConceptSlots(12, 16, PLAIN)
    concepts = Concepts(torch.tensor([[0, 1, 2]]), torch.tensor([[0.9, 0.8, SURE - 0.01]]))
    hints = slots.sure_words(concepts, len(PLAIN))
    [dog] = PLAIN.encode("dog")
    # a name of two words is none of them, and the cat is not sure enough
    assert hints.nonzero().tolist() == [[0, dog]] and hints[0, dog].item() == pytest.approx(0.9)


def test_what_some_frame_does_not_show_is_not_hinted_at(network):
    slots, [dog] = ConceptSlots(12, 16, PLAIN), PLAIN.encode("dog")
    probabilities = torch.tensor([[0.9, 0.0, 0.6], [0.9, 0.0, 0.6]])
    lowest = torch.tensor([[0.8, 0.0, SURE - 0.01], [SURE - 0.01, 0.0, 0.1]])
    found = surest(probabilities, 2, lowest + 1e-4)  # which is rounded away
    assert torch.equal(found.lowest, lowest[:, [0, 2]])
    hints = slots.sure_words(found, len(PLAIN))
    assert hints.nonzero().tolist() == [[0, dog]] and hints[0, dog].item() == pytest.approx(0.8)
    features = torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = network.recognise(features)
        frames = network.classifier(features).sigmoid()
        torch.testing.assert_close(
            found.lowest, frames.amin(1).gather(1, found.ids), rtol=0, atol=1e-3
        )
        alone = network.recognise(features[:, :1])
        assert torch.equal(alone.lowest, alone.every.gather(1, alone.ids))


def test_rare_words_of_sure_concepts_get_larger_hints(network, monkeypatch):
    [dog] = KNOWING.encode("dog")
    monkeypatch.setattr("vidcaption.model.concepts.COMMON", dog / 10)
    slots = ConceptSlots(12, 16, KNOWING)
    assert slots.rarity[dog].item() == pytest.approx(math.log(10))
    assert not slots.rarity[: dog // 10].any()
    network.slots.rarity = slots.rarity
    given = Concepts(
        torch.tensor([[KNOWING.concepts.index("dog")]] * 3), torch.tensor([[1.0], [0.75], [0.4]])
    )
    hints = network.hints(given)[:, dog].tolist()
    more = RARE * math.log(10)
    assert hints == pytest.approx([HINT + more, 0.75 * HINT + more / 2, 0.4 * HINT])


def test_what_is_sure_is_said_sooner_and_once(network):
    features = torch.randn(8, 2, 4, 1280, generator=torch.Generator().manual_seed(1))
    memory = network.remember(features)
    [dog] = KNOWING.encode("dog")
    options = SearchOptions(beam=1, min_words=1)
    hints = torch.zeros(8, len(KNOWING))
    hints[:, dog] = 50.0
    with torch.inference_mode():
        hinted = search(network.decoder, memory, options, hints)
        repeated, *_ = network.decoder.wording
        repeated.penalty[dog] = 100.0
        once = search(network.decoder, memory, options, hints)
    assert all(dog in caption.ids for caption in hinted)
    assert all(caption.ids.count(dog) == 1 for caption in once)
    # the probabilities that are written are the network's own
    assert all((caption.log_probs < 0).all() for caption in hinted)


def test_captions_name_what_is_sure(network, monkeypatch):
    features = torch.randn(8, 2, 4, 1280, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr("vidcaption.model.network.HINT", 200.0)
    with torch.inference_mode():
        captions = network.caption(features, SearchOptions(beam=1, min_words=1))
        found = network.recognise(features)
    sure = 0
    for caption, *several in zip(captions, found.ids.tolist(), found.lowest.tolist(), strict=True):
        for concept, probability in zip(*several, strict=True):
            words = KNOWING.encode(KNOWING.concepts[concept])
            if probability >= SURE and len(words) == 1:
                sure += 1
                assert words[0] in caption.ids
    assert sure
