"""Distributed training with the processes of torchrun."""

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from vidcaption.options.captioning import DeviceOptions

T = TypeVar("T")


def own_device(options: DeviceOptions) -> DeviceOptions:
    """``options``, with this process's own GPU if torchrun runs several processes."""
    local = os.environ.get("LOCAL_RANK")
    if local is None or options.device not in ("auto", "cuda") or not torch.cuda.is_available():
        return options
    return replace(options, device=f"cuda:{local}")


class World:
    """This process and its peers; a single one unless torchrun's RANK and WORLD_SIZE are set.

    CPUs communicate by gloo, GPUs by nccl. Each process gets a part of every batch, and of the dev
    samples. None may wait for another longer than PyTorch's timeout, at least 10 minutes.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._device = device
        if self.size > 1 and not distributed.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process writes the model and prints messages."""
        return self.rank == 0

    def join(self, module: nn.Module) -> nn.Module:
        """``module``, with gradients averaged over all processes."""
        return DistributedDataParallel(module) if self.size > 1 else module

    def sum(self, value: float) -> float:
        """The sum of all processes' values."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float32, device=self._device)
        distributed.all_reduce(total)
        return total.item()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of parameters that are not those of a joined module."""
        if self.size == 1:
            return
        for gradient in (each.grad for each in parameters if each.grad is not None):
            distributed.all_reduce(gradient)
            gradient /= self.size

    def gather(self, value: T) -> list[T]:
        """All processes' values, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values

    def take(self, value: T) -> T:
        """The first process's value; the others wait for it."""
        values: list[Any] = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values)
        taken: T = values[0]
        return taken

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Leave the process group, at the end."""
        if self.size > 1:
            distributed.destroy_process_group()
