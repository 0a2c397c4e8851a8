"""Rank of this process among the processes that train together, as launchers such as torchrun state it."""

import os
import socket
from typing import NamedTuple

from kerascli.foundation.errors import ConfigError

PROCESS_BYTES = 330 * 10**6
"""Memory of a process that has imported Python's and torch's libraries, and run an operation of each kind, in bytes."""


class World(NamedTuple):
    """Rank of a process among all processes that train together, their number, and its rank among the processes of its
    machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """True for rank 0, the one process that prints and writes files."""
        return self.rank == 0


def world_of() -> World:
    """Return the ranks and numbers of processes that a launcher states by RANK, WORLD_SIZE, LOCAL_RANK and
    LOCAL_WORLD_SIZE.

    Raises ConfigError for values that contradict each other.
    """
    if os.environ.keys().isdisjoint(("WORLD_SIZE", "RANK")):
        return World()
    size, rank = _number("WORLD_SIZE", 1), _number("RANK", 0)
    world = World(rank, size, _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", size))
    if not (0 <= world.rank < world.size and 0 <= world.local_rank < world.local_size <= world.size):
        what = f"RANK={rank}, WORLD_SIZE={size}, LOCAL_RANK={world.local_rank}, LOCAL_WORLD_SIZE={world.local_size}"
        raise ConfigError(f"the launcher's environment variables contradict each other: {what}")
    return world


def processes_here(processes: int) -> int:
    """Return how many of a training's processes run on this machine: LOCAL_WORLD_SIZE if it is set, else all."""
    return min(max(1, _number("LOCAL_WORLD_SIZE", processes)), processes)


def launch_of() -> str | None:
    """Return an id of the launch by which a launcher (torchrun ...) started this process, the same after restarts; None
    without a launcher.

    torchrun's is `none` unless it is given an --rdzv-id; then the launcher's own process names it.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{socket.gethostname()}/{os.getppid()}" if name == "none" else name


def restarts_of() -> int:
    """Return how often the launcher (torchrun ...) has started the processes again after a failure."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        hint = "launchers such as torchrun set it"
        raise ConfigError(f"environment variable {name}: expected an integer, got '{text}'", hint=hint) from None
