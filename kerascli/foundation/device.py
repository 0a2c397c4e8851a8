"""Choice of device and threads, each with its reason, and process-wide settings of torch and the allocator."""

import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.waiting import adapt_waiting

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameter numbers of `mallopt` in glibc's malloc.h."""
LARGE_BYTES = 2**22
"""Size of tensors whose memory processes return that must need little; the kernel fills new pages with zeros."""
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Environment variables that name the GPUs that a process may see."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Automatic choice of a device, or of an execution mode (eager, traced or compiled), with the reason."""

    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Threads:
    """Number of CPU threads, with the reason; an unexpected number is reported to the user."""

    count: int
    reason: str
    unexpected: bool = False


def choose_device(device: str = "auto", *, recorded: str | None = None) -> Choice:
    """Return the available device for `auto`, `cpu`, `cuda`, `cuda:1` or `mps`, with the reason.

    `recorded` is the device of a resumed run, for `auto`. Raises ConfigError if the device is not available.
    """
    if device == "auto" and recorded is not None:
        return Choice(choose_device(recorded).value, "as in the run")
    if device == "auto":
        return _best_device()
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", device, re.ASCII):
        raise ConfigError(f"--device: expected auto, cpu, cuda, cuda:N or mps, got '{device}'")
    if missing := _missing(device):
        raise ConfigError(f"--device {device}: {missing}", hint="--device auto takes the best one available")
    return Choice(device, "asked for")


def _best_device() -> Choice:
    if torch.cuda.is_available():
        return Choice("cuda", f"{torch.cuda.get_device_name(0)} found")
    if torch.backends.mps.is_available():
        return Choice("mps", "Apple GPU found")
    if torch.version.cuda is None and torch.version.hip is None:
        return Choice("cpu", "this torch is built for the CPU only")
    return Choice("cpu", "no GPU found")


def _missing(device: str) -> str | None:
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return None
    if kind == "mps":
        return None if torch.backends.mps.is_available() else "no Apple GPU found"
    if not torch.cuda.is_available():
        return "no CUDA device found"
    if index and int(index) >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} CUDA devices, numbered from 0"
    return None


def use_threads(count: int | None = None, *, recorded: int | None = None, share: int = 1) -> Threads:
    """Set and return the number of CPU threads: `count`, else `recorded` (the number in the resumed run), else torch's
    default.

    The default is divided by `share`, the number of processes that share the CPUs. It is limited to the CPUs that may
    be used: torch itself takes one thread per physical core that the process may run on, whatever the cgroup's quota,
    or the number in the environment. A resumed run keeps its number, since the last bits of some sums depend on it.
    """
    own = _shared(_own_threads(), share)
    if count is not None and recorded not in (None, count):
        reason = f"asked for; the run went on with {recorded} until now: the last bits may differ"
        chosen = Threads(count, reason, unexpected=True)
    elif count is not None:
        chosen = Threads(count, "asked for")
    elif recorded is not None:
        chosen = Threads(recorded, "as in the run", unexpected=recorded != own.count)
    else:
        chosen = own
    if chosen.count != torch.get_num_threads():
        torch.set_num_threads(chosen.count)
    adapt_waiting(chosen.count)
    return chosen


@contextmanager
def one_thread(applies: bool = True) -> Iterator[None]:
    """Context manager, also a decorator, in which operations run in one thread (if it `applies`): in short ones,
    threads would wait for each other most of the time."""
    threads = torch.get_num_threads()
    if applies:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if applies:
            torch.set_num_threads(threads)


def _shared(all_of_them: Threads, share: int) -> Threads:
    if share == 1 or all_of_them.reason.endswith("_NUM_THREADS"):
        return all_of_them
    count = max(1, all_of_them.count // share)
    return Threads(count, f"{all_of_them.count} for {share} processes or shards on this machine")


def _own_threads() -> Threads:
    """Return the default number of CPU threads, used if neither an option nor an earlier run sets it."""
    count, limit = torch.get_num_threads(), cpu_limit()
    if variables := [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(name)]:
        return Threads(count, variables[0])
    if limit.reason is None or limit.count > count:
        return Threads(count, "one a core")
    return Threads(limit.count, limit.reason, unexpected=True)


def of_process(device: Choice, local_rank: int, local_size: int) -> Choice:
    """Return the device of one of several processes on a machine, made CUDA's current one: each has its own GPU.

    Schedulers such as Slurm (`--gpus-per-task=1`) let each process see its own alone. Raises ConfigError.
    """
    if device.value == "mps":
        raise ConfigError("an Apple GPU cannot be shared by several processes", hint="--device cpu")
    if device.value.startswith("cuda:") and local_size > 1:
        text = f"--device {device.value}: one GPU, for {local_size} processes of this machine"
        raise ConfigError(text, hint="--device cuda: each process has a GPU of its own")
    if device.value.startswith("cuda:"):
        torch.cuda.set_device(device.value)
    if device.value != "cuda":
        return device
    count = torch.cuda.device_count()
    index = 0 if count == 1 and any(os.environ.get(name) for name in _VISIBLE) else local_rank
    if index >= count:
        text = f"process {local_rank} of this machine has no GPU: there are {count}"
        raise ConfigError(text, hint="start one process for each GPU, or choose --device cpu")
    torch.cuda.set_device(index)
    return Choice(f"cuda:{index}", device.reason)


def prepare_cpu() -> None:
    """Set up the processor, the allocator and Python's garbage collector for faster training; call it before the first
    tensor is made.

    Denormal numbers are flushed to zero, as by XLA: moving averages that decay towards zero are many times slower
    otherwise. Threads inherit that when they start.
    """
    if not gc.isenabled():  # all modules are imported: what they have made is no garbage
        gc.freeze()
        gc.enable()
    torch.set_flush_denormal(True)
    # By default glibc's malloc maps new pages for each tensor above some size and returns them at once: a convolutional
    # network then spends a sixth of its time in the kernel, which fills new pages with zeros. Freed memory is kept.
    _set_malloc(2**30, 2**31 - 1)


def return_memory() -> None:
    """Set glibc's malloc to return the memory of large freed tensors at once, for processes that must need little.

    With FSDP, tensors of many sizes come and go: kept memory is in pieces that do not fit, and grows from step to step.
    """
    _set_malloc(LARGE_BYTES, 2 * LARGE_BYTES)


def _set_malloc(mapped_bytes: int, trimmed_bytes: int) -> None:
    """Let glibc map tensors of `mapped_bytes` or more apart, and return what is free at the heap's end above a size."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, mapped_bytes)
        mallopt(_M_TRIM_THRESHOLD, trimmed_bytes)


def prepare_device(device: torch.device, *, deterministic: bool) -> None:
    """Set up torch for a device; `deterministic`: also on CUDA by deterministic algorithms, slower ones.

    On the CPU they always are used: sums at equal positions (of `scatter`, of the gradient of an index) are otherwise
    added in the order in which threads come to them, and no faster. A GPU is made CUDA's current one, since events,
    streams and CUDA graphs are those of it, and multiplies float32 matrices in TF32, as TensorFlow and JAX do: several
    times faster, with 10-bit fractions of the factors and sums in float32; torch's convolutions use it already.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        if device.index is not None:
            torch.cuda.set_device(device)
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.backends.cudnn.benchmark = False
    if device.type in ("cpu", "cuda"):
        torch.set_deterministic_debug_mode("warn" if device.type == "cpu" else "error" if deterministic else "default")
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
