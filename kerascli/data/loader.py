"""Batches: rows of a split on a device, in an order that depends on (seed, epoch) alone."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from kerascli.data.prepare import Split
from kerascli.data.split import shuffled
from kerascli.draws import key_seed

Part = slice | np.ndarray | Tensor
"""Some rows of a split."""


@dataclass(slots=True)
class Batch:
    """Rows of a split on the device, as they were prepared: the stages finish them."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    sample_weight: dict[str, Tensor]
    rows: int


def order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """The rows of a shuffled epoch in the order of their use (int64); the same in every process and after a resume."""
    return shuffled(rows, key_seed(f"{seed}/shuffle/{epoch}"))


class BatchSource:
    """A split in batches; an epoch may start at any of them, with the rows it would have had."""

    def __init__(
        self, split: Split, batch_size: int, device: torch.device, *, shuffle: bool = False, seed: int = 0
    ) -> None:
        self.rows = split.rows
        self.batch_size = batch_size
        self.device = device
        self.shuffle = shuffle
        self.seed = seed
        self._sections = {"inputs": split.inputs, "targets": split.targets, "sample_weight": split.sample_weight}
        self._resident = self._load() if self._fits() else None

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(self.rows / self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch` from number `start` on; both count from 0."""
        parts = self._parts(epoch, start)
        return map(self._batch, parts) if self._resident is not None else _ahead(self._batch, parts)

    def _parts(self, epoch: int, start: int) -> Iterator[Part]:
        """The rows of every batch: a slice where they are in order, else their numbers."""
        firsts = range(start * self.batch_size, self.rows, self.batch_size)
        if not self.shuffle:
            yield from (slice(first, min(first + self.batch_size, self.rows)) for first in firsts)
            return
        rows = order(self.rows, self.seed, epoch)
        numbers = rows if self._resident is None else torch.from_numpy(rows).to(self.device)
        yield from (numbers[first : first + self.batch_size] for first in firsts)

    def _batch(self, rows: Part) -> Batch:
        found: dict[str, dict[str, Tensor]] = {}
        for section, columns in self._sections.items():
            if self._resident is None:
                assert not isinstance(rows, Tensor)
                found[section] = {name: self._copy(values[rows]) for name, values in columns.items()}
            else:
                found[section] = {name: _pick(values, rows) for name, values in self._resident[section].items()}
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        return Batch(found["inputs"], found["targets"], found["sample_weight"], count)

    def _load(self) -> dict[str, dict[str, Tensor]]:
        return {
            section: {name: _tensor(values).to(self.device) for name, values in columns.items()}
            for section, columns in self._sections.items()
        }

    def _copy(self, values: np.ndarray) -> Tensor:
        """Gathered rows on their way to the device, without waiting for them to arrive."""
        tensor = _tensor(np.ascontiguousarray(values))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _fits(self) -> bool:
        """Whether the split is kept on the device: on the CPU unless mapped, on CUDA if it takes up to a quarter."""
        arrays = [values for columns in self._sections.values() for values in columns.values()]
        if any(_is_mapped(values) for values in arrays):
            return False
        if self.device.type == "cpu":
            return True
        if self.device.type != "cuda":
            return False
        return sum(values.nbytes for values in arrays) <= torch.cuda.mem_get_info(self.device)[0] // 4


def _ahead(make: Callable[[Part], Batch], parts: Iterator[Part]) -> Iterator[Batch]:
    """`map`, with the next batch made in a thread while this one is in use: reading a file takes its time."""
    with ThreadPoolExecutor(1) as pool:
        pending = [pool.submit(make, part) for part in islice(parts, 1)]
        while pending:
            batch = pending.pop().result()
            pending = [pool.submit(make, part) for part in islice(parts, 1)]
            yield batch


def _pick(values: Tensor, rows: Part) -> Tensor:
    return values[rows] if isinstance(rows, slice) else values.index_select(0, torch.as_tensor(rows))


def _tensor(values: np.ndarray) -> Tensor:
    """The same memory as a tensor; a copy of what is read-only, which torch knows no word for."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _is_mapped(values: np.ndarray) -> bool:
    base: object = values
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False
