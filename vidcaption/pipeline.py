"""One video to segments: reader -> windows -> encoder -> decoder, streaming in constant memory."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import torch
from torch import Tensor

from vidcaption.errors import DeviceError, InputError, UsageError
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.model.features import Features, Look
from vidcaption.model.fused import fused
from vidcaption.model.search import Caption, search
from vidcaption.options import MOST_FRAMES, CaptionOptions, Engine, MachineOptions, VideoDecoder
from vidcaption.output.captions import Captions
from vidcaption.output.merge import merge_equal
from vidcaption.store import name_of, resolve
from vidcaption.types import ModelInfo, Segment, VideoInfo, Window, Word
from vidcaption.video.workers import RemoteReader, Request, Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidcaption.video.batches import WindowReader

Source = str | os.PathLike[str] | BinaryIO  # of a video


class Captioner:
    """A loaded model that captions videos.

    >>> captioner = Captioner.from_pretrained()
    >>> captioner.caption("clip.mp4").save("clip.srt")
    """

    def __init__(
        self,
        model: model_folder.Model,
        name: str,
        machine: Machine,
        batch_size: int,
        encoder: Callable[[Tensor], Tensor] | None = None,
        decoder: VideoDecoder = "cpu",
    ) -> None:
        self.model = ModelInfo(name, model.sha256)
        self._encoder = encoder or model.network.encoder
        self._network, self._vocabulary = model.network, model.vocabulary
        self.machine = machine
        self._batch_size, self._decoder = batch_size, decoder

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path | None = None,
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        batch_size: int = 8,
        threads: int | None = None,
        engine: Engine = "torch",
        decoder: VideoDecoder = "cpu",
        offline: bool = False,
    ) -> "Captioner":
        """Load the embedded model, that of a folder, or ``owner/name[@revision]`` on the Hub.

        ``batch_size``: windows per batch. ``threads``: CPU threads of PyTorch, for the whole
        process; on the CPU, freed memory is kept for the whole process as well, which is faster.
        ``engine``: ``openvino`` runs the CNN in OpenVINO, on the CPU, with ``threads`` as PyTorch;
        the first time it is exported to the user's cache. ``decoder``: ``cuda`` lets an
        NVIDIA GPU decode videos of codecs that it knows. ``offline``: never use the network.
        Raises ModelError, DeviceError, UsageError, OutputError.
        """
        options = MachineOptions(
            device=device,
            precision=precision,
            batch_size=batch_size,
            threads=threads,
            engine=engine,
            decoder=decoder,
        )
        if engine == "openvino":
            options = replace(options, device="cpu")
        machine = Machine.find(options)
        if decoder == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "--decoder cuda needs an NVIDIA GPU, and PyTorch sees none here; leave it out"
            )
        folder = resolve(name_or_folder, offline=offline)
        model = model_folder.load(folder, machine.device)
        encoder: Callable[[Tensor], Tensor]
        if engine == "openvino":
            from vidcaption.model.engine import open_encoder

            encoder = open_encoder(folder, model, machine.dtype)
        else:
            encoder = fused(model.network.encoder, machine)
        return cls(model, name_of(folder), machine, options.batch_size, encoder, decoder)

    def open(
        self,
        source: Source,
        options: CaptionOptions | None = None,
        reader: RemoteReader | None = None,
        **flags: Any,
    ) -> "Captioning":
        """Caption a video step by step; for progress and for segments as they come.

        ``source``: a path, or a file that is open for reading in binary mode. ``flags``: options
        by the names of their flags, ``window=2`` or ``start="1:05"``, over those in ``options``.
        ``reader``: that of ``begin``; without it this process reads the video. Raises UsageError.
        """
        options = (options or CaptionOptions()).with_flags(flags)
        return Captioning(self, reader or self._reader_of(source, options), options)

    def begin(self, path: Path, options: CaptionOptions, workers: Workers) -> RemoteReader:
        """Let a worker read a video that is to be opened soon, by any captioner of the model."""
        return RemoteReader(workers, self._request(path, options))

    def stream(
        self, source: Source, options: CaptionOptions | None = None, **flags: Any
    ) -> Iterator[Segment]:
        """Segments of a video, each as soon as it is ready; as ``open``. Raises InputError."""
        with self.open(source, options, **flags) as captioning:
            yield from captioning

    def caption(
        self, source: Source, options: CaptionOptions | None = None, **flags: Any
    ) -> Captions:
        """All segments of a video, and what they were made with; as ``open``. Raises InputError.

        >>> captioner.caption("clip.mp4", window=2, beam=5)[0].text
        """
        with self.open(source, options, **flags) as captioning:
            return captioning.finish()

    def caption_frames(
        self,
        frames: "Sequence[NDArray[np.uint8]]",
        times_s: Sequence[float],
        options: CaptionOptions | None = None,
        **flags: Any,
    ) -> Captions:
        """All segments of a video that is in memory.

        ``frames``: (N, H, W, 3) uint8 RGB, or a list of N frames. ``times_s``: seconds from the
        start, each above the one before, at which they begin to be shown; the last frame lasts as
        long as the one before it. Options are those of ``open``, but for ``segment="auto"``, which
        looks into a file and is ``fixed`` here. Raises UsageError, InputError.
        """
        from vidcaption.video.sources import ArrayReader

        options = (options or CaptionOptions()).with_flags(flags)
        if options.segment == "auto":
            options = replace(options, segment="fixed")
        _, size, _, batch_size, _ = self._request(Path("frames"), options)
        reader = ArrayReader(frames, times_s, size, options, batch_size)
        with Captioning(self, reader, options) as captioning:
            return captioning.finish()

    def _reader_of(self, source: Source, options: CaptionOptions) -> "WindowReader":
        from vidcaption.video.batches import WindowReader  # FFmpeg, for those who read here
        from vidcaption.video.sources import StreamReader

        if isinstance(source, str | os.PathLike):
            return WindowReader(*self._request(Path(source), options))
        if not hasattr(source, "read"):
            kind = type(source).__name__
            raise UsageError(
                f"a video is a path or a file that is open in binary mode, not {kind}; "
                "caption_frames takes frames as arrays"
            )
        return StreamReader(source, *self._request(Path("stream"), options)[1:])

    def _request(self, path: Path, options: CaptionOptions) -> Request:
        side = self._network.config.image_size
        batch_size = min(self._batch_size, MOST_FRAMES // options.frames)
        return Request(path, (side, side), options, batch_size, self._decoder)


class Captioning:
    """One video while it is being captioned: a context manager that yields segments once.

    ``info``: the video. ``progress_s``: seconds of the video that were captioned so far.
    ``seconds``: wall time spent waiting for frames (``decode``), in the CNN (``encode``) and in the
    word search (``search``). ``frames``: how many were sampled so far, counted in each window, and
    ``encoded``: how many different pictures of them went through the CNN.
    """

    def __init__(
        self,
        captioner: Captioner,
        reader: "RemoteReader | WindowReader",
        options: CaptionOptions,
    ) -> None:
        self.options = options
        self.progress_s = options.start_s
        self.seconds = {"decode": 0.0, "encode": 0.0, "search": 0.0}
        self._captioner = captioner
        self._reader = reader
        self._segments: list[Segment] = []
        self._features = Features(captioner._encoder, captioner.machine.device, options.same_within)
        self._captions: dict[Look, Caption] = {}  # of the latest batch
        self._ready = self._collect()  # one pass, however often it is iterated over

    def __enter__(self) -> "Captioning":
        """Raises InputError where the file is not a video that can be read."""
        self._reader.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    @property
    def info(self) -> VideoInfo:
        return self._reader.info

    @property
    def frames(self) -> int:
        return self._features.frames

    @property
    def encoded(self) -> int:
        return self._features.encoded

    @property
    def corrupt(self) -> int:
        """Broken packets skipped so far."""
        return self._reader.corrupt

    @property
    def missing_s(self) -> float:
        """Seconds that the container promises and the stream lacks, once all of it was read."""
        promised_s = self.info.duration_s
        if promised_s is None or self.options.end_s is not None:
            return 0.0
        return max(0.0, promised_s - self._reader.end_s)

    def __iter__(self) -> Iterator[Segment]:
        return self._ready

    def _collect(self) -> Iterator[Segment]:
        segments = self._caption_windows()
        for segment in merge_equal(segments) if self.options.merge else segments:
            self._segments.append(segment)
            yield segment

    def finish(self) -> Captions:
        """Caption what is left, and return everything. Raises InputError."""
        for _ in self:
            pass
        return self.captions()

    def captions(self) -> Captions:
        """What was yielded so far."""
        return Captions(
            video=self.info,
            model=self._captioner.model,
            options=self.options,
            segments=tuple(self._segments),
            corrupt=self.corrupt,
        )

    def _caption_windows(self) -> Iterator[Segment]:
        empty = True
        while batch := self._read():
            empty = False
            captions = self._caption_news(batch)
            for window, caption in zip(batch, captions, strict=True):
                self.progress_s = window.end_s
                if caption.ids:
                    yield self._segment(window, caption)
        if empty:
            raise InputError(
                f"{self.info.path} has nothing to caption: it lasts {self._reader.end_s:.1f} s, "
                f"and --start is {self.options.start_s:g}"
            )

    def _read(self) -> list[Window]:
        began = time.monotonic()
        batch = self._reader.read()
        self.seconds["decode"] += time.monotonic() - began
        return batch

    def _caption_news(self, windows: Sequence[Window]) -> list[Caption]:
        """Captions of windows. What looks the same, perhaps for hours, is captioned once."""
        began = time.monotonic()
        looks = [self._features.look(window.frames) for window in windows]
        self.seconds["encode"] += time.monotonic() - began
        known = self._captions
        if fresh := [look for look in dict.fromkeys(looks) if look not in known]:
            known = known | dict(zip(fresh, self._caption(fresh), strict=True))
        self._captions = {look: known[look] for look in looks}
        return [known[look] for look in looks]

    @torch.inference_mode()
    def _caption(self, looks: Sequence[Look]) -> list[Caption]:
        network, machine = self._captioner._network, self._captioner.machine
        began, start = time.monotonic(), machine.mark()
        with machine.autocast():
            features = self._features.of(looks)
            encoded = machine.mark()  # not waited for: the search can be told what to do meanwhile
            captions = search(network.decoder, network.remember(features), self.options)
        encode_s = encoded.seconds_since(start)
        self.seconds["encode"] += encode_s
        self.seconds["search"] += time.monotonic() - began - encode_s
        return captions

    def _segment(self, window: Window, caption: Caption) -> Segment:
        words = self._captioner._vocabulary.decode(caption.ids)
        log_probs = caption.log_probs[:-1].tolist()  # without <eos>
        text = " ".join(words)
        return Segment(
            start_s=window.start_s,
            end_s=window.end_s,
            text=text[0].upper() + text[1:],
            score=caption.score,
            words=tuple(Word(w, math.exp(p)) for w, p in zip(words, log_probs, strict=True)),
        )
