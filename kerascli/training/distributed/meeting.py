"""Connection of the processes that a launcher has started: each finds the others by MASTER_ADDR and MASTER_PORT."""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import torch.distributed as dist

from kerascli.foundation.errors import ConfigError, Fault, ProcessLost, first_line
from kerascli.foundation.world import World, restarts_of
from kerascli.training.distributed.reasons import kept_by_launcher
from kerascli.training.distributed.timed_store import in_thread

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

_SECONDS_AFTER_US = 60.0
"""Time after which NCCL and gloo report a process that does not answer, if `GpuWatch` has not."""


def meet(world: World, device: str, timeout: float) -> "Store":
    """Connect the processes, and return the store that they share. On GPUs, NCCL is first used in the first sum.

    Raises ConfigError, or ProcessLost after `timeout` seconds.
    """
    if not dist.is_available():
        raise ConfigError("this torch is built without torch.distributed: it cannot run on several processes")
    on_gpus = device.startswith("cuda")
    if on_gpus and not dist.is_nccl_available():
        raise ConfigError("this torch is built without NCCL: it cannot run on several GPUs", hint="--device cpu")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise ConfigError(
                f"WORLD_SIZE is {world.size}, but {name} is not set",
                hint="start the processes with --processes N or torchrun; or unset WORLD_SIZE",
            )
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
    from torch.distributed.rendezvous import rendezvous

    wait = timedelta(seconds=timeout)

    def connect() -> "Store":
        found, rank, size = next(iter(rendezvous("env://", timeout=wait)))
        # The launcher's store has the keys of earlier starts; launchers that joined later count others of these.
        store = PrefixStore(f"start/{restarts_of() if kept_by_launcher() else 0}", found)
        store.set_timeout(wait)
        backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
        late = wait + timedelta(seconds=_SECONDS_AFTER_US * on_gpus)
        with _quiet_stdout():
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=late)
        return store

    try:
        return PrefixStore("kerascli", in_thread(connect))  # a signal ends the wait for others
    except RuntimeError as error:  # dist.DistError, and what gloo raises
        text = f"the {world.size} processes did not find each other ({first_line(error)})"
        hint = "start as many as WORLD_SIZE says, with the same MASTER_ADDR and a MASTER_PORT that is free"
        raise ProcessLost(Fault(text, hint=hint)) from None


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Context manager in whose block nothing reaches standard output: torch 2.8's gloo says there whom it has found."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
