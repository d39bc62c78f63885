import copy

import pytest
import torch
from processors import needs_bf16

from vidcaption.model.tracks import pooled
from vidcaption.model.vocabulary import BOS

FED = {"feed": "start", "attention": "none"}
WORD = FED | {"feed": "word"}
S2VT = FED | {"temporal": "s2vt"}
# with one layer
ONE = {"layers": 1}
LONE = ONE | {"attention": "none"}
SINGLE = [ONE, LONE, ONE | FED, ONE | WORD, ONE | {"feed": "every"}, LONE | {"feed": "every"}]


def say(network, memory, state, words=((BOS, 4, 5),)):
    said = torch.tensor([words]).expand(len(memory.pooled), -1, -1)
    return network.decoder(said, memory, state)


@pytest.mark.parametrize(
    ("fields", "at_start", "at_words"),
    [
        ({"feed": "both"}, True, True),
        ({"feed": "every"}, False, True),
        (FED, True, False),
        (WORD, True, False),
        (S2VT, True, False),
        ({"temporal": "s2vt"}, True, True),
        *zip(SINGLE, (True, True, True, True, False, False), (1, 1, 0, 0, 1, 1), strict=True),
    ],
)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_when_the_decoder_is_fed(make_network, features, fields, at_start, at_words, cell):
    network = make_network(cell=cell, **fields)
    with torch.inference_mode():
        one, other = (network.remember(x) for x in (features, features.flip(0)))
        start, another = (network.decoder.start(memory) for memory in (one, other))
        same = all(map(torch.equal, start, another))
        assert same is not at_start
        words, others = (say(network, memory, start).hidden for memory in (one, other))
    assert torch.equal(words, others) != at_words


@pytest.mark.parametrize(
    "fields", [{"temporal": "s2vt"}, S2VT, FED, WORD, {"feed": "every"}, *SINGLE]
)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_other_decoders_too_write_word_by_word(make_network, features, fields, cell):
    network = make_network(cell=cell, **fields)
    with torch.inference_mode():
        memory = network.remember(features)
        at_once = say(network, memory, network.decoder.start(memory, 1))
        state = network.decoder.start(memory, 1)
        for index, word in enumerate((BOS, 4, 5)):
            step = say(network, memory, state, ((word,),))
            state = step.state
            torch.testing.assert_close(
                step.hidden[..., 0, :], at_once.hidden[..., index, :], rtol=1e-4, atol=1e-5
            )
    torch.testing.assert_close(state, at_once.state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_what_was_seen_is_read_as_a_word(make_network, features, layers):
    """As Show and Tell shows the picture once, before the first word (Vinyals et al. 2015, eq.
    10): the same as a word with that vector."""
    network = copy.deepcopy(make_network(**WORD, layers=layers))
    decoder = network.decoder
    with torch.inference_mode():
        memory = network.remember(features)
        start = decoder.start(memory)
        decoder.embedding.weight[4] = decoder.first_word(memory.pooled)[0]
        zeros = tuple(torch.zeros_like(x) for x in start)
        read = decoder(torch.full((len(features), 1, 1), 4), memory, zeros)
    torch.testing.assert_close([x[0] for x in read.state], [x[0] for x in start])


@pytest.mark.parametrize("attention", ["additive", "none"])
def test_a_single_layer_by_hand(make_network, features, attention):
    """The state before a word asks, what is seen is read with the word (Bahdanau et al. 2015), and
    the output has what was seen beside it where an attention chose it (Xu et al. 2015, eq. 7)."""
    network = make_network(layers=1, attention=attention)
    decoder, words = network.decoder, (BOS, 4, 5)
    with torch.inference_mode():
        memory = network.remember(features)
        hidden, cell = (x[:, 0] for x in decoder.start(memory))
        pairs = zip(("start_hidden", "start_cell"), (hidden, cell), strict=True)
        for name, state in pairs:
            made = torch.tanh(decoder.get_submodule(name)(memory.pooled))
            torch.testing.assert_close(state, made)
        got = say(network, memory, decoder.start(memory), (words,))
        for index, word in enumerate(words):
            context, weights, _ = decoder.attention(hidden.unsqueeze(1), memory)
            read = torch.cat([decoder.embedding.weight[word].expand(3, -1), context[:, 0]], -1)
            weight = decoder.cell.all_weights[0]
            hidden, cell = torch.lstm_cell(read, (hidden, cell), *weight)
            told = torch.cat([hidden, context[:, 0]], -1) if attention != "none" else hidden
            torch.testing.assert_close(got.hidden[:, 0, index], decoder.project(told))
            torch.testing.assert_close(got.attention[:, 0, index], weights[:, 0])
    torch.testing.assert_close([x[:, 0] for x in got.state], [hidden, cell])


def test_captions_of_a_window_ask_for_themselves(make_network, features):
    """Also where they are read word by word, and what is drawn is of the same words."""
    network = make_network(layers=1, attention="hard")
    both = ((BOS, 4, 5, 6), (BOS, 7, 8, 9))
    with torch.inference_mode():
        memory = network.remember(features)
        start = network.decoder.start(memory, 2)
        together = say(network, memory, start, both)
        for index, words in enumerate(both):
            alone = say(network, memory, network.decoder.start(memory), (words,))
            torch.testing.assert_close(alone.hidden[:, 0], together.hidden[:, index])
            assert torch.equal(alone.attention[:, 0], together.attention[:, index])
        assert together.draw is None
        drawn = say(copy.deepcopy(network).train(), memory, start, both)
    assert [x.shape for x in drawn.draw] == [(3, 2, 4)] * 2
    assert drawn.attention.shape == (3, 2, 4, 8)
    assert (drawn.draw.log_prob < 0).all() and (drawn.draw.entropy > 0).all()


@needs_bf16
@pytest.mark.parametrize("fields", [{}, ONE, LONE, ONE | {"temporal": "forward"}], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_half_precision_learns(make_network, features, fields, cell):
    network = copy.deepcopy(make_network(cell=cell, **fields)).train()
    with torch.autocast("cpu", torch.bfloat16):
        memory = network.remember(features)
        step = say(network, memory, network.decoder.start(memory))
        network.decoder.logits(step.hidden).float().square().mean().backward()
    for part in (network.decoder, network.temporal):
        assert all(p.grad.isfinite().all() and p.grad.any() for p in part.parameters())


@pytest.mark.parametrize(("cell", "parts"), [("lstm", 2), ("gru", 1)])
@pytest.mark.parametrize("layers", [1, 2])
def test_each_layer_has_a_state(make_network, features, cell, parts, layers):
    for feed in ("start", "word", "every"):
        network = make_network(attention="none", feed=feed, cell=cell, layers=layers)
        with torch.inference_mode():
            memory = network.remember(features)
            start = network.decoder.start(memory, 2)
        assert [x.shape for x in start] == [(3, 2, 16)] * parts * layers


def test_s2vt_by_hand(make_network, features):
    """One stack: the lower layer reads frames and then nothing, the upper one nothing and then
    words, each beside what the lower one gives (Venugopalan et al. 2015b, figure 2)."""
    network = make_network(**S2VT)
    decoder, words = network.decoder, [BOS, 4, 5]
    with torch.inference_mode():
        memory = network.remember(features)
        frames, blank = memory.frames, torch.zeros(3, 3, 16)
        below, _ = torch.nn.LSTM.forward(decoder.lower, torch.cat([frames, blank], 1))
        embedded = decoder.embedding(torch.tensor(words)).expand(3, -1, -1)
        beside = torch.cat([torch.zeros(3, 2, 12), embedded], 1)
        above, _ = torch.nn.LSTM.forward(decoder.upper, torch.cat([below, beside], -1))
        got = say(network, memory, decoder.start(memory), (words,))
        torch.testing.assert_close(got.hidden[:, 0], decoder.project(above[:, 2:]))


def test_s2vt_sees_the_order_of_frames(make_network, features):
    for fields, ordered in ((S2VT, True), (FED | {"temporal": "none"}, False)):
        network = make_network(**fields)
        with torch.inference_mode():
            hidden = [
                say(network, memory, network.decoder.start(memory)).hidden
                for memory in map(network.remember, (features, features.flip(1)))
            ]
        assert torch.allclose(*hidden, atol=1e-5) is not ordered


def test_the_state_before_the_first_word_is_within_one(network, features):
    """Like any state of an LSTM's output, however large the features are."""
    with torch.inference_mode():
        memory = network.remember(features)
        large = memory._replace(pooled=1e4 * memory.pooled)
        for state in network.decoder.start(large, 2):
            assert state.shape == (3, 2, 16)
            assert torch.equal(state[:, 0], state[:, 1])
            assert 0.99 < state.abs().max() <= 1


@pytest.mark.parametrize(
    ("fields", "at_start", "at_words"),
    [
        *[({}, [], [12, 32, 32, 12]), (WORD, [16], [12, 16, 16, 12])],
        *[(S2VT, [16], [12, 28, 16, 12]), (ONE, [], [12, 16, 16, 16, 32, 12])],
        *[(LONE, [], [12, 16, 16, 12]), (ONE | WORD, [], [12, 0, 16, 12])],
    ],
)
def test_units_are_dropped_between_layers(make_network, features, fields, at_start, at_words):
    """And never between the steps of a cell (Zaremba et al. 2014)."""
    network, dropped = make_network(**fields), []
    hook = network.decoder.dropout.register_forward_hook(
        lambda _, args, out: dropped.append(out.shape[-1])
    )
    with torch.inference_mode():
        memory = network.remember(features)
        start = network.decoder.start(memory)
        assert dropped == at_start
        say(network, memory, start)
    hook.remove()
    assert dropped == at_start + at_words


@pytest.mark.parametrize("every_with", ["frames+tracks", "tracks"])
def test_what_is_shown_at_every_word_is_added_or_takes_the_place(make_network, every_with):
    fields = {"attention": "none", "temporal": "none", "start_with": "frames+tracks", "tracks": 2}
    network = make_network(**fields, every_with=every_with)
    shown = torch.rand(3, 2, 4, 1280 + 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        memory = network.remember(shown)
        tracks = network.vectors["tracks"](pooled(shown[..., 1280:]))
        torch.testing.assert_close(memory.every, tracks)
        torch.testing.assert_close(memory.start, memory.pooled + tracks)
        total = tracks + memory.pooled if every_with == "frames+tracks" else tracks
        read = torch.tensor([[[BOS, 4, 5]]]).expand(3, 2, -1)
        state = network.decoder.start(memory, 2)
        step = network.decoder(read, memory, state)
        plain = memory._replace(pooled=total, every=None)
        same = network.decoder(read, plain, state)
        torch.testing.assert_close(step.hidden, same.hidden)
        started = network.decoder.start(memory._replace(pooled=memory.start, start=None), 2)
    assert all(torch.equal(a, b) for a, b in zip(state, started, strict=True))
    rows = torch.tensor([2, 0])
    assert torch.equal(memory.of(rows).every, memory.every[rows])
    assert memory._replace(every=None).of(rows).every is None
