"""Runs the network on windows of any number of videos at once.

A single window costs several times as much as one in a full batch. So windows of all videos are
added as they come, and a batch goes through the network when it is full, or when one of its
captions is waited for.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple

import torch
from torch import Tensor

from vidcaption.model.device import Machine
from vidcaption.model.features import Features, Look
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import Caption
from vidcaption.options.captioning import CaptionOptions

FRAMES_AT_ONCE = 32, 8  # in the CNN: with 16 bits, with 32 bits


@dataclass
class Costs:
    """The costs of one video so far: its share if windows of several videos share a batch.

    ``encoded``: number of distinct pictures that went through the CNN. ``encode_s``, ``search_s``:
    seconds in the CNN and in the word search. ``shifted_s``: how much longer others waited for
    shared batches than this video did.
    """

    encoded: int = 0
    encode_s: float = 0.0
    search_s: float = 0.0
    shifted_s: float = 0.0


class _Result(NamedTuple):
    """The result of one window. ``error``: why there is no caption."""

    caption: Caption | None
    encoded: int = 0
    encode_s: float = 0.0
    search_s: float = 0.0
    error: Exception | None = None


class Runner:
    """A network on a device, with its latest features; for one thread at a time.

    ``others``: those of networks that write with it, with the weights of their words.
    """

    def __init__(
        self,
        network: CaptionNetwork,
        encoder: Callable[[Tensor], Tensor],
        machine: Machine,
        others: "Sequence[tuple[Runner, float]]" = (),
    ) -> None:
        self._others = others
        self._network, self._machine = network, machine
        at_once = FRAMES_AT_ONCE[machine.dtype == torch.float32]
        seen, detector = network.config.input, network.detector
        asked = machine.device, at_once, seen.image_size
        self._features = Features(encoder, *asked, seen.channels)
        self._found = None
        if detector is not None:
            self._found = Features(detector, *asked, seen.picture)

    @torch.inference_mode()
    def caption(
        self, looks: Sequence[Look], keep: Iterable[Look], options: CaptionOptions
    ) -> list[_Result]:
        """The captions of windows with equal numbers of frames. ``keep``: see ``Features.of``."""
        network, machine = self._network, self._machine
        began, start = time.monotonic(), machine.mark()
        keep = list(keep)
        with machine.autocast():
            features, found, computed = self._see(looks, keep)
            voices = [
                other._network.voice(*other._see(looks, keep)[:2], weight)
                for other, weight in self._others
            ]
            encoded = machine.mark()  # no synchronization: the search can be queued meanwhile
            concepts = network.recognise(features, found)
            captions = network.caption(
                *(features, options, concepts, voices), with_regions=options.regions
            )
        encode_s = encoded.seconds_since(start)
        search_s = time.monotonic() - began - encode_s
        return [
            _Result(caption, number, encode_s / len(looks), search_s / len(looks))
            for caption, number in zip(captions, computed, strict=True)
        ]

    def _see(
        self, looks: Sequence[Look], keep: Sequence[Look]
    ) -> tuple[Tensor, Tensor | None, list[int]]:
        """Features (B, T, R, C), what the detector finds (B, O), and the number of pictures of each
        window that went through the CNN."""
        features, computed = self._features.of(looks, keep)
        found = None
        if self._found is not None:
            middle, later = ([(look[len(look) // 2],) for look in x] for x in (looks, keep))
            found = self._found.of(middle, later)[0][:, 0]
        return features, found, computed


@dataclass(eq=False)
class _Batch:
    """Windows that go through the network together, and the video that pays for each."""

    looks: list[Look] = field(default_factory=list)
    payers: list[Costs] = field(default_factory=list)
    future: Future[list[_Result]] | None = None
    results: list[_Result] = field(default_factory=list)


class Pending:
    """The future caption of a window."""

    def __init__(self, batcher: "Batcher", batch: _Batch) -> None:
        self._batcher, self._batch, self._row = batcher, batch, len(batch.looks)

    def result(self, waiting: Costs) -> Caption:
        """The caption, for the video with these costs. Raises what the network raised."""
        result = self._batcher.results(self._batch, waiting)[self._row]
        if result.caption is None:
            assert result.error is not None
            raise result.error
        return result.caption


class Batcher:
    """Captions windows ``size`` at a time, in a thread for each of ``runners``.

    Windows equal to a recent one are captioned once. Use it in one thread, and ``close`` it.
    """

    def __init__(self, runners: Sequence[Runner], options: CaptionOptions, size: int) -> None:
        self.size, self.runners = size, len(runners)
        self._options = options
        self._free: SimpleQueue[Runner] = SimpleQueue()
        for runner in runners:
            self._free.put(runner)
        self._threads = ThreadPoolExecutor(len(runners), "network")
        self._waiting: dict[int, _Batch] = {}  # not full yet, by frames per window
        self._latest: OrderedDict[Look, Pending] = OrderedDict()

    def add(self, look: Look, payer: Costs) -> Pending:
        """Add a window, charged to a video unless it was captioned before."""
        pending = self._latest.get(look)
        if pending is None:
            batch = self._waiting.setdefault(len(look), _Batch())
            pending = Pending(self, batch)
            batch.looks.append(look)
            batch.payers.append(payer)
            if len(batch.looks) == self.size:
                self._start(batch)
        self._latest[look] = pending
        self._latest.move_to_end(look)
        if len(self._latest) > self.size:
            self._latest.popitem(last=False)
        return pending

    def results(self, batch: _Batch, waiting: Costs) -> list[_Result]:
        """The captions of a batch, which need not be full, for the video with these costs."""
        if not batch.results:
            began = time.monotonic()
            batch.results = self._start(batch).result()
            waited_s = time.monotonic() - began
            waiting.shifted_s -= waited_s
            for payer, result in zip(batch.payers, batch.results, strict=True):
                payer.encoded += result.encoded
                payer.encode_s += result.encode_s
                payer.search_s += result.search_s
                payer.shifted_s += waited_s / len(batch.payers)
        return batch.results

    def close(self) -> None:
        """Wait for running batches, and drop the others."""
        self._threads.shutdown(cancel_futures=True)

    def _start(self, batch: _Batch) -> "Future[list[_Result]]":
        if batch.future is None:
            del self._waiting[len(batch.looks[0])]
            batch.future = self._threads.submit(self._caption, batch.looks, list(self._latest))
        return batch.future

    def _caption(self, looks: Sequence[Look], keep: Sequence[Look]) -> list[_Result]:
        """If the network fails, the windows are captioned one by one: a single one may be the
        cause, or together they need too much memory."""
        runner = self._free.get()
        try:
            return runner.caption(looks, keep, self._options)
        except Exception as error:
            if len(looks) == 1:
                return [_Result(None, error=error)]
        finally:
            self._free.put(runner)
        return [self._caption([look], ())[0] for look in looks]
