"""Device, threads and determinism: every automatic choice comes with its reason."""

import ctypes
import os
import re
import sys
from dataclasses import dataclass

import torch

from kerascli.cpus import cpu_limit
from kerascli.errors import ConfigError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something chosen for the user, and why."""

    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Threads:
    """Number of threads on the CPU, and why; `told`: printed, since it is not what one would expect."""

    count: int
    reason: str
    told: bool = False


def choose_device(wanted: str = "auto", *, recorded: str | None = None) -> Choice:
    """`auto`, `cpu`, `cuda`, `cuda:1`, `mps` -> a device that is there, with the reason.

    `recorded` is the device of a run that goes on. Raises ConfigError when the device is not there.
    """
    if wanted == "auto" and recorded is not None:
        return Choice(choose_device(recorded).value, "as in the run")
    if wanted == "auto":
        return _best_device()
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", wanted, re.ASCII):
        raise ConfigError(f"--device: expected auto, cpu, cuda, cuda:N or mps, got '{wanted}'")
    missing = _missing(wanted)
    if missing:
        raise ConfigError(f"--device {wanted}: {missing}", hint="--device auto takes the best one that is there")
    return Choice(wanted, "asked for")


def _best_device() -> Choice:
    if torch.cuda.is_available():
        return Choice("cuda", f"{torch.cuda.get_device_name(0)} found")
    if torch.backends.mps.is_available():
        return Choice("mps", "Apple GPU found")
    if torch.version.cuda is None and torch.version.hip is None:
        return Choice("cpu", "this torch is built for the CPU only")
    return Choice("cpu", "no GPU found")


def _missing(wanted: str) -> str | None:
    kind, _, index = wanted.partition(":")
    if kind == "cpu":
        return None
    if kind == "mps":
        return None if torch.backends.mps.is_available() else "no Apple GPU found"
    if not torch.cuda.is_available():
        return "no CUDA device found"
    if index and int(index) >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} CUDA devices, numbered from 0"
    return None


def use_threads(wanted: int | None = None, *, recorded: int | None = None) -> Threads:
    """Set and return the number of threads on the CPU: as asked for, as in the run that goes on, or torch's own choice
    within the CPUs that may be used.

    The last bits of some sums depend on it, so a run that goes on keeps its number. Torch's own choice is one a
    physical core that the process may run on, whatever the cgroup's quota; or what the environment says.
    """
    own = _own_threads()
    if wanted is not None and recorded not in (None, wanted):
        reason = f"asked for; the run went on with {recorded} until now: the last bits may differ"
        chosen = Threads(wanted, reason, told=True)
    elif wanted is not None:
        chosen = Threads(wanted, "asked for")
    elif recorded is not None:
        chosen = Threads(recorded, "as in the run", told=recorded != own.count)
    else:
        chosen = own
    if chosen.count != torch.get_num_threads():
        torch.set_num_threads(chosen.count)
    return chosen


def _own_threads() -> Threads:
    """Return the number of threads where neither an option nor a run says one."""
    count, limit = torch.get_num_threads(), cpu_limit()
    if said := [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(name)]:
        return Threads(count, said[0])
    if limit.reason is None or limit.count > count:
        return Threads(count, "one a core")
    return Threads(limit.count, limit.reason, told=True)


def prepare_cpu() -> None:
    """Settings of the processor and the allocator that training is faster with; before the first tensor.

    Denormal numbers are taken for zero, as XLA does: averages that decay towards zero are many times slower
    otherwise. Threads inherit that when they start.
    """
    torch.set_flush_denormal(True)
    _keep_memory()


def _keep_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones.

    By default it maps each tensor above some size anew and gives it back at once: a convolutional network then
    spends a sixth of its time in the kernel, which fills new pages with zeros.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def prepare_gpu(device: torch.device) -> None:
    """Products of float32 matrices on CUDA in TF32, as in TensorFlow and JAX, and as torch's convolutions already are:
    several times faster, with ten bits of each factor's fraction and sums in float32."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def make_deterministic(device: torch.device) -> None:
    """Bit-identical repeats on CUDA, at some cost; the CPU needs nothing."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
