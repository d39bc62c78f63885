"""The Python interface: a model that captions videos."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import torch
from torch import Tensor

from vidcaption.addresses import Address, Location, location_of
from vidcaption.batcher import Batcher, Costs, Runner
from vidcaption.captioning import Captioning, Keep, segment_of
from vidcaption.errors import DeviceError, UsageError
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.model.features import Looks
from vidcaption.model.folder import check_mixable
from vidcaption.model.fused import fused
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import (
    MOST_FRAMES,
    CaptionOptions,
    Engine,
    MachineOptions,
    VideoDecoder,
)
from vidcaption.output.captions import Captions
from vidcaption.store import name_of, resolve
from vidcaption.store.mixture import Mixture, Name, mixed_name, mixed_sha256, weigh
from vidcaption.store.settings import check_network
from vidcaption.types import Flow, ModelInfo, Progress, Segment, Window
from vidcaption.video.protocol import Pool, Reader, Request
from vidcaption.video.spool import spooled
from vidcaption.video.workers import RemoteReader, Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READ_AT_ONCE = 8  # windows, so that the first caption need not wait for two full batches
Source = str | os.PathLike[str] | Address | BinaryIO  # of a video


class Captioner:
    """A loaded model that captions videos.

    ``model``: its name and weights; ``loaded``: the model itself. ``machine``: where it runs.
    ``workers``: the processes that read videos, or None if this one does. ``others``: captioners
    whose words are mixed into this one's, with their weights. ``offline``: whether it refuses
    addresses.

    >>> captioner = Captioner.from_pretrained()
    >>> captioner.caption("clip.mp4").save("clip.srt")
    """

    offline = False

    def __init__(
        self,
        model: model_folder.Model,
        name: str,
        machine: Machine,
        batch_size: int,
        encoder: Callable[[Tensor], Tensor] | None = None,
        video_decoder: VideoDecoder = "cpu",
        workers: Pool | None = None,
        others: "Sequence[tuple[Captioner, float]]" = (),
    ) -> None:
        self.model: ModelInfo = ModelInfo(
            mixed_name([(name, 1.0), *((each.model.name, weight) for each, weight in others)]),
            mixed_sha256(
                [(model.sha256, 1.0), *((each.loaded.sha256, weight) for each, weight in others)]
            ),
        )
        self.loaded: model_folder.Model = model
        self._others = others
        self._encoder = encoder or model.network.encoder
        self._network, self._vocabulary = model.network, model.vocabulary
        self.machine = machine
        self._batch_size, self._video_decoder = batch_size, video_decoder
        self.workers = workers

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: Name | Mixture | None = None,
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        batch_size: int = MachineOptions.batch_size,
        threads: int | None = None,
        engine: Engine = "torch",
        video_decoder: VideoDecoder = "cpu",
        offline: bool = False,
        isolate: bool = True,
        workers: Pool | None = None,
    ) -> "Captioner":
        """Load the built-in model, a model folder, or ``owner/name[@revision]`` from the Hub.

        ``name_or_folder``: or several models with the same words, each but the first with a weight,
        as in ``["A", ("B", 0.3)]``: they write together, by the weighted mean of their
        probabilities of each word. Concepts, confidence and attention are those of the first, whose
        weight is the rest.

        ``batch_size``: windows per batch. ``threads``: CPU threads of PyTorch, for the whole
        process. ``engine``: ``openvino`` runs the CNN in OpenVINO, on the CPU, with the same
        ``threads``, and with OpenVINO's telemetry disabled in the whole process; the first time it
        is exported to the user's cache. ``video_decoder``: ``cuda`` decodes on an NVIDIA GPU, for
        the codecs it supports. ``offline``: never use the network.

        Videos are read in a separate process, with limits on its memory and on how long it may
        hang: a broken file affects no other. ``workers``: other limits, or more processes.
        ``isolate=False`` reads in this process, without protection, if no other can be started.

        A process that is forked later captions with one CPU thread, and not at all on a GPU or in
        OpenVINO: it should load its own model.

        Raises ModelError, DeviceError, UsageError, OutputError.
        """
        options = MachineOptions(
            device=device,
            precision=precision,
            batch_size=batch_size,
            threads=threads,
            engine=engine,
            video_decoder=video_decoder,
        )
        if engine == "openvino":
            options = replace(options, device="cpu")
        machine = Machine.find(options)
        if video_decoder == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "--video-decoder cuda needs an NVIDIA GPU, and PyTorch finds none; omit it"
            )
        if isolate and workers is None:
            workers = Workers(1, BatchOptions.file_timeout_s)
        workers = workers if isolate else None
        (first, _), *rest = weigh(name_or_folder)
        others = [
            (cls._load(name, options, machine, offline, None), weight) for name, weight in rest
        ]
        captioner = cls._load(first, options, machine, offline, workers, others)
        captioner.offline = offline
        return captioner

    @classmethod
    def _load(
        cls,
        name: Name | None,
        options: MachineOptions,
        machine: Machine,
        offline: bool,
        workers: Pool | None,
        others: "Sequence[tuple[Captioner, float]]" = (),
    ) -> "Captioner":
        """One model, and ``others`` that write with it."""
        folder = resolve(name, offline=offline)
        model = model_folder.load(folder, machine.device)
        for other, _ in others:
            check_mixable(model, name_of(folder), other.loaded, other.model.name)
        encoder: Callable[[Tensor], Tensor]
        if options.engine == "openvino":
            from vidcaption.model.engine import open_encoder

            encoder = open_encoder(folder, model, machine.dtype)
        else:
            encoder = fused(model.network.encoder, machine)
        if model.network.detector is not None:
            model.network.detector = fused(model.network.detector, machine)
        # on the CPU autocast would convert all its weights for each word
        if machine.device.type == "cpu" and model.network.config.writes:
            model.network.decoder.to(machine.dtype)
        return cls(
            model,
            name_of(folder),
            machine,
            options.batch_size,
            encoder,
            options.video_decoder,
            workers,
            others,
        )

    def open(
        self,
        source: Source,
        options: CaptionOptions | None = None,
        *,
        name: str | None = None,
        batcher: Batcher | None = None,
        before: Progress | None = None,
        keep: Keep | None = None,
        **flags: Any,
    ) -> Captioning:
        """Caption a video step by step, with progress and segments as they are ready.

        ``source``: a path, an address such as ``s3://bucket/clip.mp4``, or a file that is open for
        reading in binary mode. ``flags``: options by the names of their flags, ``window=2`` or
        ``start="1:05"``, which override ``options``. ``name``: what to call the video, its path
        unless given. For the other arguments see ``Captioning``. Raises UsageError, and DeviceError
        if this process was forked from the one that loaded the model onto a GPU.
        """
        self.machine.check_process()
        options = (options or CaptionOptions()).with_flags(flags).of_model(self.frames)
        reader = self._reader_of(source, options, before, name)
        return self._captioning(reader, options, batcher, before, keep)

    def _captioning(
        self,
        reader: AbstractContextManager[Reader],
        options: CaptionOptions,
        batcher: Batcher | None = None,
        before: Progress | None = None,
        keep: Keep | None = None,
        live: bool = False,
    ) -> Captioning:
        self._check(options)
        return Captioning(
            self.model,
            self._vocabulary,
            reader,
            options,
            batcher or self.batcher(options),
            shared=batcher is not None,
            live=live,
            before=before,
            keep=keep,
        )

    def _check(self, options: CaptionOptions) -> None:
        if options.min_confidence and self._network.confidence is None:
            raise UsageError(
                f"--min-confidence is {options.min_confidence:g}, and the model {self.model.name} "
                "gives no confidence; leave it out, or take another model"
            )
        if options.regions and "regions" not in self._network.heads:
            raise UsageError(
                f"--regions needs the head regions, and the model {self.model.name} has "
                f"{self._network.config.heads}; leave it out, or take another model"
            )
        if self.flow and options.sampling != "exact":
            raise UsageError(
                f"--sampling is {options.sampling}, and the model {self.model.name} sees the "
                "optical flow between frames, which needs all of them; leave it out"
            )

    def batcher(self, options: CaptionOptions, others: "Sequence[Captioner]" = ()) -> Batcher:
        """A batcher for windows of any videos, which also uses the devices of ``others``."""
        frames = options.of_model(self.frames).frames
        size = min(self._batch_size, MOST_FRAMES // frames)
        return Batcher([each._runner() for each in (self, *others)], options, size)

    def stream(
        self, source: Source, options: CaptionOptions | None = None, **flags: Any
    ) -> Iterator[Segment]:
        """Segments of a video, each as soon as it is ready; see ``open``. Raises InputError."""
        with self.open(source, options, **flags) as captioning:
            yield from captioning

    def caption(
        self, source: Source, options: CaptionOptions | None = None, **flags: Any
    ) -> Captions:
        """All segments of a video, with the model and options; see ``open``. Raises InputError.

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
        """All segments of a video in memory.

        ``frames``: (N, H, W, 3) uint8 RGB, or a list of N frames. ``times_s``: the times at which
        they are shown, in seconds from the start, ascending; the last frame lasts as long as the
        one before it. Options are those of ``open``, except that ``segment="auto"``, which needs a
        file, is ``fixed`` here. Raises UsageError, InputError.
        """
        from vidcaption.video.arrays import FrameArray
        from vidcaption.video.batches import WindowReader

        options = (options or CaptionOptions()).with_flags(flags).of_model(self.frames)
        if options.segment == "auto":
            options = replace(options, segment="fixed")
        self.machine.check_process()
        request = self._request(Path("frames"), options)
        frames_of = FrameArray(frames, times_s, request.size, request.flow)
        reader = WindowReader(*request, reader=frames_of)
        with self._captioning(reader, options) as captioning:
            return captioning.finish()

    def caption_windows(
        self,
        windows: Iterable[Window],
        options: CaptionOptions | None = None,
        **flags: Any,
    ) -> list[Segment | None]:
        """The segment of each window by itself, of any videos; None if nothing is said of it.

        The frames should have ``frame_size``; others are scaled. With ``flow`` they need its
        channels, see ``Frame``. Options are those of ``open``, of which those for reading and
        ``merge`` have no effect. Raises UsageError, DeviceError.
        """
        options = (options or CaptionOptions()).with_flags(flags)
        self.machine.check_process()
        self._check(options)
        looks, costs = Looks(options.same_within), Costs()
        with closing(self.batcher(options)) as batcher:
            waiting = [(each, batcher.add(looks.look(each.frames), costs)) for each in windows]
            return [
                segment_of(
                    pending.result(costs),
                    window.start_s,
                    window.end_s,
                    self._vocabulary,
                    options.min_confidence,
                    window.frames[0].image.shape[1::-1] if options.regions else None,
                )
                for window, pending in waiting
            ]

    def windows(
        self, source: Location, options: CaptionOptions, size: tuple[int, int]
    ) -> Iterator[Window]:
        """The windows of a video with frames of ``size``, (width, height), to look at. Raises
        InputError."""
        request = self._request(source, options)._replace(size=size, flow=None)
        reader = self._reader(request)
        with reader:
            while windows := reader.read():
                yield from windows

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) of the frames that readers have to give."""
        side = self._network.config.input.image_size
        return side, side

    @property
    def frames(self) -> int:
        """Of a window: as many as the model learned from."""
        return self._network.config.frames

    @property
    def flow(self) -> Flow | None:
        """The optical flow that readers have to add to frames."""
        every = (self, *(each for each, _ in self._others))
        flows = filter(None, (each._network.config.input.flow for each in every))
        return max(flows, default=None)  # alike but for their steps

    def open_live(
        self, reader: AbstractContextManager[Reader], options: CaptionOptions, batcher: Batcher
    ) -> Captioning:
        """Caption what a reader waits for, each window before the next one is read.

        Raises UsageError, and DeviceError as ``open`` does.
        """
        self.machine.check_process()
        return self._captioning(reader, options, batcher, live=True)

    def _runner(self) -> Runner:
        others = [(each._runner(), weight) for each, weight in self._others]
        return Runner(self._network, self._encoder, self.machine, others)

    def _reader_of(
        self,
        source: Source,
        options: CaptionOptions,
        before: Progress | None,
        name: str | None,
    ) -> AbstractContextManager[Reader]:
        if isinstance(source, str | os.PathLike | Address):
            place = location_of(source)
            check_network(place, offline=self.offline)
            return self._reader(self._request(place, options, before, name))
        if not hasattr(source, "read"):
            kind = type(source).__name__
            raise UsageError(
                f"a video is a path or a file that is open in binary mode, not {kind}; "
                "caption_frames takes frames as arrays"
            )
        known = getattr(source, "name", None)  # a number, where it was opened by one
        name = name or (known if isinstance(known, str) and known else "stream")
        return self._copied(source, self._request(Path(name), options, before, name))

    @contextmanager
    def _copied(self, stream: BinaryIO, request: Request) -> Iterator[Reader]:
        """A reader of the file that a stream is copied to."""
        with (
            spooled(stream, f"stream{request.path.suffix}", request.called) as path,
            self._reader(request._replace(path=path)) as reader,
        ):
            yield reader

    def _reader(self, request: Request) -> Reader:
        if self.workers is not None:
            return RemoteReader(self.workers, request)
        from vidcaption.video.batches import WindowReader  # FFmpeg, for reading here

        return WindowReader(*request)

    def _request(
        self,
        path: Location,
        options: CaptionOptions,
        before: Progress | None = None,
        name: str | None = None,
    ) -> Request:
        options = options.of_model(self.frames)
        at_once = min(self._batch_size, READ_AT_ONCE)
        done = (before.start_s, before.end_s) if before and before.segments else None
        return Request(
            *(path, self.frame_size, options, at_once, self._video_decoder, done, name),
            self.flow,
        )
