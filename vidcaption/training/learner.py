"""Updates of a network: optimizer, learning rate, and the moving average of its weights."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adagrad, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.options.training import TrainOptions
from vidcaption.training.distributed import World
from vidcaption.training.losses import Term
from vidcaption.training.objectives import Loss

_OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "adam": Adam, "adagrad": Adagrad}


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate: rises linearly over the first ``warmup`` of steps, then decays by a
    half cosine to 0 (Loshchilov and Hutter 2017, eq. 5)."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential moving average of weights, over few steps at first so that the initial weights
    are forgotten (the rule of TensorFlow's ExponentialMovingAverage)."""

    def update(averaged: Any, current: Any, seen: Tensor | int) -> None:
        now = min(decay, (1 + int(seen)) / (10 + int(seen)))
        get_ema_multi_avg_fn(now)(averaged, current, seen)

    return update


class Learner:
    """One stage's updates of a network, and its exponential moving average, which is scored and
    saved (Polyak and Juditsky 1992)."""

    def __init__(
        self,
        loss: Loss,
        rates: Iterable[tuple[Iterable[nn.Parameter], float]],
        steps: int,
        options: TrainOptions,
        machine: Machine,
        world: World,
    ) -> None:
        """``rates``: parameters of the network and their peak learning rate; the objectives' have
        the first; ``steps``: of the whole stage."""
        self._loss, self._options, self._machine = loss, options, machine
        self._world, self._steps = world, steps
        extra: dict[str, Any] = (
            {"weight_decay": options.weight_decay} if options.optimizer == "adamw" else {}
        )
        groups = [{"params": list(parameters), "lr": lr} for parameters, lr in rates]
        if own := list(loss.together.parameters()):
            groups.append({"params": own, "lr": groups[0]["lr"]})
        self._optimizer = _OPTIMIZERS[options.optimizer](groups, **extra)
        self._schedule = LambdaLR(
            self._optimizer, partial(learning_rate, steps=steps, warmup=options.warmup)
        )
        # gradients of fp16 products underflow unless scaled; has no effect for other formats
        self._scaler = torch.amp.GradScaler(
            machine.device.type, enabled=machine.dtype == torch.float16
        )
        self._average = AveragedModel(loss.network, multi_avg_fn=_moving_average(options.ema))
        # left-over gradients of an earlier stage would count in gradient clipping
        loss.zero_grad(set_to_none=True)

    @property
    def averaged(self) -> CaptionNetwork:
        """The network to evaluate: the moving average of the weights."""
        return cast(CaptionNetwork, self._average.module)

    @property
    def lr(self) -> float:
        """The current learning rate of the first group."""
        return float(self._schedule.get_last_lr()[0])

    @property
    def done(self) -> float:
        """Share of the stage's steps that are done."""
        return self._schedule.last_epoch / self._steps

    def step(self, terms: Sequence[Term]) -> float:
        """Update the network from the gradients of the loss, the weighted sum of the terms' means
        over all processes' words. Gives this process's part of that sum."""
        world = self._world
        parts = [t.weight * t.total / world.sum(t.words) for t in terms]
        loss = torch.stack(parts).sum()
        self._optimizer.zero_grad(set_to_none=True)
        # times size, as gradients are averaged over processes afterwards
        self._scaler.scale(loss * world.size).backward()
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._loss.parameters(), self._options.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        self._average.update_parameters(self._loss.network)
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on except the network, including the random states of
        all processes."""
        state: dict[str, Any] = {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": self._average.state_dict(),
            "random": self._world.gather(torch.get_rng_state()),
        }
        if self._machine.device.type == "cuda":  # dropout there has its own generator
            own = torch.cuda.get_rng_state(self._machine.device)
            state["cuda_random"] = self._world.gather(own)
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a ``state``."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self._average.load_state_dict(state["average"])
        torch.set_rng_state(state["random"][self._world.rank])
        if self._machine.device.type == "cuda":
            own = state["cuda_random"][self._world.rank]
            torch.cuda.set_rng_state(own, self._machine.device)
