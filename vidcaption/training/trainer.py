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
from vidcaption.evaluation.captioning import in_batches, load_clip
from vidcaption.evaluation.metrics import check_scoring
from vidcaption.model import folder as model_folder
from vidcaption.model.concepts import Concepts
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import search
from vidcaption.options.captioning import SearchOptions
from vidcaption.options.training import TrainOptions
from vidcaption.training.calibration import fit, rightness
from vidcaption.training.card import write_card
from vidcaption.training.checkpoint import read_checkpoint, write_checkpoint
from vidcaption.training.clips import (
    MOST_WORDS,
    Batch,
    BatchSampler,
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
from vidcaption.training.losses import Term, classification, cross_entropy, self_critical
from vidcaption.training.material import Material

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

    ``judge``: dev loss and CIDEr of a network; ``rates``: parameters to train and their highest
    learning rate.
    """

    name: str
    epochs: int
    batch: int
    frames: int
    samples: Sequence[Sample]
    source: ClipSource
    judge: Callable[[CaptionNetwork], tuple[float, float | None]]
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
        material: Material,
        progress: Progress,
        world: World,
        *,
        imagenet: Sequence[Path] = (),
        init: model_folder.Model | None = None,
        features: Path | None = None,
    ) -> None:
        """``world``: the processes that train together. ``imagenet``: weights of the whole
        classifier to start each CNN from. ``init``: a model to start from, whose network
        and vocabulary are kept. ``features``: where features are kept, in ``folder`` unless given.

        Raises ModelError where ``imagenet`` does not fit.
        """
        if options.select == "cider":
            check_scoring()
        check_plotting()
        self.folder, self.options, self.machine = folder, options, machine
        self.config = init.network.config if init else config
        self.progress = progress
        self.world = world
        self._features = features or folder / "features"
        self.material, self.vocabulary = material, material.vocabulary
        self.train, self.dev = material.train, material.dev
        torch.manual_seed(options.seed)
        self.network = CaptionNetwork(self.config, self.vocabulary)
        if init:
            self.network.load_state_dict(init.network.state_dict())
        elif imagenet:
            last = self.network.encoder.load_imagenet(imagenet)
            if self.network.classifier and last:
                self.network.classifier.take_classes(last)
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
                f"{self.folder} already contains a training; add --resume, or use another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}") from error
        checkpoint = self._load_checkpoint() if resume else None
        position, options = self.position, self.options
        stages = (
            (options.concept_epochs if self.network.classifier else 0, self._classify),
            (options.epochs, self._frozen),
            (options.finetune_epochs, self._finetune),
            (options.scst_epochs, self._scst),
        )
        for number, (epochs, stage) in enumerate(stages):
            if number < position.stage or not epochs:
                continue
            if number > position.stage:
                position.stage, position.epoch, position.stale = number, 0, 0
                if number == 1:  # what the classifier scored is no measure of captions
                    position.best = -math.inf
                checkpoint = None
            if checkpoint is None and position.history:  # go on from the best epoch so far
                best = model_folder.load(self.folder, self.machine.device)
                self.network.load_state_dict(best.network.state_dict())
            self._learn(stage(), checkpoint)
        if self.world.first and position.history and self.network.confidence:
            self._calibrate()
        return position

    def _classify(self) -> Stage:
        """Train the content classifier alone, on all samples that show concepts."""
        material = self.material
        held_out = set(material.held_out)
        learnt = [i for i in range(len(material.known)) if i not in held_out]
        samples = [[*material.train, *material.pictures][i] for i in learnt]
        cache = self._cache(self._features, material.pictures)
        self.network.requires_grad_(False)
        assert self.network.classifier is not None
        self.network.classifier.requires_grad_(True)

        def loss(features: Tensor, batch: Batch, done: float) -> list[Term]:
            self.network.train()
            return [self._tell_concepts(features, [learnt[i] for i in batch.samples])]

        return Stage(
            "concepts",
            self.options.concept_epochs,
            self.options.batch,
            2,
            samples,
            FeatureClips(cache, [self._row(i) for i in learnt]),
            lambda network: self._judge_concepts(network, lambda i: evenly(cache[i], DEV_FRAMES)),
            [(list(self.network.classifier.parameters()), self.options.concept_lr)],
            loss,
        )

    def _row(self, index: int) -> int:
        """Where a sample of ``targets`` stands in the feature cache."""
        return index if index < len(self.train) else index + len(self.dev)

    def _tell_concepts(self, features: Tensor, rows: Sequence[int], weight: float = 1.0) -> Term:
        """How far the classifier is from the targets of these rows."""
        targets, known = self.material.targets[rows], self.material.known[rows]
        device = features.device
        return classification(self.network, features, targets.to(device), known.to(device), weight)

    def _frozen(self) -> Stage:
        """Train the decoder, by cross entropy."""
        return self._on_features("frozen", self.options.epochs, self.options.lr, self._imitate)

    def _finetune(self) -> Stage:
        """Train everything, on pixels."""
        options = self.options
        rest = self._decoder()
        cnn = self.network.encoder.train_from(options.finetune_from)
        if self.network.classifier:
            self.network.classifier.requires_grad_(True)
            cnn = [*cnn, *self.network.classifier.parameters()]
        clips = PixelClips(self.train, self.config.input.image_size)
        self._measure(lambda i: load_clip(self.train[i], DEV_FRAMES, self.config.input.image_size))

        def loss(features: Tensor, batch: Batch, done: float) -> list[Term]:
            terms = self._imitate(features, batch, done)
            if self.network.classifier:
                terms.append(self._tell_concepts(features, batch.samples, options.concept_weight))
            return terms

        return Stage(
            "finetune",
            options.finetune_epochs,
            options.finetune_batch,
            options.finetune_frames,
            self.train,
            clips,
            partial(self._judge, self._dev_clip),
            [(rest, options.finetune_lr), (cnn, options.backbone_lr)],
            loss,
        )

    def _scst(self) -> Stage:
        """Train the decoder by what sampled captions are worth."""
        options = self.options
        references = [[target(self.vocabulary, c) for c in s.captions] for s in self.train]
        consensus = Consensus(references)

        def loss(features: Tensor, batch: Batch, done: float) -> list[Term]:
            self.network.eval()  # captions are drawn from the network that is then judged

            def reward(row: int, words: Sequence[int]) -> float:
                sample = batch.samples[row]
                worth = consensus.score(sample, words)
                if options.scst_concepts and self.network.classifier:
                    worth += options.scst_concepts * 10 * self.material.agree(sample, words)
                return worth

            rewarded = self_critical(
                self.network, features, reward, SCST_CAPTIONS, MOST_WORDS, options.scst_temperature
            )
            return [rewarded, *self._imitate(features, batch, done, options.scst_imitate)]

        return self._on_features("scst", options.scst_epochs, options.scst_lr, loss)

    def _on_features(self, name: str, epochs: int, lr: float, loss: Loss) -> Stage:
        """A stage on the features of still frames, which the CNN computes once."""
        options = self.options
        # a CNN that this training has changed is of no use to others
        changed = name == "scst" and options.finetune_epochs
        cache = self._cache(self.folder / "features" if changed else self._features)
        self._measure(lambda i: evenly(cache[i], DEV_FRAMES))
        return Stage(
            name,
            epochs,
            options.batch,
            options.frames,
            self.train,
            FeatureClips(cache, range(len(self.train))),
            partial(self._judge, lambda i: evenly(cache[len(self.train) + i], DEV_FRAMES)),
            [(self._decoder(), lr)],
            loss,
        )

    def _cache(self, folder: Path, pictures: Sequence[Sample] = ()) -> FeatureCache:
        """The features of train, dev and ``pictures``, in this order."""
        encoder = self.network.encoder.eval()
        samples = [*self.train, *self.dev, *pictures]
        cache = FeatureCache(folder, encoder, samples, self.options.cached_frames, self.machine)
        cache.fill(encoder, self.progress, max(READERS, self.options.workers))
        return cache

    @torch.inference_mode()
    def _measure(self, clip: Callable[[int], Tensor]) -> None:
        """See how sure the classifier is of samples that it never learnt, for the sentences."""
        held_out, classifier = self.material.held_out, self.network.classifier
        if classifier is None or not self.material.has_texts:
            return
        self.network.eval()
        rows = torch.empty(len(held_out), len(self.vocabulary.concepts))
        batches = in_batches(lambda i: clip(held_out[i]), range(len(held_out)), 32, self.machine)
        for indices, clips in batches:
            with self.machine.autocast():
                features = self.network.encode(clips) if clips.dtype == torch.uint8 else clips
                rows[indices] = classifier(features.float()).sigmoid().mean(1).float().cpu()
        self.material.measure(rows, self.config.concept_slots)

    def _judge(
        self, clip: Callable[[int], Tensor], network: CaptionNetwork
    ) -> tuple[float, float | None]:
        """``clip``: of a dev sample's index."""
        with_cider = self.options.select == "cider"
        return judge(
            *(network, self.vocabulary, self.dev, clip, self.machine, self.world),
            with_cider=with_cider,
        )

    @torch.inference_mode()
    def _judge_concepts(
        self, network: CaptionNetwork, clip: Callable[[int], Tensor]
    ) -> tuple[float, None]:
        """Mean cross entropy of the concepts of the samples held out."""
        material, total = self.material, 0.0
        assert network.classifier is not None
        network.eval()
        for indices, features in in_batches(clip, material.held_out, 32, self.machine):
            targets = material.targets[indices].to(features.device)
            known = torch.ones_like(targets)
            total += classification(network, features.float(), targets, known).total.item()
        return total / max(1, len(material.held_out)), None

    def _calibrate(self) -> None:
        """Fit the confidence of the best epoch's model to its captions of the dev samples."""
        model = model_folder.load(self.folder, self.machine.device)
        network, rows, right = model.network, [], []
        assert network.confidence is not None
        for indices, clips in in_batches(self._dev_clip, range(len(self.dev)), 32, self.machine):
            with self.machine.autocast(), torch.no_grad():
                features = network.encode(clips)
                concepts = network.recognise(features, network.detect(clips))
                memory = network.remember(features, concepts)
                captions = search(network.decoder, memory, SearchOptions())
            assert concepts is not None
            rows.append(network.confidence.describe(captions, concepts))
            for index, caption in zip(indices, captions, strict=True):
                text = " ".join(self.vocabulary.decode(caption.ids))
                right.append(rightness(text, self.dev[index].captions))
        fit(network.confidence, torch.cat(rows), torch.tensor(right))
        model_folder.save(self.folder, network, self.vocabulary, self._card())

    def _decoder(self) -> list[nn.Parameter]:
        """The parameters of all but CNN, classifier and detector, which do not train."""
        self.network.requires_grad_(True)
        for part in (self.network.encoder, self.network.classifier, self.network.detector):
            if part is not None:
                part.requires_grad_(False)
        return [p for p in self.network.parameters() if p.requires_grad]

    def _imitate(
        self, features: Tensor, batch: Batch, done: float, weight: float = 1.0
    ) -> list[Term]:
        """Cross entropy of the samples' captions and of some sentences without pictures."""
        options, device = self.options, features.device
        if weight == 1.0:
            self.network.train()
        terms = [
            cross_entropy(
                self.network,
                features,
                batch.words.to(device, non_blocking=True),
                smoothing=options.label_smoothing,
                own_words=options.own_words * done,
                evenly=options.even_attention,
                weight=weight,
            )
        ]
        if self.material.has_texts and options.text_batch:
            words, concepts = self.material.draw(options.text_batch)
            blank = torch.zeros(len(words), 1, 1, features.shape[-1], device=device)
            terms.append(
                cross_entropy(
                    self.network,
                    blank,
                    words.to(device),
                    concepts=concepts and Concepts(*(x.to(device) for x in concepts)),
                    smoothing=options.label_smoothing,
                    weight=weight * options.text_weight,
                )
            )
        return terms

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
            dev_loss, dev_cider = stage.judge(learner.averaged)
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
        clip = load_clip(self.dev[index], self.options.cached_frames, self.config.input.image_size)
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

    def _fingerprint(self) -> dict[str, Any]:
        """All that a resumed training must have in common with the interrupted one."""
        return {
            "dataset": sha256(repr(self.material.describe()).encode()).hexdigest(),
            **self.config.flat_values(),
            **self.options.flat_values(),
            "--precision": self.machine.precision,
            "number of processes": self.world.size,
        }
