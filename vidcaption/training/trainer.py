"""The training loop: stages on cached features, and one end to end; resumable at each epoch."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vidcaption.datasets.samples import Sample
from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.evaluation.captioning import load_clip
from vidcaption.evaluation.metrics import check_scoring
from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options import TrainOptions
from vidcaption.training.card import write_card
from vidcaption.training.checkpoint import read_checkpoint, write_checkpoint
from vidcaption.training.clips import (
    MOST_WORDS,
    Batch,
    BatchSampler,
    BlankClips,
    ClipDataset,
    ClipSource,
    FeatureClips,
    PixelClips,
    collate,
    evenly,
    target,
)
from vidcaption.training.consensus import Consensus
from vidcaption.training.distributed import World
from vidcaption.training.features import READERS, FeatureCache
from vidcaption.training.history import Epoch, check_plotting, write_history
from vidcaption.training.judge import judge
from vidcaption.training.learner import Learner
from vidcaption.training.losses import Term, cross_entropy, self_critical

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
DEV_FRAMES = 4
SCST_CAPTIONS = 5

Checkpoint = dict[str, Any] | None
# of features (B, T, R, C), their batch, and the share of the stage that is done
Loss = Callable[[Tensor, Batch, float], list[Term]]


@dataclass
class Position:
    """How far training has come, beside the state of network and optimizer."""

    stage: int = 0
    epoch: int = 0
    best: float = -math.inf
    stale: int = 0
    history: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """Some epochs with one cycle of the learning rate.

    ``rates``: parameters to train and their highest learning rate; ``dev``: the clip of a dev
    sample's index.
    """

    name: str
    epochs: int
    batch: int
    frames: int
    samples: Sequence[Sample]
    source: ClipSource
    dev: Callable[[int], Tensor]
    rates: list[tuple[list[nn.Parameter], float]]
    loss: Loss


class Objective(nn.Module):
    """Network and loss as one module, from a batch to the terms of its loss."""

    def __init__(self, network: CaptionNetwork, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self._loss = loss

    def forward(self, clips: Tensor, batch: Batch, done: float) -> list[Term]:
        features = self.network.encode(clips) if clips.dtype == torch.uint8 else clips
        return self._loss(features, batch, done)


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
        world: World,
        *,
        texts: Sequence[str] = (),
        imagenet: Path | None = None,
        init: model_folder.Model | None = None,
        features: Path | None = None,
    ) -> None:
        """``world``: the processes that train together. ``texts``: sentences without pictures, for
        the decoder to learn from beforehand. ``imagenet``: weights of the whole torchvision
        classifier to start the CNN from. ``init``: a model to start from, whose network
        and vocabulary are kept. ``features``: where features are kept, in ``folder`` unless given.

        Raises UsageError where a split is empty, ModelError where ``imagenet`` does not fit.
        """
        if options.select == "cider":
            check_scoring()
        check_plotting()
        self.folder, self.options, self.machine = folder, options, machine
        self.config = init.network.config if init else config
        self.progress = progress
        self.world = world
        self._features = features or folder / "features"
        self.train, self.dev = (
            [s for s in samples if s.split == split and s.captions] for split in ("train", "dev")
        )
        for split, part in (("train", self.train), ("dev", self.dev)):
            if not part:
                raise UsageError(
                    f"no captioned sample has split {split!r}; training needs train and dev"
                )
        self.texts = [
            Sample(f"text {i}", tuple(texts[i : i + options.captions]), "train")
            for i in range(0, len(texts), options.captions)
        ]
        captions = (caption for sample in self.train for caption in sample.captions)
        self.vocabulary = init.vocabulary if init else Vocabulary.build(captions, options.min_count)
        torch.manual_seed(options.seed)
        self.network = CaptionNetwork(self.config, len(self.vocabulary))
        if init:
            self.network.load_state_dict(init.network.state_dict())
        elif imagenet:
            self.network.encoder.load_imagenet(imagenet)
        self.network.to(machine.device)
        if not self.world.first:  # the first process's numbers are those of a process by itself
            torch.manual_seed(options.seed + self.world.rank)
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
        position, options = self.position, self.options
        stages = (
            (options.text_epochs if self.texts else 0, self._text),
            (options.epochs, self._frozen),
            (options.finetune_epochs, self._finetune),
            (options.scst_epochs, self._scst),
        )
        for number, (epochs, stage) in enumerate(stages):
            if number < position.stage or not epochs:
                continue
            if number > position.stage:
                position.stage, position.epoch, position.stale = number, 0, 0
                checkpoint = None
            if checkpoint is None and position.history:  # go on from the best epoch so far
                best = model_folder.load(self.folder, self.machine.device)
                self.network.load_state_dict(best.network.state_dict())
            self._learn(stage(), checkpoint)
        return position

    def _text(self) -> Stage:
        """Train the decoder on sentences, which belong to no picture."""
        options, blank = self.options, BlankClips(self.network.encoder.channels)
        return Stage(
            "text",
            options.text_epochs,
            options.batch,
            1,
            self.texts,
            blank,
            lambda _: torch.zeros(1, 1, blank.channels),
            [(self._all_but_cnn(), options.lr)],
            self._imitate,
        )

    def _frozen(self) -> Stage:
        """Train all but the CNN, by cross entropy."""
        return self._on_features("frozen", self.options.epochs, self.options.lr, self._imitate)

    def _finetune(self) -> Stage:
        """Train everything, on pixels."""
        options = self.options
        rest = self._all_but_cnn()
        cnn = self.network.encoder.train_from(options.finetune_from)
        return Stage(
            "finetune",
            options.finetune_epochs,
            options.finetune_batch,
            options.finetune_frames,
            self.train,
            PixelClips(self.train, self.config.image_size),
            self._dev_clip,
            [(rest, options.finetune_lr), (cnn, options.backbone_lr)],
            self._imitate,
        )

    def _scst(self) -> Stage:
        """Train all but the CNN, by what sampled captions are worth."""
        options = self.options
        references = [[target(self.vocabulary, c) for c in s.captions] for s in self.train]
        consensus = Consensus(references)

        def loss(features: Tensor, batch: Batch, done: float) -> list[Term]:
            self.network.eval()  # captions are drawn from the network that is then judged

            def reward(row: int, words: Sequence[int]) -> float:
                return consensus.score(batch.samples[row], words)

            rewarded = self_critical(
                self.network, features, reward, SCST_CAPTIONS, MOST_WORDS, options.scst_temperature
            )
            imitated = cross_entropy(
                self.network,
                features,
                batch.words.to(features.device, non_blocking=True),
                smoothing=options.label_smoothing,
                weight=options.scst_imitate,
            )
            return [rewarded, imitated]

        return self._on_features("scst", options.scst_epochs, options.scst_lr, loss)

    def _on_features(self, name: str, epochs: int, lr: float, loss: Loss) -> Stage:
        """A stage on the features of still frames, which the CNN computes once."""
        options, encoder = self.options, self.network.encoder.eval()
        # a CNN that this training has changed is of no use to others
        changed = name == "scst" and options.finetune_epochs
        place = self.folder / "features" if changed else self._features
        cache = FeatureCache(place, encoder, [*self.train, *self.dev], options.cached_frames)
        cache.fill(encoder, self.progress, max(READERS, options.workers))
        return Stage(
            name,
            epochs,
            options.batch,
            options.frames,
            self.train,
            FeatureClips(cache),
            lambda index: evenly(cache[len(self.train) + index], DEV_FRAMES),
            [(self._all_but_cnn(), lr)],
            loss,
        )

    def _all_but_cnn(self) -> list[nn.Parameter]:
        self.network.encoder.requires_grad_(False)
        return [p for p in self.network.parameters() if p.requires_grad]

    def _imitate(self, features: Tensor, batch: Batch, done: float) -> list[Term]:
        self.network.train()
        term = cross_entropy(
            self.network,
            features,
            batch.words.to(features.device, non_blocking=True),
            smoothing=self.options.label_smoothing,
            own_words=self.options.own_words * done,
        )
        return [term]

    def _learn(self, stage: Stage, checkpoint: Checkpoint) -> None:
        """Train until the stage's last epoch, or until the dev score is stale."""
        options, position, world = self.options, self.position, self.world
        # stages differ in what they draw for an epoch
        seed = options.seed + (stage.name == "finetune")
        dataset = ClipDataset(stage.samples, stage.source, self.vocabulary, options.captions, seed)
        sampler = BatchSampler(
            len(stage.samples), stage.batch, stage.frames, seed, world.rank, world.size
        )
        steps = stage.epochs * len(sampler)
        learner = Learner(self.network, stage.rates, steps, options, self.machine, world)
        if checkpoint:
            learner.restore(checkpoint["learner"])
        objective = world.join(Objective(self.network, stage.loss))
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
            generator=torch.Generator().manual_seed(options.seed),
        )
        while position.epoch < stage.epochs and position.stale < options.patience:
            sampler.epoch = position.epoch
            began = time.monotonic()
            task = self.progress.add_task(
                f"{stage.name} {position.epoch + 1}/{stage.epochs}", total=len(sampler)
            )
            loss = self._epoch(loader, objective, learner, partial(self.progress.advance, task))
            dev_loss, dev_cider = judge(
                *(learner.averaged, self.vocabulary, self.dev, stage.dev, self.machine, world),
                with_cider=options.select == "cider",
            )
            self.progress.remove_task(task)
            epoch = Epoch(
                epoch=len(position.history) + 1,
                stage=stage.name,
                loss=round(loss, 4),
                dev_loss=round(dev_loss, 4),
                dev_cider=None if dev_cider is None else round(dev_cider, 2),
                lr=learner.lr,
                seconds=round(time.monotonic() - began, 1),
            )
            self._keep(epoch, learner)

    def _epoch(
        self,
        loader: "DataLoader[Any]",
        objective: nn.Module,
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
                terms = objective(clips, batch, learner.done)
            total, steps = total + learner.step(terms), steps + 1
            advance()
        return self.world.sum(total) / steps

    def _keep(self, epoch: Epoch, learner: Learner) -> None:
        """Put an epoch into history and checkpoint, and its model into the folder if it is the
        best so far."""
        position = self.position
        position.epoch += 1
        position.stale += 1
        position.history.append(epoch)
        score = -epoch.dev_loss if epoch.dev_cider is None else epoch.dev_cider
        better = score > position.best
        if better:
            position.best, position.stale = score, 0
        state = learner.state()
        if self.world.first:
            if better:
                model_folder.save(self.folder, learner.averaged, self.vocabulary, self._card())
            write_history(self.folder, position.history)
            self._save_checkpoint(state)
            logger.info(str(epoch))
        self.world.wait()

    def _card(self) -> str:
        counts = (
            f"{len(self.train)} training and {len(self.dev)} dev samples, "
            f"{len(self.vocabulary)} words and markers."
        )
        return write_card(counts, self.config, self.options, self.position.history)

    def _dev_clip(self, index: int) -> Tensor:
        clip = load_clip(self.dev[index], self.options.cached_frames, self.config.image_size)
        return evenly(clip, DEV_FRAMES)

    def _save_checkpoint(self, learner: dict[str, Any]) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "position": asdict(self.position),
            "network": self.network.state_dict(),
            "learner": learner,
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
        data = [(s.id, s.split, s.captions) for s in (*self.train, *self.dev, *self.texts)]
        return (
            repr((self.config, self.options, self.machine.precision, self.world.size))
            + sha256(repr((self.vocabulary.words, data)).encode()).hexdigest()
        )
