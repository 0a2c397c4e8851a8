"""Read a data file of any supported format as a table of raw rows, and concatenate tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerascli.data.remote.frozen_text import read_text_table
from kerascli.data.section import DataSpec
from kerascli.data.sources.file_source import read_parquet
from kerascli.data.sources.npz import read_npz
from kerascli.data.sources.timeseries import Timeseries
from kerascli.data.storage.array_files import read_arrays
from kerascli.data.storage.column import Column, Texts
from kerascli.data.storage.compressed import uncompressed_suffix
from kerascli.data.storage.delimited.text_format import TextFormat
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.partitions import Part
from kerascli.data.storage.table import Skipped, Table, table_of
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, Place, safe_text


def joined(tables: Sequence[Table]) -> Table:
    """Concatenate the rows of tables in the columns that all have. Raises DataError if a column's shapes differ."""
    first, *rest = tables
    if not rest:
        return first
    names = [name for name in first if all(name in other for other in rest)]
    files = {name: _values(name, tables) for name in names if all(name in table.files for table in tables)}
    texts = {name: np.concatenate([table.text(name) for table in tables]) for name in files}
    columns = texts | {name: _column(name, tables) for name in names if name not in files}
    ends = np.cumsum([table.rows for table in tables])

    def place(row: int, column: str, at: tuple[int, int]) -> Place:
        index = int(np.searchsorted(ends, row, side="right"))
        return tables[index].place(row - int(ends[index]) + tables[index].rows, column, at)

    name = ", ".join(dict.fromkeys(table.name for table in tables))
    note = "; ".join(filter(None, (table.note for table in tables)))
    table = Table(columns, int(ends[-1]), name=name, made_of=place, skipped=_skipped(tables), note=note)
    return table.with_files(files)


def _skipped(tables: Sequence[Table]) -> Skipped | None:
    """Return the damaged files that were left out of tables, taken together."""
    skipped = [table.skipped for table in tables if table.skipped is not None]
    if not skipped:
        return None
    each = [table.skipped or Skipped(table.name, 0, table.rows, np.arange(table.rows), ()) for table in tables]
    *starts, of = np.cumsum([0, *(part.of for part in each)]).tolist()
    kept = np.concatenate([start + part.kept for start, part in zip(starts, each, strict=True)])
    first = tuple((start + row, text) for start, part in zip(starts, each, strict=True) for row, text in part.first)
    name = ", ".join(part.name for part in skipped)
    return Skipped(name, of - len(kept), of, kept, first, skipped[0].noun)


def _column(name: str, tables: Sequence[Table]) -> np.ndarray | Column:
    """Return the rows of tables in a column of numbers or text; numbers of text files keep their texts."""
    values = _values(name, tables)
    if values.dtype == object or not all(isinstance(table.columns[name], Column) for table in tables):
        return values
    return Column(lambda: Texts.of_values(np.concatenate([table.text(name) for table in tables])), lambda: values)


def _values(name: str, tables: Sequence[Table]) -> np.ndarray:
    parts = [in_memory(table.column(name)) for table in tables]
    ragged = any(map(is_ragged, parts))
    if not ragged and any(part.dtype == object for part in parts):  # words in one file make text of numbers in another
        parts = [table.text(name) if part.dtype != object else part for table, part in zip(tables, parts, strict=True)]
    for table, part in zip(tables, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            text = f"'{safe_text(name, 40)}' has rows of shape {part.shape[1:]}, those before of {parts[0].shape[1:]}"
            raise DataError(text, place=table.name)
    return np.concatenate(parts)


_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","}
_JSON_LINES = (".jsonl", ".ndjson")


def read_raw(spec: DataSpec, path: Path, *, columns: frozenset[str], name: str | None = None) -> Table:
    """Read the data file at `path`, of any supported format, as a table. Raises DataError, FileRefused.

    The format is detected from the content, else from the suffix. Text is read with the settings of the run's source
    (delimiter, encoding), if it has any. `columns` are those in use; `name` is the file in messages. Of windows over a
    series the file holds the series.
    """
    name = name or str(path)
    if isinstance(spec.source, Timeseries):
        rows = spec.source.row_columns(columns)
        table = read_raw(spec.of_rows(spec.source.source, rows), path, columns=rows, name=name)
        return spec.source.windows(spec.source.filled(table, columns & spec.columns()), name, columns)
    with open_regular(path, name) as file:
        head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        return read_npz(path, name)
    if head.startswith(b"\x93NUMPY"):
        return _npy(spec, path, name)
    if head.startswith(b"PAR1"):
        return read_parquet([Part(path, name)], name, columns)
    suffix = uncompressed_suffix(path)
    if suffix in _JSON_LINES:
        return read_text_table(path, name, None, columns)
    table = spec.source.read(path, name, columns)
    if table is not None:
        return table
    if suffix in _TEXT:
        return read_text_table(path, name, TextFormat(delimiter=_TEXT[suffix]), columns)
    raise DataError("expected a csv, tsv, jsonl, npz, npy or parquet file", place=name)


def _npy(spec: DataSpec, path: Path, name: str) -> Table:
    """Read an npy file as the one column that all inputs are computed from. Raises DataError if they use several."""
    columns = spec.columns_of("inputs")
    if len(columns) != 1:
        text = f"a single array, but the inputs use {len(columns)} columns: {', '.join(sorted(columns))}"
        raise DataError(text, place=name, hint="save them by name with numpy.savez")
    return table_of(dict(zip(columns, read_arrays(path, name).values(), strict=True)), name)
