"""Load batches of a split's rows to a device, ahead of their use, in an order that depends on (seed, epoch) alone."""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.order import Order
from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.storage.on_disk import BLOCK_BYTES, Rows, count
from kerascli.foundation.cpus import cpu_limit

P = TypeVar("P")
R = TypeVar("R")


def prefetch(make: Callable[[P], R], parts: Iterable[P], *, threads: int, depth: int) -> Iterator[R]:
    """Yield the results of `make` for each of `parts`, in order, while threads compute the next `depth` of them.

    Exceptions of `make` are raised at the position of their result. The threads end with the last result, or when the
    iterator is closed.
    """
    waiting = iter(parts)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        pending = deque(pool.submit(make, part) for part in islice(waiting, depth))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(make, part) for part in islice(waiting, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


Sections = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]

_NUMBERS = 2**16
"""Number of shuffled row indices that are computed and sent to the device together."""
_GATHERED_BYTES = 2**18
"""Maximum size in bytes of the batches that are gathered at once, which should stay in a cache of the processor."""
_LINE_BYTES = 64
_THREADS = min(4, cpu_limit().count)
_AHEAD_BYTES = 64 * 2**20
"""Maximum memory of prefetched batches in bytes; two batches are prefetched even if they exceed it."""


@dataclass(slots=True)
class Batch:
    """Batch of rows on the device, after the pipelines' steps that run in advance, before those that run per batch."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    sample_weight: dict[str, Tensor]
    rows: int
    whole: int = 0
    """Number of rows of the whole batch; this object may hold only the part that this process has read."""

    def __post_init__(self) -> None:
        self.whole = self.whole or self.rows

    def leaves(self) -> list[Tensor]:
        """Return the tensors of the batch: inputs, targets, sample weights, in this order."""
        return [*self.inputs.values(), *self.targets.values(), *self.sample_weight.values()]

    def mapped(self, function: Callable[[Tensor], Tensor], rows: int) -> "Batch":
        """Return the batch with what a function returns for its tensors, in the order of `leaves`, in their place."""
        made = _each((self.inputs, self.targets, self.sample_weight), function)
        return Batch(*made, rows=rows, whole=self.whole)


class Portion(NamedTuple):
    """Part of each batch that one process reads: rows from the fraction `first / of` to `stop / of`, rounded down."""

    first: int
    stop: int
    of: int

    def slice(self, rows: int) -> slice:
        """Return the slice of a batch of `rows` rows that this process reads."""
        return slice(self.first * rows // self.of, self.stop * rows // self.of)


WHOLE = Portion(0, 1, 1)


@dataclass(eq=False, repr=False)
class BatchSource:
    """Loader of a data split's batches; an epoch resumed at any batch has the same batches as an uninterrupted one."""

    split: Split
    batch_size: int
    device: torch.device
    _: KW_ONLY
    shuffle: bool = False
    seed: int = 0
    portion: Portion = WHOLE
    """Part of each batch that this process reads, by default all."""

    def __post_init__(self) -> None:
        self.rows = self.split.rows
        self._resident = _load(self.split, self.device) if _fits(self.split, self.device) else None

    @property
    def steps(self) -> int:
        """Return the number of batches of an epoch; the last one may be smaller."""
        return math.ceil(self.rows / self.batch_size)

    def epoch(self, epoch: int, start: int = 0, *, every: int = 1) -> Iterator[Batch]:
        """Iterate over the batches of epoch `epoch`, beginning with batch `start`; both count from 0.

        `every` is the distance of one batch to the next, for rows in order only.
        """
        resident, parts = self._resident, self._parts(epoch, start, every)
        if resident is None:
            batch_bytes = self.split.nbytes // max(1, self.rows) * self.batch_size
            depth = min(2 * _THREADS, max(2, _AHEAD_BYTES // max(1, batch_bytes)))
            return prefetch(self._read, parts, threads=min(_THREADS, depth), depth=depth)
        if self.shuffle and self.portion is WHOLE:
            return self._gathered(resident, epoch, start)
        return (Batch(*_each(resident, itemgetter(rows)), count(rows), whole) for rows, whole in parts)

    def _parts(self, epoch: int, start: int, every: int) -> Iterator[Any]:
        """Iterate over an epoch's batches: the rows of each that this process reads, a slice, or row indices if
        shuffled, on the device if the rows are there; and the row count of the whole batch."""
        size, own = self.batch_size, self.portion.slice
        if not self.shuffle:
            for first in range(start * size, self.rows, size * every):
                whole = min(size, self.rows - first)
                yield slice(first + own(whole).start, first + own(whole).stop), whole
            return
        for numbers in self._numbers(epoch, start):
            chunk = numbers if self._resident is None else torch.from_numpy(numbers).to(self.device)
            for rows in (chunk[first : first + size] for first in range(0, len(chunk), size)):
                yield rows[own(len(rows))], len(rows)

    def _numbers(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """Iterate over the shuffled row indices of an epoch, from batch `start` on, in chunks of many batches."""
        order = Order(self.rows, self.seed, epoch)
        length = self.batch_size * max(1, _NUMBERS // self.batch_size)
        firsts = range(start * self.batch_size, self.rows, length)
        return (order[slice(first, first + length)] for first in firsts)

    def _gathered(self, resident: Sections, epoch: int, start: int) -> Iterator[Batch]:
        """Iterate over the shuffled batches of an epoch; the rows of several small batches are gathered at once."""
        size = self.batch_size
        sizes = [size * values[:1].nbytes for section in resident for values in section.values()]
        # at another address within a cache line, matrix kernels may round differently
        several = not any(each % _LINE_BYTES for each in sizes)
        length = size * max(1, _GATHERED_BYTES // max(1, sum(sizes))) if several else size
        for chunk in self._numbers(epoch, start):
            for rows in torch.from_numpy(chunk).to(self.device).split(length):
                parts = _each(resident, lambda values, rows=rows: values.index_select(0, rows).split(size))
                for number, own in enumerate(rows.split(size)):
                    yield Batch(*_each(parts, itemgetter(number)), len(own))

    def _read(self, own: tuple[Rows, int]) -> Batch:
        """Read the rows of a batch and start their transfer to the device, without waiting for its end."""
        rows, whole = own
        part = self.split.read(rows)
        return Batch(*_each(part.sections(), self._sent), part.rows, whole)

    def _sent(self, values: np.ndarray) -> Tensor:
        tensor = _tensor(values)
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


def _fits(split: Split, device: torch.device) -> bool:
    """Return True if all rows of a data split are to be loaded to the device at once, and stay there.

    On the CPU that is a split in memory, on CUDA one that takes at most a quarter of the free memory.
    """
    if device.type == "cpu":
        return isinstance(split, MemorySplit)
    return device.type == "cuda" and split.nbytes <= torch.cuda.mem_get_info(device)[0] // 4


def _load(split: Split, device: torch.device) -> Sections:
    """Load all rows of a data split to the device. Raises DataError."""
    if isinstance(split, MemorySplit):
        return _each(split.sections(), lambda values: _tensor(values).to(device))
    first = _each(split.read(slice(0, 1)).sections(), _tensor)
    resident = _each(first, lambda values: values.new_empty((split.rows, *values.shape[1:]), device=device))
    rows = max(1, BLOCK_BYTES * split.rows // split.nbytes)
    for start in range(0, split.rows, rows):
        part = split.read(slice(start, start + rows))
        for section, there in zip(_each(part.sections(), _tensor), resident, strict=True):
            for name, values in section.items():
                there[name][start : start + part.rows] = values
    return resident


def _each(parts: Iterable[Mapping[str, P]], make: Callable[[P], R]) -> tuple[dict[str, R], dict[str, R], dict[str, R]]:
    """Return the inputs, targets and sample weights that `make` makes of those of a split or batch."""
    inputs, targets, weights = ({name: make(values) for name, values in part.items()} for part in parts)
    return inputs, targets, weights


def _tensor(values: np.ndarray) -> Tensor:
    """Return a tensor that shares the array's memory, without torch's warning if that is read-only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(values)
