"""Rows of a split, preprocessed by the pipelines: in memory, or on disk and preprocessed when a batch is read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import NamedTuple

import numpy as np

from kerascli.data.storage.on_disk import Rows, compose_rows, count
from kerascli.data.storage.table import Table
from kerascli.data.text.oov import OovCounts
from kerascli.foundation.errors import ConfigError, Place

_BLOCK_ROWS = 1024

Arrays = dict[str, np.ndarray]
"""Mapping from the name of an input, target or sample weight to its array (rows, *)."""


class Origin(NamedTuple):
    """Origin of a split's rows (table and columns), to name a value's file, line and column in error messages."""

    table: Table
    columns: Mapping[tuple[str, str], Sequence[str]]
    """Mapping from (section, name) of an input, target or sample weight to the columns that it is computed from."""

    def take(self, rows: Rows) -> "Origin":
        return self._replace(table=self.table.take(rows))

    def place(self, section: str, name: str, row: int, index: int, width: int) -> Place:
        """Return the position in the data file (`train.csv:17:age`) of value number `index` in a row of `width`
        values."""
        columns = self.columns.get((section, name), ())
        single = len(columns) in {1, width}
        column = columns[index if len(columns) > 1 else 0] if single else name
        return self.table.place(row, column, (index, width))


@dataclass(frozen=True, slots=True)
class MemorySplit:
    """Data split whose rows, preprocessed by the pipelines, are in memory."""

    inputs: Arrays
    targets: Arrays
    sample_weight: Arrays
    rows: int
    origin: Origin | None = None
    """Origin of the rows for error messages; None if the rows are generated or their origin is unknown."""
    oov: OovCounts = field(default_factory=OovCounts)
    """Counts of out-of-vocabulary (OOV) values in the rows; none for rows selected from others."""

    def read(self, rows: Rows) -> "MemorySplit":
        """Return the selected rows as a split; if `rows` is a slice, its arrays are views of this split's arrays."""
        rows = compose_rows(slice(0, self.rows), rows)
        inputs, targets, weights = ({name: values[rows] for name, values in s.items()} for s in self.sections())
        return MemorySplit(inputs, targets, weights, count(rows), self.origin and self.origin.take(rows))

    def watch(self, check: "Check") -> None:
        """Run the function `check` on all rows of the split."""
        check(self, slice(0, self.rows))

    def targets_in_blocks(self, name: str, most: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield (target, its sample weights or None) of all rows at once."""
        yield self.targets[name], self.sample_weight.get(name)

    def sections(self) -> tuple[Arrays, Arrays, Arrays]:
        """Return three mappings from name to array: inputs, targets and sample weights."""
        return self.inputs, self.targets, self.sample_weight

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for section in self.sections() for values in section.values())


Reader = Callable[[Rows], MemorySplit]
"""Function that reads selected rows, preprocessed by some of the pipelines, into memory."""
Check = Callable[[MemorySplit, Rows], None]
"""Function that checks preprocessed rows in memory, given their positions in the split; raises DataError."""


class DiskSplit:
    """Data split whose preprocessed rows are not all in memory: `ready` has some inputs and targets, readers the rest.

    `oov` has the counts of what is preprocessed already; the readers add those of the rows that they read.
    """

    def __init__(self, ready: MemorySplit, readers: Sequence[Reader], origin: Origin | None) -> None:
        self._ready = ready
        self._readers = readers
        self.origin = origin
        self.oov = ready.oov
        self._checks: list[Check] = []
        self.rows = ready.rows
        self.nbytes = self.read(slice(0, 1)).nbytes * self.rows

    def read(self, rows: Rows) -> MemorySplit:
        """Read the selected rows of the split into memory; thread-safe. Raises DataError."""
        rows = compose_rows(slice(0, self.rows), rows)
        parts = [read(rows).sections() for read in (self._ready.read, *self._readers)]
        inputs, targets, weights = (reduce(or_, arrays) for arrays in zip(*parts, strict=True))
        split = MemorySplit(inputs, targets, weights, count(rows), self.origin and self.origin.take(rows))
        for check in self._checks:
            check(split, rows)
        return split

    def watch(self, check: Check) -> None:
        """Run the function `check` on rows of the split when they are read."""
        self._checks.append(check)

    def targets_in_blocks(self, name: str, most: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield (target, its sample weights or None) in blocks of rows: at most `most`, at equal distances (None: all).

        A target that is in memory is one block, without reading inputs from the disk.
        """
        if name in self._ready.targets:
            yield from self._ready.targets_in_blocks(name)
            return
        apart = _BLOCK_ROWS if most is None else max(_BLOCK_ROWS, self.rows // most)
        for first in range(0, self.rows, apart):
            yield from self.read(slice(first, min(first + _BLOCK_ROWS, self.rows))).targets_in_blocks(name)


Split = MemorySplit | DiskSplit
"""Data split: rows preprocessed by the pipelines, in memory or on disk."""


def raw_table(rows: Split, option: str) -> Table:
    """Return the raw columns of rows. Raises ConfigError, which names the command's `option`, if they have none."""
    if rows.origin is None:
        raise ConfigError(f"{option}: these rows have no raw columns: they are arrays, or generated")
    return rows.origin.table
