"""Group of the processes that train together: sums of tensors over them, and values that they exchange."""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from kerascli.foundation.errors import ConfigError, Fault, ProcessLost, first_line
from kerascli.foundation.world import World, restarts_of
from kerascli.training.strategies.collectives import as_bytes, sum_in_order
from kerascli.training.strategies.failures import Failures, in_thread, kept_by_launcher
from kerascli.training.strategies.notices import Notices

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

_SECONDS_TO_ABORT = 5.0
"""Time that NCCL has to stop its kernels."""


class Group:
    """Group of the processes that work together, and the communication among them; a single process sends nothing.

    Every process must call the same methods in the same order. Methods that communicate raise ProcessLost.
    """

    def __init__(self, world: World | None = None, failures: Failures | None = None) -> None:
        self.world = world or World()
        self.notices = Notices(self.world.size)
        self._failures = failures
        self.device = "cpu"
        """Device of this process, with the device's name, for run.json."""

    @classmethod
    def join(cls, world: World, device: str, *, timeout: float) -> "Group":
        """Connect all processes of a run by the launcher's MASTER_ADDR and MASTER_PORT; return their group.

        `timeout` is the time in seconds after which a process that does not answer counts as lost. On GPUs, NCCL is not
        used before the first sum. Raises ConfigError, or ProcessLost.
        """
        _refuse_environment(world, device)
        group = cls(world)
        try:
            store = in_thread(lambda: _connected(device, timeout))  # a signal ends the wait for others
            addresses = group.agree([socket.gethostname(), os.getpid()])
        except RuntimeError as error:  # dist.DistError, and what gloo raises
            text = f"the {world.size} processes did not find each other ({first_line(error)})"
            hint = "start as many as WORLD_SIZE says, with the same MASTER_ADDR and a MASTER_PORT that is free"
            raise ProcessLost(Fault(text, hint=hint)) from None
        group._failures = Failures(world, store, addresses)
        return group

    def leave(self) -> None:
        """Leave the group of processes when the work has ended without an error; wait for the other processes."""
        with contextlib.suppress(RuntimeError, ProcessLost):  # the work is done
            self.agree(None)  # the store may end with process 0
        dist.destroy_process_group()

    def is_first_to_fail(self, error: BaseException, code: int, text: str | None = None) -> bool:
        """Record that this process fails; return True if no other one failed before, so that it reports the error.

        `text` is the reason; default: the error's message. The other processes read it, stop waiting for this process,
        and end with the exit code `code`, too.
        """
        assert self._failures is not None
        is_first = self._failures.is_first(error, code, text)
        if self.device != "cpu":  # kernels that wait for others would keep this process at its exit
            with contextlib.suppress(Exception):
                in_thread(cast(Any, dist.group.WORLD).abort, _SECONDS_TO_ABORT)
        elif dist.is_initialized():
            dist.destroy_process_group()  # the others get an error at once, where they wait for this one
        self._failures.wait_for_readers()
        return is_first

    def add(self, tensors: Sequence[Tensor], *, in_order: bool = False) -> None:
        """Replace each tensor, in place, by the sum of the tensors that all processes pass.

        With `in_order`, the tensors are vectors, added as a fixed binary tree: if each is the sum of two vectors, twice
        as many processes with one of these vectors each get the same bits. The number of processes must then be a power
        of two.
        """
        if self.world.size == 1:
            return
        with self._sending():
            if in_order and self.world.size > 2:
                for tensor in tensors:
                    sum_in_order(tensor, self.world.rank, self.world.size)
            else:  # a sum of two terms has one order
                for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                    assert work is not None
                    work.wait()

    def added(self, tensor: Tensor) -> Tensor:
        """Return the sum of the tensors that all processes pass, as a new tensor."""
        total = tensor.clone(memory_format=torch.contiguous_format)  # NCCL takes no other
        self.add([total])
        return total

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors that all processes pass, of the same shape and dtype, in the order of ranks."""
        if self.world.size == 1:
            return [tensor]
        parts = [torch.empty_like(tensor) for _ in range(self.world.size)]
        with self._sending():
            dist.all_gather(parts, tensor)
        return parts

    def collect(self, tensor: Tensor) -> list[Tensor]:
        """Return on process 0 the tensors that all processes pass, in the order of ranks.

        Any other process gets one tensor without rows. The tensors (rows, *) have the same dtype; their shapes may
        differ. They are sent from CPU to CPU: NCCL would connect process 0 with every other process, and wait forever
        for one that is gone.
        """
        if self.world.size == 1:
            return [tensor]
        with self._sending():
            tensor = tensor.to("cpu")
            if not self.world.leads:
                dist.send(torch.tensor(tensor.shape), 0)
                if tensor.numel():
                    dist.send(as_bytes(tensor.contiguous()), 0)
                return [torch.empty_like(tensor[:0])]  # a view would keep the tensor in memory
            return [tensor, *(_received(tensor, rank) for rank in range(1, self.world.size))]

    def agree(self, value: Any) -> list[Any]:
        """Return the JSON values that all processes pass, in the order of ranks; waits for all of them."""
        if self.world.size == 1:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [int(size) for size in self.gather(torch.tensor(text.numel()))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: text.numel()] = text
        texts = zip(self.gather(padded), sizes, strict=True)
        return [json.loads(each[:size].numpy().tobytes()) for each, size in texts]

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """Context manager that converts torch's communication errors, such as FSDP's, to ProcessLost, and no others."""
        return self._explained(lambda error: isinstance(error, dist.DistError) or "gloo" in str(error).lower())

    def _sending(self) -> contextlib.AbstractContextManager[None]:
        """Context manager that raises ProcessLost, with the recorded reason, if another process does not answer."""
        return self._explained(lambda error: not _is_of_device(error))

    @contextlib.contextmanager
    def _explained(self, is_lost: Callable[[RuntimeError], bool]) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # dist.DistError, and what gloo raises
            if self._failures is None or not is_lost(error):
                raise
            raise self._failures.reason() from None


def _refuse_environment(world: World, device: str) -> None:
    """Raise ConfigError if torch, or the launcher's environment variables, do not allow several GPUs or processes."""
    if device.startswith("cuda") and not dist.is_nccl_available():
        raise ConfigError("this torch is built without NCCL: it cannot run on several GPUs", hint="--device cpu")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            text = f"WORLD_SIZE is {world.size}, but {name} is not set"
            raise ConfigError(text, hint="start the processes with --processes N or torchrun; or unset WORLD_SIZE")


def _connected(device: str, timeout: float) -> "Store":
    """Connect the processes, and return the store that they share."""
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
    from torch.distributed.rendezvous import rendezvous

    wait = timedelta(seconds=timeout)
    base, rank, size = next(iter(rendezvous("env://", timeout=wait)))
    # The launcher's store has the keys of earlier starts; launchers that joined later count others of these.
    store = PrefixStore(f"start/{restarts_of() if kept_by_launcher() else 0}", base)
    store.set_timeout(wait)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    with _quiet_stdout():
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    return PrefixStore("kerascli", store)


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Context manager that discards standard output in its block: gloo of torch 2.8 prints its connections there."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _is_of_device(error: RuntimeError) -> bool:
    """Return True for an error of a GPU (which any later call reports), or a lack of memory."""
    is_cuda = str(error).startswith("CUDA error") and not isinstance(error, dist.DistError)
    return is_cuda or isinstance(error, torch.OutOfMemoryError)


def _received(like: Tensor, rank: int) -> Tensor:
    """Return the tensor that a process sends by `collect`, of the dtype and number of axes of `like`."""
    shape = torch.empty(like.dim(), dtype=torch.int64)
    dist.recv(shape, rank)
    received = torch.empty(shape.tolist(), dtype=like.dtype)
    if received.numel():
        dist.recv(as_bytes(received), rank)
    return received
