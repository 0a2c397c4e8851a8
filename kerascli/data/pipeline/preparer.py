"""Prepare splits: at once in memory, batch by batch, or once in order into a temporary file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from kerascli.data.base import Field, Learned
from kerascli.data.batches.rows import DiskSplit, MemorySplit, Origin, Reader, Split
from kerascli.data.pipeline.pipeline import prepare
from kerascli.data.pipeline.route import Route
from kerascli.data.storage.mapped import Mapped
from kerascli.data.storage.on_disk import BLOCK_BYTES, Rows
from kerascli.data.storage.spill import spill
from kerascli.data.storage.table import Table
from kerascli.errors import DataError, Fault, Place, safe_text

Fields = Mapping[tuple[str, str], list[Field]]
"""Fields before each step and after the last one, by section and name of the pipeline."""

Progress = Callable[[str, int, int], None]

_PROBE_ROWS = 64


class Preparer:
    """Fitted pipelines, which turn tables into prepared splits."""

    def __init__(
        self,
        routes: Sequence[Route],
        fields: Fields,
        learned: Mapping[str, Learned],
        progress: Progress | None = None,
    ) -> None:
        self._routes = routes
        self._fields = fields
        self._learned = learned
        self._progress = progress
        self._spilled: dict[int, tuple[Table, Mapped]] = {}

    def split(self, table: Table) -> Split:
        """Prepare the rows of a table as a split. Raises DataError, StorageError.

        Rows of memory-mapped arrays are prepared when a batch of them is read. Columns that can only be read in order,
        such as Parquet's, are prepared once, for all splits of the same file together.
        """
        if table.rows == 0:
            raise DataError(Fault("there are no rows", place=Place(table.name or "data")))
        on_disk = [route for route in self._routes if table.on_disk(route.pipeline.columns)]
        streams = [route for route in on_disk if table.streams(route.pipeline.columns)]
        ready = self.rows([route for route in self._routes if route not in on_disk], table)
        if not on_disk:
            return ready
        readers: list[Reader] = [ready]
        if streams:
            readers.append(self._in_order(streams, table))
        if direct := [route for route in on_disk if route not in streams]:
            readers.append(_WhenRead(self, direct, table))
        return DiskSplit(readers, table.rows, self._origin(table))

    def rows(self, routes: Sequence[Route], table: Table) -> MemorySplit:
        """Prepare rows whose columns are in memory. Raises DataError."""
        found: dict[str, dict[str, np.ndarray]] = {"inputs": {}, "targets": {}, "sample_weight": {}}
        for route in routes:
            found[route.section][route.name] = prepare(route, table, self._fields[route.id], self._learned)
        origin = self._origin(table)
        return MemorySplit(found["inputs"], found["targets"], found["sample_weight"], table.rows, origin)

    def _origin(self, table: Table) -> Origin:
        return Origin(table, {route.id: route.pipeline.columns for route in self._routes})

    def _in_order(self, routes: Sequence[Route], table: Table) -> Reader:
        whole, rows = table.whole()
        if id(whole) not in self._spilled:
            records = Mapped(spill(self._records(routes, whole), whole.rows), "the temporary file")
            self._spilled[id(whole)] = whole, records
        return _Records(self._spilled[id(whole)][1].take(rows))

    def _records(self, routes: Sequence[Route], table: Table) -> Iterator[np.ndarray]:
        """Yield prepared rows as record arrays of all the pipelines' outputs, so that a row is contiguous on disk."""
        columns = {column for route in routes for column in route.pipeline.columns}
        probe = _recorded(self.rows(routes, next(table.parts(columns, _PROBE_ROWS))))
        done = 0
        for part in table.parts(columns, max(1, BLOCK_BYTES // probe.dtype.itemsize)):
            yield _recorded(self.rows(routes, part))
            done += part.rows
            if self._progress is not None:
                size = probe.dtype.itemsize
                self._progress(f"preparing {safe_text(table.name)}", done * size, table.rows * size)


class _WhenRead:
    """Reader of memory-mapped arrays that prepares rows when they are read."""

    def __init__(self, preparer: Preparer, routes: Sequence[Route], table: Table) -> None:
        self._preparer = preparer
        self._routes = routes
        self._table = table
        self._columns = {column for route in routes for column in route.pipeline.columns}

    def read(self, rows: Rows) -> MemorySplit:
        return self._preparer.rows(self._routes, self._table.load(rows, self._columns))


class _Records:
    """Reader of prepared rows in a memory-mapped record array."""

    def __init__(self, records: Mapped) -> None:
        self._records = records

    def read(self, rows: Rows) -> MemorySplit:
        found = self._records[rows]
        sections: dict[str, dict[str, np.ndarray]] = {"inputs": {}, "targets": {}, "sample_weight": {}}
        for key in found.dtype.names or ():
            section, _, name = key.partition("/")
            sections[section][name] = np.ascontiguousarray(found[key])
        return MemorySplit(sections["inputs"], sections["targets"], sections["sample_weight"], len(found))


def _recorded(split: MemorySplit) -> np.ndarray:
    sections = zip(("inputs", "targets", "sample_weight"), split.sections(), strict=True)
    arrays = dict(chain.from_iterable(((f"{s}/{n}", values) for n, values in found.items()) for s, found in sections))
    dtype = np.dtype([(key, values.dtype, values.shape[1:]) for key, values in arrays.items()])
    records = np.empty(split.rows, dtype)
    for key, values in arrays.items():
        records[key] = values
    return records
