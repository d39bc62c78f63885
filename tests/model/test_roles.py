"""The words of four roles, against all that could be."""

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidcaption.errors import ModelError
from vidcaption.model import folder
from vidcaption.model.concepts import Concepts
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.roles import Roles
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions

NAMES = ["man", "dog", "run", "ride", "hot dog"]
VOCABULARY = Vocabulary(["a", "man", "dog", "run", "ride", "hot", "in"], NAMES)
COUNT = len(NAMES)
SMALL = {"image_size": 32, "grid": 1, "size": 16, "attention_heads": 2, "embedding": 8}


def config(roles: str, **fields: str | int) -> ModelConfig:
    chosen = {"roles": roles, "concept_slots": 3, "attention": "none", "feed": "every"}
    return ModelConfig.flat(**SMALL | chosen | {"temporal": "none"} | fields)


def roles(kind: str, seed: int = 0) -> Roles:
    draw = torch.Generator().manual_seed(seed)
    made = Roles(config(kind), VOCABULARY)
    shares = torch.rand(4, COUNT, generator=draw)
    made.take(shares, 2 * torch.randn(3, COUNT + 1, COUNT + 1, generator=draw))
    return made.eval()


def concepts(seed: int = 0) -> Concepts:
    """Three of five for each of six windows; the last has an empty slot."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randperm(COUNT, generator=draw)[:3] for _ in range(6)])
    confidence = torch.rand(6, 3, generator=draw)
    confidence[-1, -1] = 0.0
    return Concepts(ids, confidence)


def all_of(made: Roles, ids: list[int], confidence: list[float]) -> Tensor:
    """The score of each choice of verb, subject, object and scene: (K + 1,) * 4."""
    scores = torch.zeros([len(ids) + 1] * 4)
    for places in product(range(len(ids) + 1), repeat=4):
        score, words = 0.0, [*ids, COUNT]
        for role, place in enumerate(places):
            fills = torch.tensor(confidence) * made.shares[role, ids]
            score += (torch.log(torch.cat([fills, (1 - fills).prod().view(1)]))[place]).item()
            if role:
                score += made.fits[role - 1, words[places[0]], words[place]].item()
        scores[places] = score
    return scores


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_and_the_probabilities_are_exact(seed: int) -> None:
    seen = concepts(seed)
    best, likely = (roles(kind, seed).choose(seen) for kind in ("max", "probabilities"))
    assert best.shape == likely.shape == (6, 4, 4)
    for row, (ids, sure) in enumerate(
        zip(seen.ids.tolist(), seen.confidence.tolist(), strict=True)
    ):
        scores = all_of(roles("max", seed), ids, sure)
        chosen = best[row].argmax(-1).tolist()
        assert scores[tuple(chosen)] == pytest.approx(scores.max().item(), abs=1e-4)
        assert best[row].sum(-1).tolist() == [1] * 4 and best[row].amax(-1).tolist() == [1] * 4
        chances = scores.flatten().softmax(0).view_as(scores)
        marginals = [chances.sum([d for d in range(4) if d != role]) for role in range(4)]
        torch.testing.assert_close(likely[row], torch.stack(marginals), atol=1e-4, rtol=1e-3)


def test_what_is_certain_or_absent_is_a_number() -> None:
    made = roles("probabilities")
    made.take(torch.ones(4, COUNT), torch.zeros(3, COUNT + 1, COUNT + 1))
    certain = Concepts(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    chosen = made.choose(certain)
    assert chosen[0, :, 0] == pytest.approx([0.999] * 4, abs=1e-3)
    assert chosen[1, :, 2].tolist() == [1] * 4  # nothing is there: all stay empty


def test_the_words_are_those_of_the_decoder_and_each_role_has_its_layer() -> None:
    made, embedding = roles("max"), torch.nn.Embedding(len(VOCABULARY), 8)
    # only the concept of two words can be the subject, and there is nothing else
    shares = torch.zeros(4, COUNT)
    shares[1, 4] = 1.0
    made.take(shares, torch.zeros(3, COUNT + 1, COUNT + 1))
    seen = Concepts(torch.tensor([[4, 0, 1]]), torch.tensor([[0.9, 0.8, 0.7]]))
    words = made(seen, embedding)
    assert words.shape == (1, 4, 16)
    mean = embedding.weight[VOCABULARY.encode("hot dog")].mean(0)
    for role, vector in enumerate([torch.zeros(8), mean, torch.zeros(8), torch.zeros(8)]):
        by_hand = torch.relu(made.norm(made.project[role](vector)))
        torch.testing.assert_close(words[0, role], by_hand)


@pytest.mark.parametrize(
    "fields",
    [
        {"roles": "max"},
        {"roles": "probabilities"},
        {"roles": "max", "temporal": "s2vt", "feed": "start"},
        {"roles": "max", "temporal": "lstm", "attention": "additive", "heads": "caption+joint"},
    ],
    ids=str,
)
def test_the_decoder_sees_four_words_and_nothing_else(
    fields: dict[str, str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = CaptionNetwork(config(**fields), VOCABULARY).eval()
    tables = roles("max")
    network.slots.take(tables.shares, tables.fits)
    folder.save(tmp_path, network, VOCABULARY, "")
    loaded = folder.load(tmp_path).network
    torch.testing.assert_close(loaded.slots.fits, tables.fits, atol=0.01, rtol=0)
    torch.testing.assert_close(loaded.slots.shares, tables.shares, atol=0.01, rtol=0)
    seen = concepts()
    with torch.inference_mode():
        memories = [
            loaded.remember(torch.randn(6, frames, regions, 1280), seen)
            for frames, regions in ((2, 4), (1, 1))
        ]
        other = loaded.remember(torch.randn(6, 1, 1, 1280), concepts(1))
        captions = loaded.caption(torch.randn(6, 2, 1, 1280), SearchOptions(max_words=4))
    assert memories[0].frames.shape == (6, 4, 16) and captions[0].attention.shape[-1] == 4
    for one, same, different in zip(*memories, other, strict=True):
        if one is not None:
            assert torch.equal(one, same) and not torch.equal(one, different)


def test_it_learns_all_of_it() -> None:
    network = CaptionNetwork(config("max"), VOCABULARY)
    network.encoder.requires_grad_(False)
    network.classifier.requires_grad_(False)
    network.confidence.requires_grad_(False)
    network.slots.take(roles("max").shares, roles("max").fits)
    memory = network.remember(torch.zeros(6, 1, 1, 1280), concepts())
    step = network.decoder(torch.tensor([[[1, 5]]] * 6), memory, network.decoder.start(memory))
    network.decoder.logits(step.hidden).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_roles_need_concepts() -> None:
    with pytest.raises(ModelError, match=r"--roles max chooses among .*; add --concept-slots 16"):
        ModelConfig.from_json('{"schema": 4, "roles": "max"}')
    assert ModelConfig.from_json('{"schema": 3}').roles == "none"
