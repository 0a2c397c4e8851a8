"""The processes that train together: sums of tensors over them, texts that they exchange, and why one of them ended."""

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from kerascli.foundation.errors import ProcessLost
from kerascli.foundation.world import World
from kerascli.training.distributed.gpu_watch import GpuWatch, Member
from kerascli.training.distributed.meeting import meet
from kerascli.training.distributed.reasons import Reasons, kept_by_launcher
from kerascli.training.distributed.sum_in_order import sum_in_order
from kerascli.training.distributed.timed_store import TimedStore, in_thread

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

_SECONDS_TO_LEAVE = 10.0
"""Time that the others have to leave, before process 0 ends with the store."""
_SIGNALS, _WISHES = 256, 4
"""Numbers above that of every signal, and of every wish."""
_SECONDS_TO_SAVE = 4.0
"""Time that process 0 has to save the last weights, before another process says why the training stops."""
_SECONDS_TO_LOOK = 0.02
"""Time between two looks for the others' answers."""
_SECONDS_TO_ABORT = 5.0
"""Time that NCCL has to stop its kernels."""
_STEPS_AHEAD = 4
"""Number of steps that a GPU's queue may hold before its processes wait for the oldest one's signals."""


class Wish(IntEnum):
    """When process 0 wants all processes to save a checkpoint, by its clock."""

    NONE = 0
    AT_EPOCH_END = 1
    NOW = 2


class Processes:
    """Communication among the processes of a training. With one process nothing is sent.

    Every process calls the same methods in the same order.
    """

    def __init__(self, world: World, store: "Store | None" = None, timeout: float = 0.0) -> None:
        self.world = world
        self._store = None if store is None else TimedStore(store, timeout)
        self._reasons = None if self._store is None else Reasons(world, self._store)
        self._timeout = timeout
        self._exchanges = 0
        self._known_signal: int | None = None
        self._unread: deque[tuple[Tensor, torch.cuda.Event]] = deque()
        self._watch: GpuWatch | None = None
        self.device = "cpu"
        """Device of this process and its name, for run.json."""
        self.record_loss: Callable[[str], None] = lambda reason: None
        """Function that records that another process is gone, when this one cannot go on to do it."""
        self.tell: Callable[[ProcessLost], None] = lambda error: None
        """Function that prints an error, when this process ends where it is."""
        self.signal: Callable[[], int | None] = lambda: None
        """Function that returns the number of a signal that this process has received, or None."""
        self.wish: Callable[[], Wish] = lambda: Wish.NONE
        """Function that returns whether this process wants a checkpoint to be saved."""
        self.common_wish = Wish.NONE
        """Wish that all processes know of after the same training step."""
        self.has_written: Callable[[], bool] = lambda: False
        """Function that returns whether this process has written its part of a checkpoint that is being saved."""
        self.all_have_written = False
        """True if all processes have written theirs, which they know of after the same training step."""

    @classmethod
    def join(cls, world: World, device: str, *, timeout: float) -> "Processes":
        """Join the other processes, which the launcher's MASTER_ADDR and MASTER_PORT lead to.

        `timeout` is the time in seconds after which a process that does not answer counts as lost. Raises ProcessLost.
        """
        if world.size == 1:
            return cls(world)
        joined = cls(world, meet(world, device, timeout), timeout)
        assert joined._reasons is not None
        joined._reasons.listen()
        return joined

    def leave(self) -> None:
        """Leave the other processes, at the end of work without an error."""
        if self._store is None or self._reasons is None:
            return
        self._reasons.end()
        if self._watch is not None:
            self._watch.end()
        with contextlib.suppress(RuntimeError):  # the work is done
            self._store.set(f"left/{self.world.rank}", "")
            until = time.monotonic() + _SECONDS_TO_LEAVE * (self.world.leads and not kept_by_launcher())
            while time.monotonic() < until and not self._store.has([f"left/{rank}" for rank in range(self.world.size)]):
                time.sleep(_SECONDS_TO_LOOK)
        dist.destroy_process_group()

    def add(self, tensors: Sequence[Tensor], *, in_order: bool = False) -> None:
        """Replace tensors, in place, by their sums over all processes.

        With `in_order` the sums, of vectors, are made in a fixed tree, such that they have the same bits as the sum of
        twice as many processes' halves; the number of processes is then a power of two.
        """
        if self._store is None:
            return
        with self._heard():
            if in_order and self.world.size > 2:
                for tensor in tensors:
                    sum_in_order(tensor, self.world.rank, self.world.size)
            else:  # a sum of two terms has one order
                waiting = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
                for work in waiting:
                    assert work is not None
                    work.wait()
            self._sent()

    def added(self, tensor: Tensor) -> Tensor:
        """Return a tensor's sum over all processes."""
        total = tensor.clone(memory_format=torch.contiguous_format)  # NCCL takes no other
        self.add([total])
        return total

    def own_number(self) -> int:
        """Return the signal that this process has received, its wish, and if it has written, as one number."""
        return (self.signal() or 0) + _SIGNALS * (self.wish() + _WISHES * self.has_written())

    def own_signal(self) -> list[float]:
        """Return a number for each process: this one's signal and wish, and 0 for the others."""
        known = [0.0] * self.world.size
        known[self.world.rank] = float(self.own_number())
        return known

    def keep_signals(self, signals: Tensor) -> None:
        """Remember a signal and a wish of any process, from all processes' `own_signal`, which come with a step's sums.

        On CUDA they are read some steps later, when the device has them: to read at once would wait for it.
        """
        if signals.is_cpu:
            self.hear(signals.tolist())
            return
        arrived = torch.cuda.Event()
        self._unread.append((signals.to("cpu", non_blocking=True), arrived))
        arrived.record()
        if len(self._unread) > _STEPS_AHEAD:
            oldest, arrived = self._unread.popleft()
            arrived.synchronize()
            self.hear(oldest.tolist())

    def hear(self, numbers: Iterable[float]) -> None:
        """Remember the first signal, the most urgent wish, and if all have written, of all processes' `own_number`.

        All processes give the same numbers to this method, in the same order.
        """
        found = [int(number) for number in numbers]
        self._known_signal = next((number % _SIGNALS for number in found if number % _SIGNALS), None)
        self.common_wish = Wish(max(number // _SIGNALS % _WISHES for number in found))
        self.all_have_written = all(number // (_SIGNALS * _WISHES) for number in found)

    def forget_saver(self) -> None:
        """Forget the saver of checkpoints, which holds the model of a phase that has ended."""
        self.wish, self.has_written = lambda: Wish.NONE, lambda: False

    def forget_wishes(self) -> None:
        """Forget what the processes told about a checkpoint, which all of them have begun or finished to save."""
        self.common_wish, self.all_have_written = Wish.NONE, False
        self._unread.clear()

    def common_signal(self) -> int | None:
        """Return a signal that all processes know of after the same step or batch, or None."""
        return self.signal() if self._store is None else self._known_signal

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, of one shape and dtype, in the order of ranks."""
        if self._store is None:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.world.size)]
        with self._heard():
            dist.all_gather(found, tensor)
            self._sent()
        return found

    def collect(self, tensor: Tensor) -> list[Tensor]:
        """Return on process 0 the tensors of all processes, in the order of ranks; on each other one without rows.

        The tensors (rows, *) have one dtype; their shapes may differ. They are sent from CPU to CPU: NCCL would connect
        process 0 with each other one, and wait for ever for one that is gone.
        """
        if self._store is None:
            return [tensor]
        with self._heard():
            self._sent()
            tensor = tensor.to("cpu")
            if not self.world.leads:
                dist.send(torch.tensor(tensor.shape), 0)
                if tensor.numel():
                    dist.send(_bytes_of(tensor.contiguous()), 0)
                return [torch.empty_like(tensor[:0])]  # a view would keep the tensor in memory
            return [tensor, *(_received(tensor, rank) for rank in range(1, self.world.size))]

    def exchange(self, value: Any) -> list[Any]:
        """Return the JSON values that all processes give, in the order of ranks; waits for all of them."""
        if self._store is None:
            return [value]
        self._exchanges += 1
        keys = [f"exchange/{self._exchanges}/{rank}" for rank in range(self.world.size)]
        with self._heard():
            self._store.set(keys[self.world.rank], json.dumps(value))
            if dist.is_initialized():  # by gloo, which fails at once if a process is gone: the store does not know it
                dist.all_reduce(torch.zeros(1))
            self._await(keys)
            # All have begun this exchange, so they have read the values of the one before, and its keys can go.
            self._store.remove(f"exchange/{self._exchanges - 1}/{self.world.rank}")
            return [json.loads(self._store.get(key)) for key in keys]

    def _await(self, keys: list[str]) -> None:
        """Wait until all keys are in the store, or a process has failed. Raises RuntimeError then, or if it is late."""
        assert self._store is not None
        assert self._reasons is not None
        until = time.monotonic() + self._timeout
        while not self._store.has(keys):
            if self._reasons.are_there() or time.monotonic() > until:
                raise RuntimeError("no answer")
            time.sleep(_SECONDS_TO_LOOK)

    def let_leader_explain(self) -> None:
        """Wait a moment for process 0, which saves the weights, to say why all processes stop, as this one knows."""
        if self._reasons is not None and not self.world.leads:
            self._reasons.wait(_SECONDS_TO_SAVE)

    def is_first_to_fail(self, error: BaseException, code: int, text: str | None = None) -> bool:
        """Return True if this process is the first of all to fail, and therefore the one that reports the error.

        The others hear of it: they wait for this process no longer, and end with the exit code `code`, too. `text` is
        the reason; default: the error's own.
        """
        if self._reasons is None:
            return True
        heard = isinstance(error, ProcessLost)
        is_first = self._reasons.leave(str(error) if text is None else text, heard=heard, code=code)
        if self._watch is not None:
            self._watch.end()
            with contextlib.suppress(Exception):  # kernels that wait for others would keep this process at its exit
                in_thread(_abort, _SECONDS_TO_ABORT)
        elif dist.is_initialized():
            dist.destroy_process_group()  # the others get an error at once, where they wait for this one
        self._reasons.wait_for_others()
        self._reasons.end()
        return is_first

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Raise ProcessLost for torch's errors of communication in the block, such as FSDP's, and for no others."""
        try:
            yield
        except RuntimeError as error:
            if self._reasons is None or not _is_of_communication(error):
                raise
            raise self._reasons.found() from None

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Raise ProcessLost if another process does not answer, with the reason that one of them gives."""
        try:
            yield
        except RuntimeError as error:  # dist.DistError, and what gloo raises
            if _is_of_device(error):
                raise
            assert self._reasons is not None
            raise self._reasons.found() from None

    def watch_gpu(self, members: Sequence[Member], device: str) -> None:
        """End this process from now on if it waits for another one that is gone, on its GPU `device`."""
        assert self._store is not None
        assert self._reasons is not None
        self._watch = GpuWatch(
            self.world, members, device, self._timeout, self._store, self._reasons, self._end_where_it_is
        )  # fmt: skip
        self._watch.start()

    def _sent(self) -> None:
        if self._watch is not None:
            self._watch.sent()

    def _end_where_it_is(self, lost: ProcessLost, is_first: bool) -> None:
        """End this process, whose main thread cannot: it waits on its GPU, for work that will not be done."""
        with contextlib.suppress(Exception):
            self.record_loss(str(lost))
        if is_first:
            self.tell(lost)
        os._exit(lost.exit_code)


def _is_of_communication(error: RuntimeError) -> bool:
    """Return True if gloo or NCCL raised an error; gloo's are plain RuntimeErrors."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _is_of_device(error: RuntimeError) -> bool:
    """Return True for an error of a GPU (which any later call reports), or a lack of memory."""
    is_cuda = str(error).startswith("CUDA error") and not isinstance(error, dist.DistError)
    return is_cuda or isinstance(error, torch.OutOfMemoryError)


def _abort() -> None:
    group: Any = dist.group.WORLD
    group.abort()


def _received(like: Tensor, rank: int) -> Tensor:
    """Return the tensor that a process sends by `collect`, of the dtype and number of axes of `like`."""
    shape = torch.empty(like.dim(), dtype=torch.int64)
    dist.recv(shape, rank)
    found = torch.empty(shape.tolist(), dtype=like.dtype)
    if found.numel():
        dist.recv(_bytes_of(found), rank)
    return found


def _bytes_of(tensor: Tensor) -> Tensor:
    return tensor.view(-1).view(torch.uint8)


ALONE = Processes(World())
"""The processes of a training on a single one."""
