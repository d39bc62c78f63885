"""Objectives that bring parameters, an update, samples or metrics of their own."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from colours import CONCEPTS, CONFIG, ONE_EPOCH, history, trainer
from torch import nn

from vidcaption.errors import UsageError
from vidcaption.model.search import FIT, KEPT
from vidcaption.model.vocabulary import EOS, PAD
from vidcaption.training.clips import Batch, pad, target
from vidcaption.training.consensus import Consensus
from vidcaption.training.discriminator import Discriminator
from vidcaption.training.losses import Term
from vidcaption.training.objectives import OBJECTIVES, Captions, Objective, Seen


class Length(Objective):
    """How many words a caption has, told from the memory by a layer of its own."""

    in_nats = False

    def __init__(self, network, *more):
        super().__init__(network, *more)
        self.layer = nn.Linear(network.config.size, 1)

    def forward(self, seen):
        told = self.layer(seen.memory.pooled.float())
        lengths = (seen.batch.words[:, :1] > 2).sum(-1)
        return Term((told - lengths).square().sum(), len(told))


class Critic(Length):
    """The same, trained by itself: the network does not learn from it."""

    apart = True

    def __init__(self, network, *more):
        super().__init__(network, *more)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        self.updates = 0

    def forward(self, seen):
        return Term(torch.zeros((), requires_grad=True), 1)

    def update(self, seen):
        self.optimizer.zero_grad()
        told = self.layer(seen.memory.pooled.detach())
        (told - 4).square().mean().backward()
        self.optimizer.step()
        self.updates += 1

    def get_extra_state(self):
        return {"optimizer": self.optimizer.state_dict(), "updates": self.updates}

    def set_extra_state(self, state):
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]


class Backwards(Captions):
    """Captions, judged by a metric of which more is better, on some samples only."""

    def rows(self):
        return range(1, 9)

    def judge(self, network, look, options):
        assert look(len(self._material.train)).shape == (1, 1, 1280)  # the first dev sample's
        self.told = getattr(self, "told", 0) + 1
        return {"loss": 9.0, "accuracy": [0.2, 0.9, 0.4][self.told - 1]}


@pytest.fixture(autouse=True)
def more_objectives(monkeypatch):
    for each in (Length, Critic, Backwards):
        monkeypatch.setitem(OBJECTIVES, each.__name__.lower(), each)


def staged(**objectives):
    table = {"name": "frozen", "objectives": objectives}
    return replace(ONE_EPOCH, epochs=3, batch=8, lr=0.01, stage=(table,))


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["length", "critic"])
def test_parameters_of_an_objective_learn_and_resume(tmp_path, samples, monkeypatch, name):
    options = staged(captions=1, **{name: 0.5})
    whole = trainer(tmp_path / "whole", samples, options)
    first = whole.objectives[name].layer.weight.clone()
    whole.run()
    layer = whole.objectives[name].layer
    assert not torch.equal(layer.weight, first)
    cut = trainer(tmp_path / "cut", samples, options)
    save = cut._save_checkpoint

    def save_then_die(state):
        save(state)
        raise Killed

    monkeypatch.setattr(cut, "_save_checkpoint", save_then_die)
    with pytest.raises(Killed):
        cut.run()
    torch.manual_seed(99)
    resumed = trainer(tmp_path / "cut", samples, options)
    resumed.run(resume=True)
    assert torch.equal(resumed.objectives[name].layer.weight, layer.weight)
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    if name == "critic":
        assert resumed.objectives[name].updates == 3 * 3  # epochs, and batches of 19 samples


def test_an_objective_apart_leaves_the_network_alone(tmp_path, samples):
    with_critic = trainer(tmp_path / "with", samples, staged(captions=1, critic=1))
    without = trainer(tmp_path / "without", samples, staged(captions=1))
    for each in (with_critic, without):
        torch.manual_seed(3)  # making the critic took random numbers
        each.run()
    one, other = with_critic.network.state_dict(), without.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_first_objective_chooses_samples_and_epoch(tmp_path, samples):
    seen = []
    trained = trainer(tmp_path, samples, staged(backwards=1, captions=1))
    trained.objectives["backwards"].register_forward_pre_hook(
        lambda _, args: seen.extend(args[0].batch.samples)
    )
    trained.run()
    assert sorted(seen) == sorted([*range(1, 9)] * 3)
    assert [row["dev_accuracy"] for row in history(tmp_path)] == ["0.2", "0.9", "0.4"]
    card = (tmp_path / "README.md").read_text()
    assert "Best epoch: 2 (frozen), dev loss 9.000, dev accuracy 0.9." in card


def test_what_cannot_be_learnt_is_left_out(tmp_path, samples):
    """Neither texts nor a classifier: captions are what remains."""
    options = staged(concepts=1, texts=1, captions=1)
    trained = trainer(tmp_path, samples, options)
    trained.run()
    assert [row["stage"] for row in history(tmp_path)] == ["frozen"] * 3
    concepts = {"name": "concepts", "epochs": 1}
    with pytest.raises(UsageError, match="there is nothing to train: no stage has epochs, or"):
        trainer(tmp_path, samples, replace(ONE_EPOCH, stage=(concepts,)), config=CONFIG)
    assert trainer(tmp_path, samples, replace(ONE_EPOCH, stage=(concepts,)), config=CONCEPTS)


def test_texts_need_a_decoder_sentences_and_a_share_of_the_batch():
    for writes, has_texts, text_batch in product((True, False), (True, False), (0, 1)):
        network = SimpleNamespace(config=SimpleNamespace(writes=writes))
        material = SimpleNamespace(has_texts=has_texts)
        applies = OBJECTIVES["texts"].applies(
            network, material, replace(ONE_EPOCH, text_batch=text_batch)
        )
        assert applies is (writes and has_texts and text_batch == 1)


@pytest.mark.parametrize("select", ["cider", "loss"])
def test_dev_captions_are_written_only_if_epochs_are_chosen_by_them(
    tmp_path, samples, monkeypatch, select
):
    asked = []
    monkeypatch.setattr(
        "vidcaption.training.objective.judge_captions",
        lambda *_, with_cider: asked.append(with_cider),
    )
    trained = trainer(tmp_path, samples, replace(staged(captions=1), select=select))
    trained.objectives["captions"].judge(trained.network, None, trained.options)
    assert asked == [select == "cider"]


def test_objectives_see_only_samples_that_all_can_learn_from(tmp_path, samples):
    bare = [replace(s, id=f"{s.id} bare", captions=(), split=None) for s in samples]
    scores = [{s.stills[0].resolve(): {"plain": 1.0} for s in bare}]
    seen = {}
    for name, objectives in {
        "alone": {"concepts": 1},
        "both": {"concepts": 1, "captions": 1},
    }.items():
        table = {"name": "concepts", "epochs": 1, "objectives": objectives}
        trained = trainer(
            tmp_path / name,
            [*samples, *bare],
            replace(ONE_EPOCH, stage=(table,)),
            config=CONCEPTS,
            scores=scores,
        )
        told = trained.objectives["concepts"]
        told.register_forward_pre_hook(
            lambda _, args, name=name: seen.setdefault(name, []).extend(args[0].batch.samples)
        )
        trained.run()
        assert "dev_concept_loss" in history(tmp_path / name)[0]
    held_out = set(trained.material.held_out)
    assert held_out and sorted(seen["both"]) == [i for i in range(19) if i not in held_out]
    assert sorted(seen["alone"]) == [i for i in range(19 + 24) if i not in held_out]


def test_a_wrong_stage_is_refused_at_the_start(tmp_path, samples):
    with pytest.raises(UsageError, match="in objectives, which is unknown"):
        trainer(tmp_path, samples, staged(beauty=1))


def test_under_rewards_there_is_no_dropout_but_lstms_train(tmp_path, samples):
    """cuDNN has no gradient of an LSTM in eval mode."""
    rewarded = {"name": "scst", "epochs": 1, "scst-temperature": 1.0}
    trained = trainer(tmp_path, samples, replace(ONE_EPOCH, stage=(rewarded,)))
    modes = []
    trained.objectives["rewards"].register_forward_pre_hook(
        lambda _, args: modes.extend((type(m), m.training) for m in args[0].network.modules())
    )
    trained.run()
    assert {mode for kind, mode in modes if issubclass(kind, nn.RNNBase)} == {True}
    assert {mode for kind, mode in modes if not issubclass(kind, nn.RNNBase)} == {False}


def test_a_joint_space_learns_to_choose_with_dropout(tmp_path, samples):
    config = replace(CONFIG, heads="caption+joint")
    trained = trainer(tmp_path, samples, staged(fit=1), config=config)
    modes = []
    trained.objectives["fit"].register_forward_pre_hook(
        lambda _, args: modes.append(args[0].network.training)
    )
    trained.run()
    assert set(modes) == {True}


def one_step(trained, rows):
    """What objectives see of some samples, as if the CNN told each from all others."""
    captions = [
        [target(trained.vocabulary, text) for text in trained.train[row].captions] for row in rows
    ]
    features = torch.randn(len(rows), 1, 1, 1280, generator=torch.Generator().manual_seed(0))
    batch = Batch(features, pad(captions), list(rows))
    return Seen(trained.network, features, batch, trained.options, 0.0)


def test_cross_entropy_is_as_the_stage_says(tmp_path, samples, monkeypatch):
    options = replace(staged(captions=1), label_smoothing=0.2, own_words=0.4, even_attention=0.3)
    trained = trainer(tmp_path, samples, options)
    asked = []
    monkeypatch.setattr(
        "vidcaption.training.objectives.cross_entropy",
        lambda decoder, memory, words, **how: asked.append((words, how)),
    )
    seen = replace(one_step(trained, range(4)), done=0.5)
    trained.objectives["captions"](seen)
    [(words, how)] = asked
    assert torch.equal(words, seen.batch.words)
    assert how == {"smoothing": 0.2, "own_words": 0.2, "evenly": 0.3}


def test_consistency_pulls_captions_to_their_own_pictures(tmp_path, samples):
    trained = trainer(tmp_path, samples, staged(captions=1, consistency=1))
    objective = trained.objectives["consistency"]
    trained.network.eval()
    optimizer = torch.optim.Adam([*trained.network.parameters(), *objective.parameters()], 0.005)

    def distance(seen):
        term = objective(seen)
        assert term.words == 4 * 2
        return term.total / term.words

    told = []
    for _ in range(40):
        seen = one_step(trained, range(4))
        told.append(distance(seen))
        optimizer.zero_grad()
        told[-1].backward()
        optimizer.step()
    assert told[0] > 1.2 and told[-1] < 0.4  # 2 for what has nothing to do with each other
    seen = one_step(trained, range(4))
    swapped = seen.batch._replace(words=seen.batch.words.roll(1, 0))
    assert distance(replace(seen, batch=swapped)) > 4 * distance(seen)


def test_a_discriminator_ignores_padding_and_tells_captions_of_a_video():
    torch.manual_seed(0)
    judge = Discriminator(12, 8, 6)
    words, seen = torch.tensor([[[5, 6], [6, 5]], [[5, 6], [7, 8]]]), torch.randn(2, 6)
    odds = judge(words, seen)
    assert odds.shape == (2, 2) and odds[0, 0] != odds[0, 1] and odds[0, 0] != odds[1, 0]
    longer = torch.nn.functional.pad(words, (0, 4), value=PAD)
    torch.testing.assert_close(judge(longer, seen), odds)
    torch.testing.assert_close(judge(words[:, 1:], seen)[:, 0], odds[:, 1])


def test_a_discriminator_learns_by_itself_and_the_network_by_it(tmp_path, samples, monkeypatch):
    monkeypatch.setattr("vidcaption.training.objectives.DISCRIMINATOR_LR", 0.01)
    trained = trainer(tmp_path, samples, staged(captions=1, adversarial=1))
    adversary, network = trained.objectives["adversarial"], trained.network.eval()
    before = {name: x.clone() for name, x in network.state_dict().items()}

    def worth(seen):
        with torch.no_grad():
            words = seen.batch.words[..., 1:]
            both = [adversary.discriminator(x, adversary._shown(seen)) for x in (words, said)]
        return [odds.sigmoid().mean() for odds in both]

    for _ in range(30):
        seen = one_step(trained, range(4))
        term, said = adversary(seen), adversary._said
        adversary.update(seen)
    true, own = worth(seen)
    assert true > 0.9 and own < 0.2 and adversary._said is None
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    parameters = [x.clone() for x in adversary.parameters()]
    for _ in range(30):  # now the network alone
        term = adversary(one_step(trained, range(4)))
        trained.network.zero_grad()
        (term.total / term.words).backward()
        with torch.no_grad():
            for x in network.decoder.parameters():
                x -= 0.3 * x.grad
    said = adversary._said
    assert all(map(torch.equal, adversary.parameters(), parameters))
    assert worth(seen)[1] > 2 * own


def test_a_discriminator_is_resumed_with_its_optimizer(tmp_path, samples):
    options = staged(captions=1, adversarial=0.1)
    trained = trainer(tmp_path, samples, options)
    trained.run()
    resumed = trainer(tmp_path, samples, options)
    resumed._load_checkpoint()
    first, second = (x.objectives["adversarial"] for x in (trained, resumed))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert second.get_extra_state()["state"][0]["step"] == 9


def test_rewards_score_each_dataset_by_itself(tmp_path, samples):
    parts = [replace(s, dataset="b" if i % 4 == 0 or i < 8 else "a") for i, s in enumerate(samples)]
    rewarded = {"name": "scst", "epochs": 1}
    trained = trainer(tmp_path, parts, replace(ONE_EPOCH, stage=(rewarded,)))
    rows = [row for row, s in enumerate(trained.train) if s.dataset == "b"]
    captions = [
        [target(trained.vocabulary, text) for text in trained.train[row].captions] for row in rows
    ]
    alone = Consensus(captions)
    said = target(trained.vocabulary, "a plain red picture and a plain green picture")
    expected = [alone.score(place, said) for place in range(len(rows))]
    assert [trained.objectives["rewards"]._cider[row](said) for row in rows] == expected
    both = Consensus([[target(trained.vocabulary, t) for t in s.captions] for s in trained.train])
    assert [both.score(row, said) for row in rows] != expected


def test_what_fits_best_is_worth_most(tmp_path, samples):
    """In a joint space that learns by it, what is chosen gets the reward of the best choice."""
    config = replace(CONCEPTS, heads="caption+joint", dropout=0.3)
    trained = trainer(tmp_path, samples, replace(staged(fit=1), scst_concepts=0), config=config)
    objective, network = trained.objectives["fit"], trained.network
    before = {name: x.clone() for name, x in network.state_dict().items()}
    joint = network.heads["joint"]
    optimizer = torch.optim.Adam(joint.parameters(), 0.005)
    network.train()
    ranks, words = objective._finished(one_step(trained, range(4)))
    assert ranks.shape == (4, KEPT) and words.shape[:2] == (4, KEPT) and network.training
    again, _ = objective._finished(one_step(trained, range(4)))
    assert torch.equal(ranks, again) and not torch.equal(ranks[0], ranks[1])  # without dropout
    network.eval()
    seen = one_step(trained, range(4))
    rewards = [
        [objective._cider[row]([*(i for i in ids if i != PAD), EOS]) for ids in words[row].tolist()]
        for row in range(4)
    ]
    with torch.no_grad():
        cosines = joint.fit(joint(seen.memory), words, network.decoder.embedding)
        chances = ((ranks + FIT * cosines) / 0.3).softmax(-1)
    term = objective(seen)
    assert term.words == 4 and not network.training
    expected = -(chances * torch.tensor(rewards)).sum()
    torch.testing.assert_close(term.total, expected)
    for _ in range(60):
        optimizer.zero_grad()
        objective(one_step(trained, range(4))).total.backward()
        optimizer.step()
    best = sum(max(each) for each in rewards)
    learnt = -objective(one_step(trained, range(4))).total
    assert -expected < 0.8 * best and learnt > 0.95 * best
    others = {name: x for name, x in network.state_dict().items() if "heads.joint" not in name}
    assert all(torch.equal(x, before[name]) for name, x in others.items())
    assert not OBJECTIVES["fit"].applies(trainer(tmp_path, samples).network, None, None)
