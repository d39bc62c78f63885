"""From memory to sentences, batched over windows and over the captions of each.

The layout follows openai/whisper's ``decoding.py``: inference says how likely each next word is,
filters change that, a picker (greedy and beam, or sampling) picks words, and a ranker keeps the
best finished caption. All of them work on tensors; ``write`` is the only loop over words.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcaption.model.attention import Memory
from vidcaption.model.decoder import Decoder
from vidcaption.model.people import contenders, who
from vidcaption.model.vocabulary import BOS, EOS, PAD, UNK
from vidcaption.options.captioning import SearchOptions
from vidcaption.types import SceneGraph

NEVER = float("-inf")
# Changes, in place, the log-probabilities (B, K, V) of what follows the words (B, K, L) so far.
Filter = Callable[[Tensor, Tensor], None]
# How well captions (B, N, L), ids without <eos>, padded, fit their window: (B, N) cosines.
Fit = Callable[[Tensor], Tensor]
KEPT = 5  # finished captions of each window, one of which is chosen by rank and fit
FIT = 3.0  # what a cosine of 1 adds to the rank
EXPLAINED_AT_ONCE = 4  # at least


@dataclass(frozen=True, eq=False)
class Caption:
    """One window's caption. ``ids``: its L words without ``<eos>``.

    ``log_probs``: (L + 1,) of the words and of ``<eos>``; ``attention``: (L + 1, M), each row
    summing to 1; ``rank``: what it was chosen by, sum of log-probabilities / words ** penalty, plus
    ``FIT`` times how well it fits where that is known.
    ``concepts``: those that the window surely shows, by index, with their probability, and
    ``confidence``: in [0, 1], both only of a network that tells concepts apart. ``text``: what is
    said where it is not made of words. ``vector``: the window's, packed, of a network with the head
    joint. ``graph``: the regions of the frame in the middle, of one with the head regions.
    ``people``: the kinds that it names; ``others``: the captions of the window, with other people,
    that its neighbours may make the better choice.
    """

    ids: list[int]
    log_probs: Tensor
    attention: Tensor
    rank: float
    concepts: tuple[tuple[int, float], ...] = ()
    confidence: float | None = None
    text: str | None = None
    vector: bytes = b""
    graph: SceneGraph | None = None
    people: frozenset[str] = frozenset()
    others: "tuple[Caption, ...]" = ()

    @property
    def score(self) -> float:
        """Mean log-probability of the words, or of ``<eos>`` where there is no word."""
        log_probs: list[float] = self.log_probs[: len(self.ids) or 1].tolist()
        return sum(log_probs) / len(log_probs)


class Voice(NamedTuple):
    """A decoder or another head, and what it knows of the windows; ``weight``: its share of the
    probabilities."""

    head: Any
    memory: Memory
    weight: float = 1.0


def together(head: Any, memory: Memory, others: Sequence[Voice]) -> list[Voice]:
    """All voices, with the first one's share: what the others leave of 1."""
    rest = max(1 - sum(each.weight for each in others), 0.0)  # rounding may leave less
    return [Voice(head, memory, rest), *others]


def mix(voices: Sequence[Voice], log_probs: Sequence[Tensor]) -> Tensor:
    """The log of the weighted mean of the voices' probabilities: late fusion (Venugopalan et al.
    2015b)."""
    if len(voices) == 1:
        return log_probs[0]
    weights = [math.log(voice.weight) if voice.weight else NEVER for voice in voices]
    return torch.stack([x + w for x, w in zip(log_probs, weights, strict=True)]).logsumexp(0)


class Inference:
    """Decoders that write some captions of each window together: what they read, and how far they
    are.

    ``words``: (B, K, L) ids so far.
    """

    def __init__(self, voices: Sequence[Voice], captions: int) -> None:
        self._voices = voices
        self._states = [voice.head.start(voice.memory, captions) for voice in voices]
        pooled = voices[0].memory.pooled
        batch, device = len(pooled), pooled.device
        self._last = torch.full((batch, captions), BOS, device=device)
        self.words = torch.empty(batch, captions, 0, dtype=torch.long, device=device)

    def read(self) -> Tensor:
        """Read the last word of each caption: (B, K, V) log-probabilities of the next one."""
        log_probs = []
        for number, (decoder, memory, _) in enumerate(self._voices):
            step = decoder(self._last.unsqueeze(-1), memory, self._states[number])
            self._states[number] = step.state
            log_probs.append(decoder.logits(step.hidden.squeeze(-2)).float().log_softmax(-1))
        return mix(self._voices, log_probs)

    def take(self, words: Tensor, origin: Tensor | None = None) -> None:
        """Go on with these words, (B, K), each behind the caption of index ``origin``, (B, K)."""
        if origin is not None:
            self.words = _pick(self.words, origin)
            self._states = [tuple(_pick(x, origin) for x in state) for state in self._states]
        self.words = torch.cat([self.words, words.unsqueeze(-1)], -1)
        self._last = words


class Picker(Protocol):
    """What picks the next words, until it is ``done``."""

    done: bool

    def pick(self, log_probs: Tensor, words: Tensor) -> tuple[Tensor, Tensor | None] | None:
        """What ``Inference.take`` takes, if the captions go on.

        ``log_probs``: (B, K, V); ``words``: (B, K, L) so far.
        """
        ...


def write(inference: Inference, picker: Picker, filters: Sequence[Filter]) -> None:
    """Write captions word by word until ``picker`` is done."""
    while not picker.done:
        log_probs = inference.read()
        for change in filters:
            change(log_probs, inference.words)
        if picked := picker.pick(log_probs, inference.words):
            inference.take(*picked)


@torch.inference_mode()
def search(
    decoder: Decoder,
    memory: Memory,
    options: SearchOptions,
    hints: Tensor | None = None,
    others: Sequence[Voice] = (),
    fit: Fit | None = None,
    kinds: Mapping[int, str] | None = None,
) -> list[Caption]:
    """The best caption of each of the B windows in ``memory``.

    With one beam each word is the likeliest. With more, one lane still goes that greedy way and
    the others are a beam, so a beam's caption is never ranked below the greedy one. ``<unk>`` is
    never said. ``hints``: (B, V), what is added to the words' log-probabilities to choose by; they
    stay below 0. ``others``: decoders of the same words that write with this one, whose share is
    what theirs leave of 1. With ``fit`` the ``KEPT`` best captions are ranked once more, now
    by how well they fit, too. ``kinds``: of people, by the words for them; then each caption has
    ``others``. The words' probabilities and attention come from one last pass over the result.
    """
    voices = together(decoder, memory, others)
    ranker = finish(voices, options, hints)
    words, ranks = ranker.ranked(fit)
    kept: list[list[int]] = []
    people: list[frozenset[str]] = []
    for window, by_rank in zip(words.tolist(), ranks.tolist(), strict=True):
        named = [who(ids, kinds or {}) for ids in window]
        kept.append(contenders(named, by_rank))
        people += [named[i] for i in kept[-1]]
    rows = [row for row, each in enumerate(kept) for _ in each]
    at = rows, [i for each in kept for i in each]
    captions = zip(_explain(voices, rows, words[at], ranks[at]), people, strict=True)
    return group((replace(caption, people=named) for caption, named in captions), map(len, kept))


def group(captions: Iterable[Caption], sizes: Iterable[int]) -> list[Caption]:
    """The first of each so many captions, with the rest as its others."""
    rest = iter(captions)
    return [replace(next(rest), others=tuple(islice(rest, size - 1))) for size in sizes]


@torch.no_grad()
def finish(voices: Sequence[Voice], options: SearchOptions, hints: Tensor | None) -> "Ranker":
    """The captions of each window that ``search`` chooses from, see there."""
    pooled = voices[0].memory.pooled
    ranker = Ranker(len(pooled), options, pooled.device)
    picker = BeamPicker(options, ranker)
    filters: list[Filter] = [] if hints is None else [Hints(hints)]
    filters += [
        *voices[0].head.wording,
        forbid_markers,
        MinWords(options.min_words),
        NoRepeatedNgram(options.no_repeat_ngram),
    ]
    write(Inference(voices, picker.lanes), picker, filters)
    return ranker


@torch.no_grad()
def sample(
    decoder: Decoder, memory: Memory, captions: int, max_words: int, temperature: float
) -> Tensor:
    """Captions drawn word by word from the model: (B, captions, L) ids, from ``<bos>`` on, padded.

    ``<unk>`` is never drawn; a caption of ``max_words`` has no ``<eos>``.
    """
    inference = Inference([Voice(decoder, memory)], captions)
    write(inference, SamplePicker(max_words, temperature), [forbid_markers])
    return F.pad(inference.words, (1, 0), value=BOS)


def draw(probabilities: Tensor) -> Tensor:
    """One of V words for each distribution in (..., V), by its cumulative probabilities.

    On the CPU ``torch.multinomial`` takes twelve times as long: it draws a random number for each
    of the V words.
    """
    sums = probabilities.cumsum(-1)
    # in (0, 1], so that a word of probability 0 is never met, and there always is one
    share = 1 - torch.rand_like(sums[..., :1])
    return torch.searchsorted(sums, share * sums[..., -1:]).squeeze(-1)


class Hints:
    """Makes words likelier, by ``hints`` (B, V), though never more than certain."""

    def __init__(self, hints: Tensor) -> None:
        self._hints = hints.unsqueeze(1)

    def __call__(self, log_probs: Tensor, words: Tensor) -> None:
        log_probs.add_(self._hints).clamp_(max=0)


def forbid_markers(log_probs: Tensor, words: Tensor) -> None:
    """Rule out what is no word and no end."""
    for word in (PAD, BOS, UNK):  # one by one: a list of them would have to be sent to a GPU
        log_probs[..., word] = NEVER


class MinWords:
    """Rules out the end of captions that are too short."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, log_probs: Tensor, words: Tensor) -> None:
        if words.shape[-1] < self._count:
            log_probs[..., EOS] = NEVER


class NoRepeatedNgram:
    """Rules out words that would repeat a run of ``n`` words; none where ``n`` is 0."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __call__(self, log_probs: Tensor, words: Tensor) -> None:
        if self._n and words.shape[-1] >= self._n:
            forbidden, mask = repeated_ngrams(words, self._n)
            ceiling = torch.where(mask, NEVER, torch.inf).to(log_probs)
            log_probs.scatter_reduce_(-1, forbidden, ceiling, "amin")


def repeated_ngrams(words: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Words that would complete an n-gram which the caption already holds.

    ``words``: (B, K, L) ids. Returns (B, K, L - n + 1) of forbidden next words, and a mask of the
    same shape that tells which of them really are.
    """
    grams = words.unfold(-1, n, 1)  # (B, K, L - n + 1, n)
    tail = words[..., words.shape[-1] - n + 1 :].unsqueeze(-2)  # (B, K, 1, n - 1)
    return grams[..., -1], (grams[..., :-1] == tail).all(-1)


class Ranker:
    """Keeps the best finished captions of each window, the best first.

    ``ranks``: (B, KEPT), -inf where there is none; ``words``: (B, KEPT, L) ids, padded.
    """

    def __init__(self, batch: int, options: SearchOptions, device: torch.device) -> None:
        self._penalty = options.length_penalty
        self.ranks = torch.full((batch, KEPT), NEVER, device=device)
        self.words = torch.full((batch, KEPT, options.max_words), PAD, device=device)

    def offer(self, log_prob: Tensor, words: Tensor) -> None:
        """``log_prob``: (B, K) of captions ended now, -inf where not; ``words``: (B, K, L)."""
        length, most = words.shape[-1], self.words.shape[-1]
        ranks = torch.cat([self.ranks, log_prob / max(length, 1) ** self._penalty], -1)
        every = torch.cat([self.words, F.pad(words, (0, most - length), value=PAD)], 1)
        self.ranks, index = ranks.topk(self.ranks.shape[-1])
        self.words = every.gather(1, index.unsqueeze(-1).expand(-1, -1, most))

    def ranked(self, fit: Fit | None) -> tuple[Tensor, Tensor]:
        """The captions, (B, KEPT, L) ids, the best first, and their ranks, (B, KEPT)."""
        longest = int((self.words != PAD).sum(-1).amax())
        words = self.words[..., : max(longest, 1)]
        if fit is None:
            return words, self.ranks
        ranks, index = (self.ranks + FIT * fit(words)).sort(descending=True)
        return words.gather(1, index.unsqueeze(-1).expand_as(words)), ranks

    def beyond_reach(self, log_prob: Tensor, max_words: int) -> bool:
        """Whether no caption still open, (B, K), can be ranked above the best ended one."""
        bound: Tensor = log_prob.amax(-1) / max_words**self._penalty
        return bool((self.ranks[:, 0] >= bound).all())


class BeamPicker:
    """Lane 0 goes on with the likeliest word; the others, if there are any, are a beam."""

    def __init__(self, options: SearchOptions, ranker: Ranker) -> None:
        self.done = False
        self.lanes = options.beam + 1 if options.beam > 1 else 1
        self._max_words, self._ranker = options.max_words, ranker
        # at first all beams are equal: only one of them may branch
        self._total = torch.full((len(ranker.ranks), self.lanes), NEVER, device=ranker.ranks.device)
        self._total[:, : min(self.lanes, 2)] = 0.0

    def pick(self, log_probs: Tensor, words: Tensor) -> tuple[Tensor, Tensor] | None:
        """It is done when no caption can become better than those that have ended."""
        ended = self._total + log_probs[..., EOS]
        if words.shape[-1] == self._max_words:
            self._ranker.offer(ended, words)
            self.done = True
            return None
        greedy = log_probs[:, 0].max(-1)
        greedy_ends = greedy.indices == EOS
        ended[:, 0] = torch.where(greedy_ends, ended[:, 0], NEVER)
        self._ranker.offer(ended, words)
        best = torch.where(greedy_ends, NEVER, self._total[:, 0] + greedy.values)
        word, origin, self._total = _advance(log_probs, self._total, greedy.indices, best)
        self.done = self._ranker.beyond_reach(self._total, self._max_words)
        return None if self.done else (word, origin)


class SamplePicker:
    """Draws words from the distribution, its logits divided by ``temperature``."""

    def __init__(self, max_words: int, temperature: float) -> None:
        self.done = False
        self._max_words, self._temperature = max_words, temperature

    def pick(self, log_probs: Tensor, words: Tensor) -> tuple[Tensor, None]:
        """It is done when all captions have ended; those that have go on with ``<pad>``."""
        chances = (log_probs / self._temperature).softmax(-1)
        ended = (words == EOS).any(-1)
        drawn = draw(chances)
        word = torch.where(ended, PAD, drawn)
        full = words.shape[-1] + 1 == self._max_words
        self.done = full or bool((ended | (word == EOS)).all())
        return word, None


def _advance(
    log_probs: Tensor, total: Tensor, word: Tensor, best: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest continuations: of lane 0 by itself, and of the other lanes together.

    ``log_probs``: (B, lanes, V); ``total``: (B, lanes); ``word``, ``best``: (B,), how lane 0 goes
    on, and its total then. Returns word, lane of origin and new total, each (B, lanes).
    """
    origin = torch.zeros_like(word)
    greedy = (word[:, None], origin[:, None], best[:, None])
    beams = log_probs.shape[1] - 1
    if not beams:
        return greedy
    sums = log_probs[:, 1:].add_(total[:, 1:, None])
    sums[..., EOS] = NEVER
    top, index = sums.flatten(1).topk(beams)
    beam = (index % log_probs.shape[-1], index // log_probs.shape[-1] + 1, top)
    word, origin, total = (torch.cat(pair, -1) for pair in zip(greedy, beam, strict=True))
    return word, origin, total


def _pick(x: Tensor, origin: Tensor) -> Tensor:
    """``x``: (B, lanes, D) rearranged by ``origin``: (B, lanes)."""
    batch, lanes = origin.shape
    first = torch.arange(0, batch * lanes, lanes, device=origin.device).unsqueeze(-1)
    return x.flatten(0, 1).index_select(0, (first + origin).flatten()).view_as(x)


def _explain(
    voices: Sequence[Voice], windows: Sequence[int], chosen: Tensor, ranks: Tensor
) -> list[Caption]:
    """Words, probabilities and the first voice's attention of captions, (N, L) ids, padded, with
    their ``ranks``, (N,), of these rows of the memory, in one pass over all of them.

    Few captions are repeated to be EXPLAINED_AT_ONCE: CPU libraries multiply small matrices in
    other ways, which would let the last digits depend on which windows were in a batch.
    """
    said = [[word for word in ids if word != PAD] for ids in chosen.tolist()]
    repeated = torch.arange(max(len(said), EXPLAINED_AT_ONCE), device=chosen.device) % len(said)
    rows = torch.tensor(windows, device=chosen.device)[repeated]
    words = chosen[repeated, : max(map(len, said))]  # (N, longest)
    begin = words.new_full((len(words), 1), BOS)
    read = torch.cat([begin, words], -1).unsqueeze(1)
    steps, every = [], []
    for decoder, memory, _ in voices:
        seen = memory.of(rows) if len(rows) > len(memory.pooled) else memory
        step = decoder(read, seen, decoder.start(seen))
        steps.append(step)
        every.append(decoder.logits(step.hidden[:, 0]).float().log_softmax(-1))
    log_probs = mix(voices, every)  # (N, longest + 1, V)
    ends = (words != PAD).sum(-1, keepdim=True)
    targets = F.pad(words, (0, 1), value=PAD).scatter(-1, ends, EOS).unsqueeze(-1)
    log_probs = log_probs.gather(-1, targets).squeeze(-1).cpu()
    attention = steps[0].attention[:, 0].float().cpu()
    return [
        Caption(ids, log_probs[row, : len(ids) + 1], attention[row, : len(ids) + 1], rank)
        for row, (ids, rank) in enumerate(zip(said, ranks.tolist(), strict=True))
    ]
