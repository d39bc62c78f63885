import copy
import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcaption.model.people import CHANGED, who
from vidcaption.model.search import (
    Inference,
    MinWords,
    NoRepeatedNgram,
    Voice,
    draw,
    forbid_markers,
    mix,
    repeated_ngrams,
    sample,
    search,
)
from vidcaption.model.vocabulary import BOS, EOS, PAD, UNK
from vidcaption.options.captioning import SearchOptions


def run(network, features, **fields):
    with torch.inference_mode():
        return search(network.decoder, network.remember(features), SearchOptions(**fields))


options = st.fixed_dictionaries({
    "max_words": st.integers(1, 9),
    "length_penalty": st.sampled_from([0.0, 0.7, 1.0, 2.0]),
    "no_repeat_ngram": st.integers(0, 3),
    "seed": st.integers(0, 5),
})  # fmt: skip


@settings(max_examples=40)
@given(fields=options, beam=st.integers(2, 5), min_words=st.integers(0, 3))
def test_a_beam_is_never_ranked_below_greedy(make_network, features, fields, beam, min_words):
    network = make_network(seed=fields.pop("seed"))
    fields["min_words"] = min(min_words, fields["max_words"])
    greedy = run(network, features, beam=1, **fields)
    wide = run(network, features, beam=beam, **fields)
    for one, several in zip(greedy, wide, strict=True):
        assert several.rank >= one.rank - 1e-5


@settings(max_examples=40)
@given(fields=options, beam=st.integers(1, 4), min_words=st.integers(0, 4))
def test_captions_keep_to_the_rules(make_network, features, fields, beam, min_words):
    network = make_network(seed=fields.pop("seed"))
    fields["min_words"] = min(min_words, fields["max_words"])
    for caption in run(network, features, beam=beam, **fields):
        assert fields["min_words"] <= len(caption.ids) <= fields["max_words"]
        assert not {PAD, BOS, EOS, UNK} & set(caption.ids)
        n = fields["no_repeat_ngram"]
        grams = [tuple(caption.ids[i : i + n]) for i in range(len(caption.ids) - n + 1)]
        assert n == 0 or len(set(grams)) == len(grams)
        torch.testing.assert_close(caption.attention.sum(-1), torch.ones(len(caption.ids) + 1))
        assert caption.log_probs.shape == (len(caption.ids) + 1,)
        assert (caption.log_probs <= 0).all()


def test_windows_do_not_influence_each_other(network, features):
    together = run(network, features, beam=3)
    for row, caption in enumerate(together):
        [alone] = run(network, features[row : row + 1], beam=3)
        assert alone.ids == caption.ids
        torch.testing.assert_close(alone.log_probs, caption.log_probs, rtol=1e-4, atol=1e-4)


def test_greedy_follows_the_likeliest_word(network, features):
    decoder = network.decoder
    [caption] = run(network, features[:1], beam=1, max_words=6, min_words=0, no_repeat_ngram=0)
    with torch.inference_mode():
        memory = network.remember(features[:1])
        said = torch.tensor([[[BOS, *caption.ids]]])
        out, *_ = decoder(said, memory, decoder.start(memory))
        log_probs = decoder.logits(out)[0, 0].log_softmax(-1)
        log_probs[:, [PAD, BOS, UNK]] = -torch.inf
    expected = log_probs.argmax(-1).tolist()
    assert caption.ids == expected[: len(caption.ids)]
    assert len(caption.ids) == 6 or expected[len(caption.ids)] == EOS


def filtered(log_probs, words, options):
    filters = (
        forbid_markers,
        MinWords(options.min_words),
        NoRepeatedNgram(options.no_repeat_ngram),
    )
    for change in filters:
        change(log_probs, words)
    return log_probs


def by_hand(network, features, **fields):
    """The rank and words of the best caption of one window, one hypothesis after the other.

    A beam beside the greedy caption, which never stops before all captions have their last word.
    """
    options, decoder = SearchOptions(**fields), network.decoder
    memory = network.remember(features)

    def following(words):
        known = torch.tensor([[[BOS, *words]]])
        out, *_ = decoder(known, memory, decoder.start(memory))
        log_probs = decoder.logits(out)[:, :, -1].log_softmax(-1)
        said = torch.tensor([[words]], dtype=torch.long)
        return filtered(log_probs, said, options)[0, 0].tolist()

    ended = []
    for width, ends_when_likeliest in ((1, True), (options.beam, False))[: 1 + (options.beam > 1)]:
        beam = [(0.0, [])]
        while beam:
            longer = []
            for total, words in beam:
                log_probs = following(words)
                last = len(words) == options.max_words
                if last or not ends_when_likeliest or max(log_probs) == log_probs[EOS]:
                    rank = (total + log_probs[EOS]) / max(1, len(words)) ** options.length_penalty
                    ended.append((rank, words))
                    if last or ends_when_likeliest:
                        continue
                log_probs[EOS] = -math.inf
                longer += [(total + x, [*words, word]) for word, x in enumerate(log_probs)]
            beam = sorted(longer, reverse=True)[:width]
    return max(ended)


@settings(max_examples=25)
@given(fields=options, beam=st.integers(1, 4), min_words=st.integers(0, 3))
def test_finds_what_a_search_by_hand_finds(make_network, features, fields, beam, min_words):
    network = make_network(seed=fields.pop("seed"))
    fields |= {"beam": beam, "min_words": min(min_words, fields["max_words"])}
    found = run(network, features, **fields)
    with torch.inference_mode():
        for row, caption in enumerate(found):
            rank, words = by_hand(network, features[row : row + 1], **fields)
            assert caption.rank == pytest.approx(rank, abs=1e-4)
            assert caption.ids == words


@pytest.mark.parametrize("beam", [1, 2, 3])
def test_keeps_as_many_hypotheses_as_asked(make_network, features, beam):
    """One more or less would find others here."""
    fields = {"beam": beam, "max_words": 9, "no_repeat_ngram": 0}
    for seed in range(6):
        network = make_network(seed)
        with torch.inference_mode():
            best = [by_hand(network, window[None], **fields)[1] for window in features]
        assert [caption.ids for caption in run(network, features, **fields)] == best


def test_a_beam_finds_what_greedy_misses(make_network, features):
    """Which it would not if all of it went the same way."""
    better = 0
    for seed in range(6):
        greedy, wide = (run(make_network(seed), features, beam=beam) for beam in (1, 5))
        better += sum(b.rank > a.rank + 1e-3 for a, b in zip(greedy, wide, strict=True))
    assert better > 6


@pytest.mark.parametrize("beam", [1, 4])
def test_stops_when_nothing_better_can_come(make_network, features, beam):
    """A third word costs as much as each of the first two, which is more than its length earns."""
    network = copy.deepcopy(make_network())
    network.decoder.bias.data[EOS] = 50.0
    steps = []
    hook = network.decoder.register_forward_hook(lambda *_: steps.append(1))
    captions = run(network, features, beam=beam, min_words=2, max_words=9, length_penalty=0.2)
    hook.remove()
    assert [len(caption.ids) for caption in captions] == [2, 2, 2]
    assert len(steps) == 3 + 1  # two words and the end; and the pass over all


def test_a_wide_enough_beam_finds_the_best_of_all_captions(network, features):
    """Against brute force over every caption of at most two words."""
    decoder = network.decoder
    pairs = list(product(range(4, 30), range(4, 30)))
    best = -math.inf
    with torch.inference_mode():
        memory = network.remember(features[:1])
        for captions in ([(word,) for word in range(4, 30)], pairs):
            said = torch.tensor([[[BOS, *caption] for caption in captions]])
            out, *_ = decoder(said, memory, decoder.start(memory, len(captions)))
            log_probs = decoder.logits(out)[0].log_softmax(-1)  # (captions, words + 1, V)
            following = torch.tensor([[*caption, EOS] for caption in captions]).unsqueeze(-1)
            total = log_probs.gather(-1, following).sum((-1, -2))
            best = max(best, float(total.max()) / len(captions[0]) ** 0.5)
    [found] = run(
        network,
        features[:1],
        beam=30,
        max_words=2,
        min_words=1,
        length_penalty=0.5,
        no_repeat_ngram=0,
    )
    assert found.rank == pytest.approx(best, abs=1e-4)
    assert found.rank == pytest.approx(
        float(found.log_probs.sum()) / len(found.ids) ** 0.5, abs=1e-4
    )


@given(st.lists(st.integers(4, 6), min_size=1, max_size=12), st.integers(1, 4))
def test_exactly_the_words_that_would_repeat_an_ngram_are_ruled_out(said, n):
    words = torch.tensor([[said]])
    seen = {tuple(said[i : i + n]) for i in range(len(said) - n + 1)}
    options = SearchOptions(no_repeat_ngram=n, min_words=0)
    allowed = filtered(torch.zeros(1, 1, 8), words, options)[0, 0].isfinite()
    for word in range(4, 8):
        tail = said[len(said) - n + 1 :] if n > 1 else []
        assert bool(allowed[word]) is ((*tail, word) not in seen)


def test_captions_without_words(make_network, features):
    network = copy.deepcopy(make_network())
    network.decoder.bias.data[EOS] = 1e3
    for beam in (1, 3):
        for caption in run(network, features, beam=beam, min_words=0):
            assert caption.ids == [] and caption.attention.shape == (1, 8)
            assert caption.log_probs.tolist() == [0.0]


def test_hints_choose_words_and_leave_their_probabilities(network, features):
    hints = torch.zeros(3, 30)
    hints[0, 9] = 50.0
    with torch.inference_mode():
        memory = network.remember(features)
        plain, hinted = (
            search(network.decoder, memory, SearchOptions(max_words=6), each)
            for each in (None, hints)
        )
    assert 9 not in plain[0].ids and hinted[0].ids[0] == 9
    assert [x.ids for x in plain[1:]] == [x.ids for x in hinted[1:]]
    words = [*hinted[0].ids, EOS]
    own = likelihoods(Voice(network.decoder, memory), hinted[0].ids)
    torch.testing.assert_close(hinted[0].log_probs, own[range(len(words)), words])
    assert own[0, 9] < hinted[0].rank <= 0  # as if it had been certain, but no more


def test_the_best_captions_are_ranked_once_more_by_how_well_they_fit(network, features):
    options = SearchOptions(max_words=6)
    given = []

    def fit(words, wanted):
        given.append(words)
        return torch.nn.functional.one_hot(torch.full((3,), wanted), 5) / 2

    with torch.inference_mode():
        memory = network.remember(features)
        plain = search(network.decoder, memory, options)
        found = [
            search(network.decoder, memory, options, fit=lambda words, n=n: 1e3 * fit(words, n))
            for n in range(5)
        ]
        even = search(network.decoder, memory, options, fit=lambda words: words.sum(-1) * 0.0)
    assert [(x.ids, x.rank) for x in even] == [(x.ids, x.rank) for x in plain]
    words = given[0]
    assert words.shape == (3, 5, 6) and all(torch.equal(words, each) for each in given)
    for row in range(3):
        kept = [[word for word in ids if word != PAD] for ids in words[row].tolist()]
        assert [captions[row].ids for captions in found] == kept and kept[0] == plain[row].ids
        own = [captions[row].rank - 3 * 500 for captions in found]
        assert own == pytest.approx(sorted(own, reverse=True))
        for captions, rank in zip(found, own, strict=True):
            caption = captions[row]
            total = caption.log_probs.sum().item() / len(caption.ids) ** 0.7
            assert rank == pytest.approx(total, abs=1e-3)


def test_others_are_the_best_captions_with_other_people(network, features):
    """Explained like the best, whichever windows are in the batch."""
    kinds = {word: str(word) for word in range(4, 20)}
    options = SearchOptions(max_words=6, beam=5)
    found = []

    def fit(words):
        found.append(words)
        return torch.arange(5).remainder(3).expand(words.shape[:2]) / 20

    with torch.inference_mode():
        memory = network.remember(features)
        plain = search(network.decoder, memory, options, fit=fit)
        captions = search(network.decoder, memory, options, fit=fit, kinds=kinds)
        alone = [
            search(network.decoder, memory.of(torch.tensor([row])), options, fit=fit, kinds=kinds)
            for row in range(3)
        ]
    assert any(each.others for each in captions) and not any(each.others for each in plain)
    for row, (caption, best, [one]) in enumerate(zip(captions, plain, alone, strict=True)):
        assert (caption.ids, caption.rank) == (best.ids, best.rank)
        every = [caption, *caption.others]
        assert [each.ids for each in every] == [each.ids for each in (one, *one.others)]
        ranks = [each.rank for each in every]
        assert ranks == sorted(ranks, reverse=True) and ranks[-1] >= ranks[0] - 2 * CHANGED
        assert len({each.people for each in every}) == len(every)
        kept = [[word for word in ids if word != PAD] for ids in found[0][row].tolist()]
        voice = Voice(network.decoder, memory.of(torch.tensor([row])))
        for each in every:
            assert each.ids in kept and each.people == who(each.ids, kinds)
            words = torch.tensor([*each.ids, EOS])
            own = likelihoods(voice, each.ids)[range(len(words)), words]
            torch.testing.assert_close(each.log_probs, own, rtol=1e-4, atol=1e-4)
            assert each.attention.shape[0] == len(words)


def test_how_well_captions_without_words_fit(make_network, features):
    network = copy.deepcopy(make_network())
    network.decoder.bias.data[EOS] = 1e3
    with torch.inference_mode():
        memory = network.remember(features)
        captions = search(
            network.decoder,
            memory,
            SearchOptions(min_words=0),
            fit=lambda words: torch.ones(words.shape[:2]) * words.shape[-1],
        )
    assert [(x.ids, x.rank) for x in captions] == [([], 3.0)] * 3  # one of padding, to be read


def test_the_word_by_word_lstm_is_the_layer(network, features):
    """On the CPU single words go another way than whole captions."""
    decoder = network.decoder
    said = torch.randint(4, 30, (3, 2, 5), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        memory = network.remember(features)
        whole = decoder(said, memory, decoder.start(memory, 2))
        state = decoder.start(memory, 2)
        for index in range(5):
            step = decoder(said[..., index : index + 1], memory, state)
            state = step.state
            torch.testing.assert_close(step.hidden[..., 0, :], whole.hidden[..., index, :])
            torch.testing.assert_close(step.attention[..., 0, :], whole.attention[..., index, :])
    torch.testing.assert_close(state, whole.state)


def test_repeated_ngrams_of_two():
    forbidden, mask = repeated_ngrams(torch.tensor([[[5, 6, 7, 5]]]), 2)
    assert forbidden[mask].tolist() == [6]


def test_words_are_drawn_by_their_probability():
    chances = torch.tensor([[0, 0.5, 0, 0.2, 0.3, 0], [0.1, 0, 0, 0, 0, 0.9]])
    drawn = draw(chances.expand(20_000, 2, 6))
    shares = torch.nn.functional.one_hot(drawn, 6).float().mean(0)
    assert ((shares - chances).abs() < 0.02).all()  # 5 standard deviations
    assert (shares[chances == 0] == 0).all()


@pytest.mark.parametrize("random", [0.0, 1 - 2**-24])  # the least and the greatest of torch.rand
def test_a_word_that_is_ruled_out_is_never_drawn(monkeypatch, random):
    monkeypatch.setattr(torch, "rand_like", lambda x: torch.full_like(x, random))
    chances = torch.tensor([0, 0, 0.3, 0, 0.6999, 0])
    assert draw(chances).item() == (4 if random == 0 else 2)


def test_samples_are_captions(make_network, features):
    """Some are as long as they may be, and some end before; nothing follows that."""
    lengths = set()
    torch.manual_seed(0)
    for seed in range(6):
        network = make_network(seed)
        memory = network.remember(features)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            words = sample(network.decoder, memory, 20, max_words=5, temperature=1.0)
        for row in words.flatten(0, 1).tolist():
            assert row[0] == BOS and len(row) <= 6
            said = row[1:]
            end = said.index(EOS) if EOS in said else len(said)
            assert not {PAD, BOS, UNK, EOS} & set(said[:end])
            assert set(said[end + 1 :]) <= {PAD}
            lengths.add(end)
    assert lengths == {0, 1, 2, 3, 4, 5}


def test_sampling_reads_no_more_than_it_must(make_network, features):
    network, steps = make_network(), []
    torch.manual_seed(0)
    hook = network.decoder.register_forward_hook(lambda *_: steps.append(1))
    words = sample(network.decoder, network.remember(features), 4, max_words=3, temperature=1.0)
    hook.remove()
    assert len(steps) == words.shape[-1] - 1


def test_samples_follow_the_distribution_and_its_temperature(make_network, features):
    network = make_network()
    torch.manual_seed(0)
    memory = network.remember(features[:1])
    for temperature in (0.7, 2.0):
        words = sample(network.decoder, memory, 20_000, 1, temperature)[0, :, 1]
        with torch.inference_mode():
            start = torch.tensor([[[BOS]]])
            step = network.decoder(start, memory, network.decoder.start(memory))
            logits = network.decoder.logits(step.hidden)[0, 0, 0]
            logits[[PAD, BOS, UNK]] = -torch.inf
            expected = (logits / temperature).softmax(-1)
        share = torch.nn.functional.one_hot(words, 30).float().mean(0)
        torch.testing.assert_close(share, expected, rtol=0, atol=0.02)


def test_a_low_temperature_draws_what_is_likely(network, features):
    drawn = sample(network.decoder, network.remember(features), 6, max_words=5, temperature=1e-4)
    assert (drawn == drawn[:, :1]).all()


@pytest.fixture
def pair(make_network, features):
    """Two networks of the same words, of other parts and features, as voices."""
    first, second = make_network(seed=1), make_network(seed=2, attention="additive", cell="gru")
    with torch.inference_mode():
        memories = first.remember(features), second.remember(features[..., :1, :].flip(1))
    return Voice(first.decoder, memories[0]), Voice(second.decoder, memories[1])


@torch.inference_mode()
def likelihoods(voice, ids):
    """The log-probabilities of each next word after ``ids`` of the first window, (L + 1, V)."""
    memory = voice.memory.of(torch.tensor([0]))
    words = torch.tensor([[[BOS, *ids]]])
    step = voice.head(words, memory, voice.head.start(memory))
    return voice.head.logits(step.hidden[0, 0]).log_softmax(-1)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("weight", [0.3, 0.5, 1.0])
def test_mixed_probabilities_are_the_weighted_mean(pair, beam, weight):
    first, second = pair
    options = SearchOptions(beam=beam, max_words=6, min_words=0, no_repeat_ngram=0)
    others = [second._replace(weight=weight)]
    caption = search(first.head, first.memory, options, others=others)[0]
    words = [*caption.ids, EOS]
    own, other = (likelihoods(voice, caption.ids).exp() for voice in pair)
    mixed = (1 - weight) * own + weight * other
    expected = mixed.log()[torch.arange(len(words)), words]
    torch.testing.assert_close(caption.log_probs, expected, rtol=1e-4, atol=1e-5)
    if beam == 1:  # each word is the likeliest of the mixture that can be said
        mixed[:, [PAD, BOS, UNK]] = 0
        full = len(caption.ids) == options.max_words  # and then it had to end
        assert mixed.argmax(-1).tolist()[: len(words) - full] == words[: len(words) - full]


def test_mixing_changes_what_is_said_and_no_weight_changes_nothing(pair):
    first, second = pair
    options = SearchOptions(max_words=6)
    alone = search(first.head, first.memory, options)
    without = search(first.head, first.memory, options, others=[second._replace(weight=0.0)])
    for one, same in zip(alone, without, strict=True):
        assert (same.ids, same.rank) == (one.ids, one.rank)
        assert torch.equal(same.log_probs, one.log_probs)
        assert torch.equal(same.attention, one.attention)
    parts = [
        second._replace(weight=weight) for weight in (0.14, 0.17, 0.17, 0.2, 0.32)
    ]  # in floats above 1
    assert search(first.head, first.memory, options, others=parts)[0].log_probs.isfinite().all()
    wholly = search(first.head, first.memory, options, others=[second])
    assert [x.ids for x in wholly] == [x.ids for x in search(*second[:2], options)]
    assert [x.ids for x in wholly] != [x.ids for x in alone]


def test_a_mixed_beam_follows_each_decoder(pair):
    """After words were taken from other lanes, both decoders go on behind the same captions."""
    voices = [voice._replace(weight=0.5) for voice in pair]
    with torch.inference_mode():
        inference = Inference(voices, 2)
        inference.read()
        inference.take(torch.tensor([[4, 5]] * 3))
        inference.read()
        inference.take(torch.tensor([[6, 7]] * 3), torch.tensor([[1, 0]] * 3))
        got = inference.read()[0]
    for lane, ids in enumerate(([5, 6], [4, 7])):
        expected = mix(voices, [likelihoods(voice, ids)[-1] for voice in voices])
        torch.testing.assert_close(got[lane], expected, rtol=1e-4, atol=1e-5)
