"""From memory to sentences: greedy and beam search, batched over windows and beams.

The layout follows openai/whisper's ``decoding.py``: a decoder picks words, filters forbid some, a
ranker chooses between finished captions. All three work on tensors; the only loop is over words.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcaption.model.attention import Memory
from vidcaption.model.decoder import Decoder, State
from vidcaption.model.vocabulary import BOS, EOS, PAD, UNK
from vidcaption.options import SearchOptions

NEVER = float("-inf")
EXPLAINED_AT_ONCE = 4  # at least


@dataclass(frozen=True, eq=False)
class Caption:
    """One window's caption. ``ids``: its L words without ``<eos>``.

    ``log_probs``: (L + 1,) of the words and of ``<eos>``; ``attention``: (L + 1, M), each row
    summing to 1; ``rank``: what it was chosen by, sum of log-probabilities / words ** penalty.
    ``concepts``: those that the window surely shows, by index, with their probability, and
    ``confidence``: in [0, 1], both only of a network that tells concepts apart.
    """

    ids: list[int]
    log_probs: Tensor
    attention: Tensor
    rank: float
    concepts: tuple[tuple[int, float], ...] = ()
    confidence: float | None = None

    @property
    def score(self) -> float:
        """Mean log-probability of the words, or of ``<eos>`` where there is no word."""
        log_probs: list[float] = self.log_probs[: len(self.ids) or 1].tolist()
        return sum(log_probs) / len(log_probs)


def repeated_ngrams(words: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Words that would complete an n-gram which the caption already holds.

    ``words``: (B, K, L) ids. Returns (B, K, L - n + 1) of forbidden next words, and a mask of the
    same shape that tells which of them really are.
    """
    grams = words.unfold(-1, n, 1)  # (B, K, L - n + 1, n)
    tail = words[..., words.shape[-1] - n + 1 :].unsqueeze(-2)  # (B, K, 1, n - 1)
    return grams[..., -1], (grams[..., :-1] == tail).all(-1)


def filter_words(
    log_probs: Tensor, words: Tensor, options: SearchOptions, repeated: Tensor
) -> Tensor:
    """Rule out, in place, what may not come next, and make repetitions less likely.

    ``log_probs``: (B, K, V); ``words``: (B, K, L) so far; ``repeated``: (V,), what is taken off
    the log-probability of a word that is among them.
    """
    again = log_probs.gather(-1, words) - repeated[words]
    log_probs.scatter_(-1, words, again.to(log_probs))
    for word in (PAD, BOS, UNK):  # one by one: a list of them would have to be sent to a GPU
        log_probs[..., word] = NEVER
    length, n = words.shape[-1], options.no_repeat_ngram
    if length < options.min_words:
        log_probs[..., EOS] = NEVER
    if n and length >= n:
        forbidden, mask = repeated_ngrams(words, n)
        ceiling = torch.where(mask, NEVER, torch.inf).to(log_probs)
        log_probs.scatter_reduce_(-1, forbidden, ceiling, "amin")
    return log_probs


class _Finished:
    """The ranker: keeps the best finished caption of each window."""

    def __init__(self, batch: int, options: SearchOptions, device: torch.device) -> None:
        self.penalty = options.length_penalty
        self.rank = torch.full((batch,), NEVER, device=device)
        self.words = torch.full((batch, options.max_words), PAD, device=device)

    def offer(self, log_prob: Tensor, words: Tensor) -> None:
        """``log_prob``: (B, K) of captions ended now, -inf where not; ``words``: (B, K, L)."""
        length = words.shape[-1]
        rank, lane = (log_prob / max(length, 1) ** self.penalty).max(-1)
        better = rank > self.rank
        chosen = words[torch.arange(len(words), device=words.device), lane]
        self.rank = torch.where(better, rank, self.rank)
        # by a mask as index a GPU would have to say how many there are
        padded = F.pad(chosen, (0, self.words.shape[-1] - length), value=PAD)
        self.words = torch.where(better.unsqueeze(-1), padded, self.words)

    def beyond_reach(self, log_prob: Tensor, most_words: int) -> bool:
        """Whether no caption still open, (B, K), can be ranked above the best ended one."""
        bound: Tensor = log_prob.amax(-1) / most_words**self.penalty
        return bool((self.rank >= bound).all())


@torch.inference_mode()
def search(
    decoder: Decoder, memory: Memory, options: SearchOptions, hints: Tensor | None = None
) -> list[Caption]:
    """The best caption of each of the B windows in ``memory``.

    With one beam each word is the likeliest. With more, one lane still goes that greedy way and
    the others are a beam, so a beam's caption is never ranked below the greedy one. ``<unk>`` is
    never said. ``hints``: (B, V), what is added to the words' log-probabilities to choose by; they
    stay below 0. The words' probabilities and attention come from one last pass over the result.
    """
    batch, device = len(memory.pooled), memory.pooled.device
    lanes = options.beam + 1 if options.beam > 1 else 1
    state = decoder.start(memory, lanes)
    words = torch.empty(batch, lanes, 0, dtype=torch.long, device=device)
    last = torch.full((batch, lanes), BOS, device=device)
    # at first all beams are equal: only one of them may branch
    total = torch.full((batch, lanes), NEVER, device=device)
    total[:, : min(lanes, 2)] = 0.0
    finished = _Finished(batch, options, device)

    for length in range(options.max_words + 1):
        out, _, state = decoder(last.unsqueeze(-1), memory, state)
        log_probs = decoder.logits(out.squeeze(-2)).float().log_softmax(-1)  # (B, lanes, V)
        if hints is not None:
            log_probs = (log_probs + hints.unsqueeze(1)).clamp(max=0)
        log_probs = filter_words(log_probs, words, options, decoder.repeated)
        if length == options.max_words:
            finished.offer(total + log_probs[..., EOS], words)
            break
        greedy = log_probs[:, 0].max(-1)
        greedy_ends = greedy.indices == EOS
        ended = total + log_probs[..., EOS]
        ended[:, 0] = torch.where(greedy_ends, ended[:, 0], NEVER)
        finished.offer(ended, words)

        best = torch.where(greedy_ends, NEVER, total[:, 0] + greedy.values)
        origin, last, total = _advance(log_probs, total, greedy.indices, best)
        words = torch.cat([_pick(words, origin), last.unsqueeze(-1)], -1)
        state = State(*(_pick(x, origin) for x in state))
        if finished.beyond_reach(total, options.max_words):
            break
    return _explain(decoder, memory, finished)


def _advance(
    log_probs: Tensor, total: Tensor, word: Tensor, best: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest continuations: of lane 0 by itself, and of the other lanes together.

    ``log_probs``: (B, lanes, V); ``total``: (B, lanes); ``word``, ``best``: (B,), how lane 0 goes
    on, and its total then. Returns lane of origin, word and new total, each (B, lanes).
    """
    origin = torch.zeros_like(word)
    greedy = (origin[:, None], word[:, None], best[:, None])
    beams = log_probs.shape[1] - 1
    if not beams:
        return greedy
    sums = log_probs[:, 1:].add_(total[:, 1:, None])
    sums[..., EOS] = NEVER
    top, index = sums.flatten(1).topk(beams)
    beam = (index // log_probs.shape[-1] + 1, index % log_probs.shape[-1], top)
    origin, word, total = (torch.cat(pair, -1) for pair in zip(greedy, beam, strict=True))
    return origin, word, total


def _pick(x: Tensor, origin: Tensor) -> Tensor:
    """``x``: (B, lanes, D) rearranged by ``origin``: (B, lanes)."""
    batch, lanes = origin.shape
    first = torch.arange(0, batch * lanes, lanes, device=origin.device).unsqueeze(-1)
    return x.flatten(0, 1).index_select(0, (first + origin).flatten()).view_as(x)


def _explain(decoder: Decoder, memory: Memory, finished: _Finished) -> list[Caption]:
    """Words, probabilities and attention of the chosen captions, in one pass over all of them.

    Few captions are repeated to be EXPLAINED_AT_ONCE: CPU libraries multiply small matrices in
    other ways, which would let the last digits depend on which windows were in a batch.
    """
    said = [[word for word in ids if word != PAD] for ids in finished.words.tolist()]
    rows = torch.arange(max(len(said), EXPLAINED_AT_ONCE), device=finished.words.device) % len(said)
    memory = Memory(*(part[rows] for part in memory)) if len(rows) > len(said) else memory
    words = finished.words[rows, : max(map(len, said))]  # (B, longest)
    begin = words.new_full((len(words), 1), BOS)
    read = torch.cat([begin, words], -1).unsqueeze(1)
    out, attention, _ = decoder(read, memory, decoder.start(memory))
    log_probs = decoder.logits(out[:, 0]).float().log_softmax(-1)  # (B, longest + 1, V)
    ends = (words != PAD).sum(-1, keepdim=True)
    targets = F.pad(words, (0, 1), value=PAD).scatter(-1, ends, EOS).unsqueeze(-1)
    log_probs = log_probs.gather(-1, targets).squeeze(-1).cpu()
    attention = attention[:, 0].float().cpu()
    return [
        Caption(ids, log_probs[row, : len(ids) + 1], attention[row, : len(ids) + 1], rank)
        for row, (ids, rank) in enumerate(zip(said, finished.rank.tolist(), strict=True))
    ]
