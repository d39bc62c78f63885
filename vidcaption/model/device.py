"""The device and number format of a network."""

import ctypes
import os
import platform
import re
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from vidcaption.cpus import cpu_count
from vidcaption.errors import DeviceError, UsageError
from vidcaption.options.captioning import DeviceOptions

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
_NAME = re.compile(r"(cpu|mps)(?::0)?|(cuda)(?::(0|[1-9][0-9]{0,8}))?")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """An available device, and the number format of its matrix products.

    ``process``: the one that found it.
    """

    device: torch.device
    dtype: torch.dtype
    process: int = field(default_factory=os.getpid, compare=False)

    @classmethod
    def find(cls, options: DeviceOptions | None = None) -> "Machine":
        """Apply the options, including CPU threads, which apply to the whole process.

        Raises UsageError, DeviceError.
        """
        options = options or DeviceOptions()
        found = _device(options.device)
        # PyTorch does not see the limit of a container's CPU time
        threads = options.threads or min(torch.get_num_threads(), cpu_count())
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        if options.precision == "auto":
            return cls(found, _fastest(found))
        if found.type == "cpu" and options.precision == "fp16":
            raise DeviceError("--precision fp16 is for GPUs; on the CPU use fp32 or bf16")
        if found.type == "cpu" and options.precision == "bf16" and not _has_avx512():
            raise DeviceError("--precision bf16 needs AVX-512 on the CPU; use fp32")
        return cls(found, _DTYPES[options.precision])

    @property
    def precision(self) -> str:
        """The number format, as in ``--precision``."""
        return next(name for name, dtype in _DTYPES.items() if dtype == self.dtype)

    def check_process(self) -> None:
        """Prepare this process, if it was forked from the one that found the machine.

        PyTorch would wait for its threads, which do not survive a fork; so the CPU uses a single
        thread, as in the processes of PyTorch's DataLoader. Raises
        DeviceError for a GPU, which cannot be used after a fork.
        """
        if self.process == os.getpid():
            return
        if self.device.type != "cpu":
            raise DeviceError(
                f"the model was loaded on {self.device} before this process was forked, and a GPU "
                "cannot be used after a fork; load the model in this process, or start processes "
                "by the method 'spawn'"
            )
        torch.set_num_threads(1)

    def keep_freed_memory(self) -> None:
        """On the CPU, make glibc reuse the memory of large tensors, for the whole process.

        Otherwise it returns it after each layer and maps every activation again, and more than a
        third of a CNN's time goes into page faults: see benchmarks/allocator.py.
        """
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        if self.device.type == "cpu" and libc and hasattr(libc, "mallopt"):  # musl lacks it
            libc.mallopt(M_ARENA_MAX, 1)  # arenas of other threads return memory
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, -1)

    def mark(self) -> "Mark":
        """This point in the work queued on the machine."""
        return Mark(self.device)

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which a network runs with this machine's number format."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


class Mark:
    """A point in the work queued on a device, which a GPU reaches later."""

    def __init__(self, device: torch.device) -> None:
        self._time_s = time.monotonic()
        self._event = None
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))

    def seconds_since(self, earlier: "Mark") -> float:
        """Of work on the same device, which must be past this point: where a result was fetched."""
        if self._event is not None and earlier._event is not None:
            milliseconds: float = earlier._event.elapsed_time(self._event)
            return milliseconds / 1000
        return self._time_s - earlier._time_s


def _device(name: str) -> torch.device:
    if name == "auto":
        kinds = [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())]
        return torch.device(next((kind for kind, there in kinds if there), "cpu"))
    # not PyTorch's own parser, which takes cuda:999 for a negative number
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise UsageError(f"--device is {name!r}; allowed are auto, cpu, cuda, cuda:N and mps")
    kind, number = parts[1] or parts[2], int(parts[3] or 0)
    if kind == "cuda" and number >= torch.cuda.device_count():
        raise DeviceError(
            f"--device is {name!r}, but PyTorch finds {torch.cuda.device_count()} CUDA devices here"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("--device is 'mps', but PyTorch finds no Apple GPU")
    return torch.device(name)


def _has_avx512() -> bool:
    """Required by oneDNN's bf16 LSTM; on other processors than x86 it decides itself."""
    capability = torch.backends.cpu.get_cpu_capability()
    return capability not in ("DEFAULT", "AVX2") or platform.machine() not in ("x86_64", "AMD64")


def _fastest(device: torch.device) -> torch.dtype:
    """The fastest format of equal quality: half precision if the hardware supports it."""
    if device.type == "cuda":
        # PyTorch emulates bf16 on older GPUs, slowly
        native = torch.version.hip or torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    if device.type == "cpu" and _has_avx512_bf16():
        return torch.bfloat16
    return torch.float32


def _has_avx512_bf16() -> bool:
    """Also False if PyTorch is too old to know: fp32 is correct, but slower."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    return capabilities is not None and bool(capabilities().get("avx512_bf16"))
