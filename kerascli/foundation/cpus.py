"""CPUs available to this process (affinity, cgroup quota), their kind, the wait for them; settings of idle threads.

It does without torch.
"""

import contextlib
import math
import os
import platform
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

SPIN_COUNT = "3000"
"""GNU OpenMP's spin count: iterations (some tens of microseconds) of a thread's busy-waiting before it sleeps.

By default it spins for milliseconds, on a core that the others need if the machine is not idle. Sleeping sooner costs
an idle machine a wake-up at every barrier."""
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "KMP_LIBRARY")
_POOLS = {
    "OPENBLAS_NUM_THREADS": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "TORCHINDUCTOR_COMPILE_THREADS": ("TORCHINDUCTOR_COMPILE_THREADS",),
}
"""Mapping from an environment variable that sizes numpy's or the compiler's thread pool to the variables by which a
user may have set that size.

By default the pools start one thread or process for each CPU, whatever the quota.
"""


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """Number of CPUs that may be used, and the reason for the limit; None if all CPUs of the machine may be used."""

    count: int
    reason: str | None


def prepare_environment(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the environment variables of the thread pools of torch and numpy, unless the user has set them.

    The libraries read them when they are loaded.
    """
    if not any(name in environ for name in _WAITING):
        environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    if "WORLD_SIZE" in environ:  # a lost process is reported in one line, not with C++ frames
        environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if (quota := cpu_quota()) is None:
        return
    for name, variables in _POOLS.items():
        if not any(each in environ for each in variables):
            environ[name] = str(min(_whole(quota), affinity()))


def cpu_limit(root: Path = Path("/")) -> CpuLimit:
    """Return the number of CPUs that this process may use: the smaller of its affinity and its cgroup's
    quota, rounded up."""
    all_of_them, allowed, quota = os.cpu_count() or 1, affinity(), cpu_quota(root)
    if quota is not None and _whole(quota) < allowed:
        written = f"{quota:.1f}" if quota >= 0.1 else f"{quota:.1g}"
        return CpuLimit(_whole(quota), f"the cgroup's CPU quota is {written} of {all_of_them}")
    reason = f"this process may run on {allowed} of {all_of_them} CPUs"
    return CpuLimit(allowed, reason if allowed < all_of_them else None)


def affinity() -> int:
    """Return the number of CPUs that the system lets this process run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU time per second that the cgroup may use, in CPUs; None without a limit.

    The least of the group's and its ancestors' quotas counts. Supports cgroup v1 (`cpu.cfs_quota_us`), v2 (`cpu.max`)
    and both at once. `root` is the folder with `/proc` and the mounted groups.
    """
    return min((quota for folder in _groups(root) if (quota := _quota_of(folder)) is not None), default=None)


def seconds_waited() -> float:
    """Return the seconds that the threads of this process could have run but had no CPU; 0 without Linux's /proc."""
    lines = [line for file in Path("/proc/self/task").glob("*/schedstat") for line in _lines(file)]
    return sum(int(line.split()[1]) for line in lines) / 1e9


def _whole(quota: float) -> int:
    return max(1, math.ceil(quota - 1e-9))


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of its ancestors, below the usual mount points; of version 1 only
    the cgroup of the `cpu` controller. A container may have its own group at the mount point."""
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2) if line.count(":") > 1 else ("", "", "")
        if number == "0" and not controllers:
            mounted = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mounted = root / "sys/fs/cgroup/cpu"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        yield from (mounted / each for each in (group, *group.parents))


def _quota_of(folder: Path) -> float | None:
    """Return the CPU quota of one cgroup's folder, in CPUs; None if it has none or cannot be read."""
    with contextlib.suppress(ValueError, IndexError):
        if lines := _lines(folder / "cpu.max"):
            texts = lines[0].split()[:2]
        else:
            texts = [_lines(folder / f"cpu.cfs_{name}_us")[0] for name in ("quota", "period")]
        quota, period = map(int, texts)  # 'max' is no number
        return quota / period if quota > 0 and period > 0 else None
    return None


def _lines(path: Path) -> list[str]:
    """Return the lines of a file in /proc or /sys; an empty list if it cannot be read (not on Linux, no permission)."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return []


_PROCESSOR_LINES = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
"""First words of the lines in /proc/cpuinfo (x86 and ARM) that do not change while the machine runs."""


@cache
def processor() -> str:
    """Return a text that identifies the CPU: its name, on Linux with its vendor and features."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        first = file.read(2**14).partition("\n\n")[0]
        return "\n".join(line for line in first.splitlines() if line.startswith(_PROCESSOR_LINES))
    return platform.processor() or platform.machine()
