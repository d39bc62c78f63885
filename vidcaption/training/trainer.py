"""The training loop over stages; resumable at each epoch."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.evaluation.metrics import check_scoring
from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.roles import Roles
from vidcaption.options.training import TrainOptions
from vidcaption.output.text import counted
from vidcaption.reasons import of_system
from vidcaption.training.calibration import calibrate
from vidcaption.training.card import write_card
from vidcaption.training.checkpoint import read_checkpoint, write_checkpoint
from vidcaption.training.clips import (
    Batch,
    BatchSampler,
    ClipDataset,
    ClipSource,
    FeatureClips,
    PixelClips,
    collate,
)
from vidcaption.training.distributed import World
from vidcaption.training.features import READERS, FeatureCache
from vidcaption.training.history import (
    Epoch,
    best_of,
    check_plotting,
    write_history,
    write_plot,
)
from vidcaption.training.learner import Learner
from vidcaption.training.material import Material
from vidcaption.training.objective import Objective
from vidcaption.training.objectives import OBJECTIVES, Loss
from vidcaption.training.stages import Stage, stages_of
from vidcaption.training.tracks import learn_tracks
from vidcaption.types import Watch

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
METRIC_DIGITS = {"cider": 2}
DRAW_S = 10.0  # between two plots, each of which takes longer than an epoch of a small dataset

Checkpoint = dict[str, Any] | None


@dataclass
class Position:
    """How far training has come, beside the state of network and optimizer."""

    stage: int = 0
    epoch: int = 0
    stale: int = 0
    history: list[Epoch] = field(default_factory=list)


class Trainer:
    """Trains one model into one folder: the best epoch's model, checkpoint and history, and a plot
    of it every ``DRAW_S`` seconds."""

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        options: TrainOptions,
        machine: Machine,
        material: Material,
        world: World,
        *,
        watch: Watch | None = None,
        imagenet: Sequence[Path] = (),
        init: model_folder.Model | None = None,
        features: Path | None = None,
    ) -> None:
        """``world``: the processes that train together. ``watch``: shows progress. ``imagenet``:
        weights of the whole classifier to start each CNN from. ``init``: a model to start from,
        whose network and vocabulary are kept, apart from the number of frames. ``features``: where
        features are kept, in ``folder`` unless given.

        Raises ModelError where ``imagenet`` does not fit, UsageError where a stage cannot be.
        """
        self.config = replace(init.network.config, frames=config.frames) if init else config
        if options.select == "cider" and self.config.writes:
            check_scoring()
        check_plotting()
        stages = stages_of(options)
        self.folder, self.options, self.machine = folder, options, machine
        self.world = world
        self._watch = watch
        self._features = features or folder / "features"
        self._given = init is not None
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
        if isinstance(self.network.slots, Roles) and not init:
            self.network.slots.take(*material.role_tables())
        self.network.to(machine.device)
        self.objectives: dict[str, Objective] = {
            name: OBJECTIVES[name](self.network, material, machine, world).to(machine.device)
            for name in dict.fromkeys(name for stage in stages for name in stage.objectives)
        }
        # without those that this network or material does not have
        self._stages = [
            stage for stage in stages if stage.parameters(self.network) and self._weights(stage)
        ]
        if not self._stages:
            raise UsageError(
                "there is nothing to train: no stage has epochs, or the network has none of its "
                "parts; give --epochs, or leave --stage out"
            )
        if not self.world.first:  # the first process's numbers are those of a process by itself
            torch.manual_seed(options.seed + self.world.rank)
        self.position = Position()
        self._drawn_s = time.monotonic()

    def _weights(self, stage: Stage) -> dict[Objective, float]:
        """The objectives of a stage that there is something to learn by."""
        every = {self.objectives[name]: weight for name, weight in stage.objectives.items()}
        return {
            each: weight
            for each, weight in every.items()
            if each.applies(self.network, self.material, stage.options)
        }

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
            raise OutputError(f"cannot write to {self.folder}: {of_system(error)}") from error
        checkpoint = self._load_checkpoint() if resume else None
        epochs = [(stage.options.epochs, stage.name) for stage in self._stages]
        parts = ", ".join(f"{count} {name}" for count, name in epochs)
        most = counted(sum(count for count, _ in epochs), "epoch")
        logger.info(f"training for at most {most}: {parts}")
        position = self.position
        if self.network.encoder.tracks is not None and not (resume or self._given):
            learn_tracks(self.network.encoder, self.train)
        for number, stage in enumerate(self._stages):
            if number < position.stage:
                continue
            if number > position.stage:
                position.stage, position.epoch, position.stale = number, 0, 0
                checkpoint = None
            if checkpoint is None and position.history:  # go on from the best epoch so far
                best = model_folder.load(self.folder, self.machine.device)
                self.network.load_state_dict(best.network.state_dict())
            self._learn(stage, checkpoint)
        if self.world.first and position.history and self.network.confidence:
            best = model_folder.load(self.folder, self.machine.device)
            pixels, first = self._pixels(self.options), self.material.first_dev
            calibrate(best, self.dev, lambda i: pixels.look(first + i), self.machine)
            model_folder.save(self.folder, best.network, self.vocabulary, self._card())
        return position

    def _pixels(self, options: TrainOptions) -> PixelClips:
        seen = self.config.input
        moves = self._moves(options)
        return PixelClips(
            *(self.material.samples, seen.image_size, options.cached_frames, self.config.frames),
            *(seen.flow, moves),
        )

    def _moves(self, options: TrainOptions) -> bool:
        """Whether a simulated camera moves, which optical flow would have to show, and boxes would
        have to follow."""
        still = self.config.input.flow or "regions" in self.network.heads
        return options.camera == "moves" and not still

    def _cached(self, stage: Stage, rows: Sequence[int]) -> FeatureClips:
        """The features of ``rows`` and of all that is judged, which the CNN computes once."""
        material, encoder = self.material, self.network.encoder.eval()
        samples = material.samples
        needed = sorted({*rows, *material.held_out, *range(material.first_dev, len(samples))})
        # a CNN that this training has changed is of no use to others
        changed = any("cnn" in each.trains for each in self._stages[: self.position.stage])
        cache = FeatureCache(
            self.folder / "features" if changed else self._features,
            encoder,
            [samples[row] for row in needed],
            stage.options.cached_frames,
            self.machine,
        )
        cache.fill(encoder, self._watch, max(READERS, self.options.workers))
        places = {row: place for place, row in enumerate(needed)}
        return FeatureClips(cache, places, self.config.frames, self._moves(stage.options))

    def _learn(self, stage: Stage, checkpoint: Checkpoint) -> None:
        """Train until the stage's last epoch, or until the dev score is stale."""
        options, position, world = stage.options, self.position, self.world
        rates, objectives = stage.parameters(self.network), self._weights(stage)
        first, samples = next(iter(objectives)), self.material.samples
        rows = [i for i in first.rows() if all(each.takes(samples[i]) for each in objectives)]
        pixels = stage.source == "pixels"
        source: ClipSource = self._pixels(options) if pixels else self._cached(stage, rows)
        for each in objectives:
            each.begin(self.network, source.look)
        # sources differ in what they draw for an epoch
        seed = options.seed + pixels
        dataset = ClipDataset(*(samples, rows, source, self.vocabulary, options.captions, seed))
        sampler = BatchSampler(
            *(len(rows), options.batch, options.frames, seed, world.rank, world.size)
        )
        module = Loss(self.network, objectives, options)
        learner = Learner(
            module, rates, options.epochs * len(sampler), options, self.machine, world
        )
        if checkpoint:
            learner.restore(checkpoint["learner"])
        joined = world.join(module)
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
            generator=torch.Generator().manual_seed(options.seed),
        )
        while position.epoch < options.epochs and position.stale < options.patience:
            sampler.epoch = position.epoch
            began = time.monotonic()
            label = f"{stage.name} {position.epoch + 1}/{options.epochs}"
            loss = self._epoch(label, loader, joined, module, learner)
            metrics = first.judge(learner.averaged, source.look, options)
            epoch = Epoch(
                epoch=len(position.history) + 1,
                stage=stage.name,
                loss=round(loss, 4) if all(each.in_nats for each in objectives) else None,
                metrics={k: round(v, METRIC_DIGITS.get(k, 4)) for k, v in metrics.items()},
                lr=learner.lr,
                seconds=round(time.monotonic() - began, 1),
            )
            self._keep(epoch, learner)

    def _epoch(
        self,
        label: str,
        loader: "DataLoader[Any]",
        joined: nn.Module,
        module: Loss,
        learner: Learner,
    ) -> float:
        """One pass over the training samples; the mean loss of its steps."""
        total, steps = 0.0, 0
        if self._watch:
            self._watch(label, len(loader), lambda: steps)
        batch: Batch | InputError
        for batch in loader:
            if isinstance(batch, InputError):
                raise batch
            clips = batch.clips.to(self.machine.device, non_blocking=True)
            with self.machine.autocast():
                terms = joined(clips, batch, learner.done)
            total, steps = total + learner.step(terms), steps + 1
            module.update()
        return self.world.sum(total) / steps

    def _keep(self, epoch: Epoch, learner: Learner) -> None:
        """Put an epoch into history and checkpoint, and its model into the folder if it is the
        best so far."""
        position = self.position
        position.epoch += 1
        position.stale += 1
        position.history.append(epoch)
        better = best_of(position.history) is epoch
        if better:
            position.stale = 0
        state = learner.state()
        if self.world.first:
            if better:
                model_folder.save(self.folder, learner.averaged, self.vocabulary, self._card())
            write_history(self.folder, position.history)
            if time.monotonic() - self._drawn_s >= DRAW_S:
                write_plot(self.folder, position.history)
                self._drawn_s = time.monotonic()
            self._save_checkpoint(state)
            ahead = sum(stage.options.epochs for stage in self._stages[position.stage :])
            logger.info(epoch.in_words(len(position.history) + ahead - position.epoch))
        self.world.wait()

    def _card(self) -> str:
        words = self.vocabulary
        told = {"labels": words.labels, "kinds of objects": words.things}
        told["predicates"] = words.predicates
        more = "".join(f", {len(each)} {name}" for name, each in told.items() if each)
        counts = (
            f"{len(self.train)} training and {len(self.dev)} dev samples, {len(words)} words and "
            f"markers{more}."
        )
        return write_card(counts, self.config, self.options, self.position.history)

    def _save_checkpoint(self, learner: dict[str, Any]) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "position": asdict(self.position),
            "network": self.network.state_dict(),
            "objectives": nn.ModuleDict(self.objectives).state_dict(),
            "learner": learner,
        }
        write_checkpoint(self.folder / CHECKPOINT, state)

    def _load_checkpoint(self) -> dict[str, Any]:
        state = read_checkpoint(self.folder / CHECKPOINT, self._fingerprint())
        history = [Epoch(**row) for row in state["position"].pop("history")]
        self.position = Position(**state["position"], history=history)
        self.network.load_state_dict(state["network"])
        nn.ModuleDict(self.objectives).load_state_dict(state["objectives"])
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
