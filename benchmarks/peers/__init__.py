"""Who is compared: each trains a job in its own words and tells of every epoch."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from benchmarks.workloads import Job, Workload
from kerascli.foundation.cpus import prepare_environment

OnEpoch = Callable[[float], None]
"""Called after every epoch (and its validation, if there is one) with the training loss."""
Run = Callable[[Job, OnEpoch], None]
"""Trains all epochs of a job, then evaluates the test rows, if there are any."""


@dataclass(frozen=True, slots=True)
class Peer:
    entry: str
    """`module:function` in this package; the function is a `Run`."""
    env: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    """Modules that it shall not find."""


_BACKENDS = ("torch", "jax", "tensorflow")


def _keras(backend: str) -> Peer:
    """Keras imports every backend that is installed, for a second and 500 MiB; its users have just the one."""
    hidden = tuple(other for other in _BACKENDS if other != backend)
    return Peer("with_keras:run", {"KERAS_BACKEND": backend}, hidden)


TIERS: dict[str, tuple[str, ...]] = {
    "kerascli-auto": (),
    "kerascli-traced": ("compile.jit_compile=false",),
    "kerascli-compiled": ("compile.jit_compile=true",),
    "kerascli-bfloat16": ("compile.precision=mixed_bfloat16",),
}
"""What `--set` says."""

PEERS = {
    **{name: Peer("with_kerascli:run") for name in TIERS},
    "pytorch": Peer("with_torch:run"),
    "pytorch-compiled": Peer("with_torch:run"),
    **{f"keras-{backend}": _keras(backend) for backend in _BACKENDS},
}
DEFAULT = tuple(name for name in PEERS if name != "kerascli-bfloat16")


def takes_part(name: str, work: Workload) -> bool:
    """Return True if a peer can train a workload."""
    return work.in_keras if name.startswith("keras-") else work.in_torch or not name.startswith("pytorch")


def is_ours(name: str) -> bool:
    return name.startswith("kerascli")  # also what `whole` calls its runs


class _Hiding:
    """Finder of modules on `sys.path` that does not find some, as if they were not installed.

    None in `sys.modules` is not the same: scipy takes it for the module.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if name in self._names else PathFinder.find_spec(name, path, target)


def hide(name: str) -> None:
    """Let imports of what a peer shall not find fail, and set the environment as the peer's program does."""
    sys.meta_path[:] = [_Hiding(PEERS[name].hidden) if each is PathFinder else each for each in sys.meta_path]
    if is_ours(name):
        prepare_environment()  # as the program does


def load(name: str) -> Run:
    """Import what the peer needs."""
    hide(name)
    module, function = PEERS[name].entry.split(":")
    return getattr(importlib.import_module(f"benchmarks.peers.{module}"), function)
