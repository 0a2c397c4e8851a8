"""Apply fitted pipelines to the rows of a split: in memory, per batch, or in file order to a temporary file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from kerascli.data.batches.rows import DiskSplit, MemorySplit, Origin, Reader, Split
from kerascli.data.download import Progress
from kerascli.data.pipeline.pipeline import FittedPipeline, in_threads
from kerascli.data.section import by_section
from kerascli.data.storage.convert import as_records
from kerascli.data.storage.mapped import Mapped, spill
from kerascli.data.storage.on_disk import BLOCK_BYTES, Rows, Stream
from kerascli.data.storage.table import Table
from kerascli.data.text.oov import OovCounts
from kerascli.foundation.errors import safe_text

_PROBE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Preparer:
    """Object that applies fitted pipelines to tables; each table becomes a split of preprocessed rows."""

    pipelines: Sequence[FittedPipeline]
    progress: Progress | None = None
    _spilled: dict[int, tuple[Table, Mapped, OovCounts]] = field(default_factory=dict)

    def split(self, table: Table) -> Split:
        """Return the rows of a table, preprocessed by the pipelines, as a split. Raises DataError, StorageError.

        Rows of memory-mapped arrays are prepared when a batch of them is read. Columns that can only be read in order,
        such as Parquet's, are prepared once, for all splits of the same file together.
        """
        if table.rows == 0:
            raise table.fault("there are no rows")
        on_disk = [each for each in self.pipelines if table.on_disk(each.columns)]
        streams = [each for each in on_disk if table.on_disk(each.columns, Stream)]
        oov = OovCounts()
        ready = self.rows([each for each in self.pipelines if each not in on_disk], table, oov)
        if not on_disk:
            return ready
        readers: list[Reader] = []
        if streams:
            readers.append(self._in_order(streams, table, oov))
        if direct := [each for each in on_disk if each not in streams]:
            columns = {column for each in direct for column in each.columns}
            readers.append(lambda rows: self.rows(direct, table.load(rows, columns), oov))
        return DiskSplit(ready, readers, self._origin(table))

    def rows(self, pipelines: Sequence[FittedPipeline], table: Table, oov: OovCounts) -> MemorySplit:
        """Return the rows of a table in memory, preprocessed by the pipelines, as a split. Raises DataError.

        Values that are out of a vocabulary are added to the counts `oov`.
        """
        return split_of(_prepared(pipelines, table, oov), table.rows, self._origin(table), oov)

    def _origin(self, table: Table) -> Origin:
        return Origin(table, {each.named.id: each.columns for each in self.pipelines})

    def _in_order(self, pipelines: Sequence[FittedPipeline], table: Table, oov: OovCounts) -> Reader:
        """Return a reader of a table's rows; add the counts of OOV values of the whole file to `oov`."""
        whole, rows = table.whole()
        if id(whole) not in self._spilled:
            counts = OovCounts()
            records = Mapped(spill(self._records(pipelines, whole, counts), whole.rows), "the temporary file")
            self._spilled[id(whole)] = whole, records, counts
        _, records, counts = self._spilled[id(whole)]
        oov.add(counts)
        return partial(read_records, records.take(rows))

    def _records(self, pipelines: Sequence[FittedPipeline], table: Table, oov: OovCounts) -> Iterator[np.ndarray]:
        """Yield prepared rows as records of all pipelines' outputs, so that each row is contiguous on disk."""
        columns = {column for each in pipelines for column in each.columns}
        probe = as_records(_prepared(pipelines, next(table.parts(columns, _PROBE_ROWS)), OovCounts()))
        done = 0
        for part in table.parts(columns, max(1, BLOCK_BYTES // probe.dtype.itemsize)):
            yield as_records(_prepared(pipelines, part, oov))
            done += part.rows
            if self.progress is not None:
                size = probe.dtype.itemsize
                self.progress(f"preparing {safe_text(table.name)}", done * size, table.rows * size)


def _prepared(pipelines: Sequence[FittedPipeline], table: Table, oov: OovCounts) -> dict[str, np.ndarray]:
    """Return the prepared rows of a table, by section and name of the pipeline (`inputs/x`)."""
    counts = [OovCounts() for _ in pipelines]
    arrays = in_threads(lambda each, own: each.prepare(table, own), pipelines, counts, rows=table.rows)
    for own in counts:
        oov.add(own)
    return {"/".join(each.named.id): array for each, array in zip(pipelines, arrays, strict=True)}


def read_records(records: Mapped, rows: Rows) -> MemorySplit:
    """Return rows that were prepared before, from a memory-mapped array of records."""
    values = records[rows]
    arrays = {
        key: values[key].copy() for key in values.dtype.names or ()
    }  # also of one row, whose strides torch refuses
    return split_of(arrays, len(values))


def split_of(
    arrays: Mapping[str, np.ndarray], rows: int, origin: Origin | None = None, oov: OovCounts | None = None
) -> MemorySplit:
    """Return arrays as a split; their names begin with their section, as `inputs/x`."""
    sections = by_section((key.split("/", 1), values) for key, values in arrays.items())
    return MemorySplit(*sections.values(), rows=rows, origin=origin, oov=oov or OovCounts())
