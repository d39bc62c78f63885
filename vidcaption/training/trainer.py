"""The training loop: a stage on cached features, then one end to end; resumable at each epoch."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vidcaption.datasets.samples import Sample
from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.evaluation.captioning import caption_features, in_batches, load_clip
from vidcaption.evaluation.metrics import check_scoring, cider
from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options import SearchOptions, TrainOptions
from vidcaption.training.card import write_card
from vidcaption.training.checkpoint import read_checkpoint, write_checkpoint
from vidcaption.training.clips import (
    MOST_WORDS,
    Batch,
    BatchSampler,
    ClipDataset,
    FeatureClips,
    PixelClips,
    collate,
    evenly,
    pad,
    target,
)
from vidcaption.training.consensus import Consensus
from vidcaption.training.features import READERS, FeatureCache
from vidcaption.training.history import Epoch, check_plotting, write_history
from vidcaption.training.learner import Learner
from vidcaption.training.losses import cross_entropy, self_critical

CHECKPOINT = "checkpoint.pt"
DEV_FRAMES = 4
DEV_CAPTIONS = 5
SCST_CAPTIONS = 5

Loss = Callable[[Tensor, Batch], Tensor]  # of features (B, T, R, C) and their batch


@dataclass
class Position:
    """How far training has come, beside the state of network and optimizer."""

    stage: int = 0
    epoch: int = 0
    best: float = -math.inf
    stale: int = 0
    history: list[Epoch] = field(default_factory=list)


class Trainer:
    """Trains one model into one folder: the best epoch's model, checkpoint, history and plot."""

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        options: TrainOptions,
        machine: Machine,
        samples: Sequence[Sample],
        progress: Progress,
        *,
        imagenet: Path | None = None,
        init: model_folder.Model | None = None,
        features: Path | None = None,
    ) -> None:
        """``imagenet``: weights of the whole torchvision classifier to start the CNN from.
        ``init``: a model to start from, whose network and vocabulary are kept.
        ``features``: where features are kept, in ``folder`` unless given.

        Raises UsageError where a split is empty, ModelError where ``imagenet`` does not fit.
        """
        if options.select == "cider":
            check_scoring()
        check_plotting()
        self.folder, self.options, self.machine = folder, options, machine
        self.config = init.network.config if init else config
        self.progress = progress
        self._features = features or folder / "features"
        self.train, self.dev = (
            [s for s in samples if s.split == split and s.captions] for split in ("train", "dev")
        )
        for split, part in (("train", self.train), ("dev", self.dev)):
            if not part:
                raise UsageError(
                    f"no captioned sample has split {split!r}; training needs train and dev"
                )
        captions = (caption for sample in self.train for caption in sample.captions)
        self.vocabulary = init.vocabulary if init else Vocabulary.build(captions, options.min_count)
        torch.manual_seed(options.seed)
        self.network = CaptionNetwork(self.config, len(self.vocabulary))
        if init:
            self.network.load_state_dict(init.network.state_dict())
        elif imagenet:
            self.network.encoder.load_imagenet(imagenet)
        self.network.to(machine.device)
        self.position = Position()

    def run(self, resume: bool = False) -> Position:
        """Train to the end. Without ``resume`` the folder must not hold a training yet.

        Raises InputError for a sample that cannot be read, OutputError, and with ``resume``
        UsageError where the checkpoint is missing, broken, or of another training.
        """
        if not resume and (self.folder / CHECKPOINT).exists():
            raise UsageError(
                f"{self.folder} holds a training already; add --resume, or give another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}") from error
        checkpoint = self._load_checkpoint() if resume else None
        for number, stage in enumerate((self._frozen, self._finetune, self._scst)):
            if number >= self.position.stage:
                if number > self.position.stage:
                    self.position.stage, self.position.epoch, self.position.stale = number, 0, 0
                    checkpoint = None
                stage(checkpoint)
        return self.position

    def _frozen(self, checkpoint: dict[str, Any] | None) -> None:
        """Train all but the CNN, by cross entropy."""
        options = self.options
        if options.epochs:
            self._on_features("frozen", options.epochs, options.lr, self._imitate, checkpoint)

    def _scst(self, checkpoint: dict[str, Any] | None) -> None:
        """Train all but the CNN, by what sampled captions are worth."""
        options = self.options
        if not options.scst_epochs:
            return
        references = [[target(self.vocabulary, c) for c in s.captions] for s in self.train]
        consensus = Consensus(references)

        def loss(features: Tensor, batch: Batch) -> Tensor:
            self.network.eval()  # captions are drawn from the network that is then judged

            def reward(row: int, words: Sequence[int]) -> float:
                return consensus.score(batch.samples[row], words)

            rewarded = self_critical(
                self.network, features, reward, SCST_CAPTIONS, MOST_WORDS, options.scst_temperature
            )
            words = batch.words.to(self.machine.device, non_blocking=True)
            imitated = cross_entropy(self.network, features, words, options.label_smoothing)
            return rewarded + options.scst_imitate * imitated

        if checkpoint is None and self.position.history:
            self._take_best()
        self._on_features("scst", options.scst_epochs, options.scst_lr, loss, checkpoint)

    def _finetune(self, checkpoint: dict[str, Any] | None) -> None:
        """Train everything, on pixels, from the best epoch so far."""
        options = self.options
        if not options.finetune_epochs:
            return
        if checkpoint is None and self.position.history:
            self._take_best()
        rest = [p for name, p in self.network.named_parameters() if not name.startswith("encoder.")]
        cnn = self.network.encoder.train_from(options.finetune_from)
        rates = [(rest, options.finetune_lr), (cnn, options.backbone_lr)]
        source = PixelClips(self.train, self.config.image_size)
        dataset = ClipDataset(
            self.train, source, self.vocabulary, options.captions, options.seed + 1
        )
        sampler = BatchSampler(
            len(self.train), options.finetune_batch, options.finetune_frames, options.seed + 1
        )
        epochs = options.finetune_epochs
        self._stage(
            "finetune", epochs, rates, dataset, sampler, self._imitate, self._dev_clip, checkpoint
        )

    def _on_features(
        self, name: str, epochs: int, lr: float, loss: Loss, checkpoint: dict[str, Any] | None
    ) -> None:
        """A stage on the features of still frames, which the CNN computes once."""
        options, encoder = self.options, self.network.encoder.eval().requires_grad_(False)
        # a CNN that this training has changed is of no use to others
        changed = name == "scst" and options.finetune_epochs
        place = self.folder / "features" if changed else self._features
        cache = FeatureCache(place, encoder, [*self.train, *self.dev], options.cached_frames)
        cache.fill(encoder, self.progress, max(READERS, options.workers))
        rates = [([p for p in self.network.parameters() if p.requires_grad], lr)]
        dataset = ClipDataset(
            self.train, FeatureClips(cache), self.vocabulary, options.captions, options.seed
        )
        sampler = BatchSampler(len(self.train), options.batch, options.frames, options.seed)

        def dev(index: int) -> Tensor:
            return evenly(cache[len(self.train) + index], DEV_FRAMES)

        self._stage(name, epochs, rates, dataset, sampler, loss, dev, checkpoint)

    def _take_best(self) -> None:
        best = model_folder.load(self.folder, self.machine.device)
        self.network.load_state_dict(best.network.state_dict())

    def _imitate(self, features: Tensor, batch: Batch) -> Tensor:
        self.network.train()
        words = batch.words.to(self.machine.device, non_blocking=True)
        return cross_entropy(self.network, features, words, self.options.label_smoothing)

    def _stage(
        self,
        name: str,
        epochs: int,
        rates: list[tuple[list[nn.Parameter], float]],
        dataset: ClipDataset,
        sampler: BatchSampler,
        loss: Loss,
        dev: Callable[[int], Tensor],
        checkpoint: dict[str, Any] | None,
    ) -> None:
        """Epochs with one learning-rate cycle, until the last or until the dev score is stale."""
        options, position = self.options, self.position
        steps = epochs * len(sampler)
        learner = Learner(self.network, rates, steps, options, self.machine)
        if checkpoint:
            learner.restore(checkpoint["learner"])
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
            generator=torch.Generator().manual_seed(options.seed),
        )
        while position.epoch < epochs and position.stale < options.patience:
            sampler.epoch = position.epoch
            began = time.monotonic()
            task = self.progress.add_task(
                f"{name} {position.epoch + 1}/{epochs}", total=len(sampler)
            )
            mean_loss = self._epoch(loader, loss, learner, partial(self.progress.advance, task))
            dev_loss, dev_cider = self._score(learner.averaged, dev)
            self.progress.remove_task(task)
            epoch = Epoch(
                epoch=len(position.history) + 1,
                stage=name,
                loss=round(mean_loss, 4),
                dev_loss=round(dev_loss, 4),
                dev_cider=None if dev_cider is None else round(dev_cider, 2),
                lr=learner.lr,
                seconds=round(time.monotonic() - began, 1),
            )
            self._keep(epoch, learner.averaged)
            self._save_checkpoint(learner)
            self.progress.console.print(str(epoch), highlight=False)

    def _keep(self, epoch: Epoch, network: CaptionNetwork) -> None:
        """Put an epoch into the history, and its model into the folder if it is the best so far."""
        position = self.position
        position.epoch += 1
        position.stale += 1
        position.history.append(epoch)
        score = -epoch.dev_loss if epoch.dev_cider is None else epoch.dev_cider
        if score > position.best:
            position.best, position.stale = score, 0
            model_folder.save(self.folder, network, self.vocabulary, self._card())
        write_history(self.folder, position.history)

    def _epoch(
        self,
        loader: "DataLoader[Any]",
        loss_of: Loss,
        learner: Learner,
        advance: Callable[[], None],
    ) -> float:
        """One pass over the training samples; the mean loss of its steps."""
        total, steps = 0.0, 0
        batch: Batch | InputError
        for batch in loader:
            if isinstance(batch, InputError):
                raise batch
            clips = batch.clips.to(self.machine.device, non_blocking=True)
            with self.machine.autocast():
                features = self.network.encode(clips) if clips.dtype == torch.uint8 else clips
                loss = loss_of(features, batch)
            learner.step(loss)
            total, steps = total + loss.item(), steps + 1
            advance()
        return total / steps

    @torch.inference_mode()
    def _score(
        self, network: CaptionNetwork, dev: Callable[[int], Tensor]
    ) -> tuple[float, float | None]:
        """Loss and, if asked for, CIDEr x 100 on the dev split."""
        network.eval()
        encoded = [self._dev_words(sample) for sample in self.dev]
        total, words, said = 0.0, 0, {}
        for indices, clips in in_batches(dev, len(self.dev), 32, self.machine):
            with self.machine.autocast():
                features = network.encode(clips) if clips.dtype == torch.uint8 else clips.float()
                known = pad([encoded[i] for i in indices]).to(features.device)
                loss = cross_entropy(network, features, known, smoothing=0)
            count = sum(len(caption) for i in indices for caption in encoded[i])
            total, words = total + loss.item() * count, words + count
            if self.options.select == "cider":
                with self.machine.autocast():
                    captions = caption_features(network, self.vocabulary, features, SearchOptions())
                said.update({str(i): c.text for i, c in zip(indices, captions, strict=True)})
        references = {str(i): sample.captions for i, sample in enumerate(self.dev)}
        return total / words, cider(said, references) if said else None

    def _card(self) -> str:
        counts = (
            f"{len(self.train)} training and {len(self.dev)} dev samples, "
            f"{len(self.vocabulary)} words and markers."
        )
        return write_card(counts, self.config, self.options, self.position.history)

    def _dev_clip(self, index: int) -> Tensor:
        clip = load_clip(self.dev[index], self.options.cached_frames, self.config.image_size)
        return evenly(clip, DEV_FRAMES)

    def _dev_words(self, sample: Sample) -> list[list[int]]:
        """The same number of captions for each sample, so that they make a batch."""
        words = [target(self.vocabulary, text) for text in sample.captions[:DEV_CAPTIONS]]
        return list(islice(cycle(words), DEV_CAPTIONS))

    def _save_checkpoint(self, learner: Learner) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "position": asdict(self.position),
            "network": self.network.state_dict(),
            "learner": learner.state(),
        }
        write_checkpoint(self.folder / CHECKPOINT, state)

    def _load_checkpoint(self) -> dict[str, Any]:
        state = read_checkpoint(self.folder / CHECKPOINT, self._fingerprint())
        history = [Epoch(**row) for row in state["position"].pop("history")]
        self.position = Position(**state["position"], history=history)
        self.network.load_state_dict(state["network"])
        return state

    def _fingerprint(self) -> str:
        """Of all that a resumed training must have in common with the interrupted one."""
        data = [(s.id, s.split, s.captions) for s in (*self.train, *self.dev)]
        return (
            repr((self.config, self.options, self.machine.precision))
            + sha256(repr((self.vocabulary.words, data)).encode()).hexdigest()
        )
