"""Columns of one or several files of Parquet, read on access, or streamed if they exceed memory.

A file is opened for each pass over it, and refused if it is damaged or has changed meanwhile.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.data.storage.column import Column, pa, pc
from kerascli.data.storage.on_disk import Stream, Values, is_large
from kerascli.data.storage.partitions import LINE, Part, partition_columns
from kerascli.foundation.disk.files import OBJECT_BYTES, open_regular, refuse_bomb
from kerascli.foundation.errors import DataError, FileRefused, Place, first_line, safe_text

_BUFFER_BYTES = 2**20
_ROWS = 2**20
"""Number of rows that are read at once of a column that is kept in memory."""


class ParquetFile:
    """File of Parquet with its metadata and schema; its columns are read on request."""

    def __init__(self, path: Path, name: str) -> None:
        """Open a file and read its metadata; `name` is its name in messages. Raises DataError, FileRefused."""
        self._path = path
        self.name = name
        self._state: tuple[int, int] | None = None
        self._metadata: Any = None
        self.size = 0
        with self.opened() as file:
            self._metadata = file.metadata
            self.schema = file.schema_arrow
            self._leaves = {leaf.path: index for index, leaf in enumerate(file.schema)}
        self.rows: int = self._metadata.num_rows
        names = self.schema.names
        twice = next((column for column in names if names.count(column) > 1), None)
        if twice is not None:
            raise DataError(f"column '{safe_text(twice, 40)}' appears twice", place=name)
        if not names:
            raise DataError("there are no columns", place=name)

    def stream(self, column: str, rows: int) -> Iterator[Any]:
        """Iterate over a column as pyarrow arrays of at most `rows` rows, row group by row group."""
        done = 0
        with self.opened() as file:
            for batch in file.iter_batches(batch_size=rows, columns=[column]):
                done += len(batch)
                yield pa.chunked_array([batch[column]])
        if not done:  # its type is checked, too
            yield pa.chunked_array([], self.schema.field(column).type)
        if done != self.rows:
            raise FileRefused(f"'{self.name}' is damaged: it says {self.rows:,} rows and has {done:,}")

    def has_missing(self, column: str) -> bool:
        """Return True if a column has missing values, from the file's statistics or else by reading the column."""
        all_statistics = [chunk.statistics for chunk in self.chunks(column)]
        if all(statistics is not None and statistics.has_null_count for statistics in all_statistics):
            return any(statistics.null_count for statistics in all_statistics)
        return any(part.null_count for part in self.stream(column, 2**16))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Context manager that opens the Parquet file. Raises DataError (also if the file has changed), FileRefused."""
        from pyarrow import parquet

        with open_regular(self._path, self.name) as file:
            status = os.fstat(file.fileno())
            state = (status.st_size, status.st_mtime_ns)
            if state != (self._state or state):
                raise DataError("the file was changed while it was in use", place=self.name)
            self._state = state
            self.size = status.st_size
            try:
                yield parquet.ParquetFile(
                    file, metadata=self._metadata, page_checksum_verification=True, buffer_size=_BUFFER_BYTES
                )
            except (pa.ArrowException, OSError) as error:
                raise FileRefused(f"'{self.name}' is damaged: {safe_text(first_line(error), 120)}") from None

    def chunks(self, column: str) -> Iterator[Any]:
        """Iterate over the Parquet metadata of a column's chunks, one for each row group."""
        if (index := self._leaves.get(column)) is not None:
            groups = map(self._metadata.row_group, range(self._metadata.num_row_groups))
            yield from (group.column(index) for group in groups)


class ParquetColumns(Mapping[str, Values | Column]):
    """Columns of files of Parquet by name, followed by their partition columns; rows are in the order of the files.

    Columns are read on access; unused ones may have unsupported types, or other types in another file.
    """

    def __init__(
        self, parts: Sequence[Part], columns: frozenset[str] | None, dtypes: Mapping[str, str] | None = None
    ) -> None:
        """Open the files; the size of the columns in use (None: all) decides if columns are streamed.

        `dtypes` are types (`text`, `number`) of partition columns. Raises DataError, FileRefused.
        """
        self._files = [ParquetFile(part.path, part.name) for part in parts]
        self._starts = np.cumsum([0, *(file.rows for file in self._files)])
        self.rows = int(self._starts[-1])
        self._schema = self._files[0].schema
        self._check_same(columns)
        self._partitions = partition_columns(parts, self._schema.names, dtypes or {})
        self._column = cache(self._read)
        self._missing = cache(lambda name: any(file.has_missing(name) for file in self._files))
        row_bytes = sum(self._row_bytes(column) for column in self if columns is None or column in columns)
        for file in self._files:
            hint = "write it without packing: compression='none', use_dictionary=False"
            refuse_bomb(row_bytes * file.rows, file.size, file.name, hint)
        self._streamed = is_large(row_bytes * self.rows)

    def __getitem__(self, name: str) -> Values | Column:
        if name not in self._partitions and name not in self._schema.names:
            raise KeyError(name)
        if self._streamed:
            return Stream(self.rows, (), self._column_dtype(name), self._row_bytes(name), partial(self.stream, name))
        return self._column(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*(name for name in self._schema.names if name != LINE), *self._partitions))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def place(self, row: int, column: str, at: tuple[int, int] = (0, 0)) -> Place:
        """Return the place of a value: its file, and the row's number there, counted from 1."""
        index = int(np.searchsorted(self._starts, row, side="right")) - 1
        return Place(self._files[index].name, row - int(self._starts[index]) + 1, name=column)

    def stream(self, name: str, rows: int) -> Iterator[np.ndarray]:
        """Iterate over a column in arrays of at most `rows` rows, row group by row group."""
        if name in self._partitions:
            for value, file in zip(self._partitions[name], self._files, strict=True):
                whole = np.full(min(rows, file.rows), value, self._partitions[name].dtype)
                yield from (whole[: file.rows - first] for first in range(0, file.rows, rows))
            return
        missing = self._missing(name)
        for file in self._files:
            yield from (_array(part, name, file.name, missing=missing) for part in file.stream(name, rows))

    def first_rows(self, name: str, rows: int) -> np.ndarray:
        """Return a column of the first rows alone, at most `rows`; missing values are those in these rows."""
        part = next(self._files[0].stream(name, rows))
        return _array(part, name, self._files[0].name, missing=part.null_count > 0)

    def _read(self, name: str) -> np.ndarray | Column:
        kind = None if name in self._partitions else _plain(self._type(name))
        if _is_text(kind) or kind == pa.null():
            parts = (part.cast(pa.large_string()) for file in self._files for part in file.stream(name, _ROWS))
            texts = pa.chunked_array([part.chunk(0) for part in parts], pa.large_string())
            return Column.of(texts, np.full(self.rows, np.nan) if kind == pa.null() else None)  # gaps are both
        return np.concatenate([np.empty(0, self._column_dtype(name)), *self.stream(name, _ROWS)])

    def _check_same(self, columns: frozenset[str] | None) -> None:
        """Raise DataError if a file lacks a column in use, or has it with another type than the first file."""
        first, *others = self._files
        names = dict.fromkeys(name for file in self._files for name in file.schema.names)
        for file in others:
            for name in names if columns is None else filter(columns.__contains__, names):
                here, there = _type_text(file, name), _type_text(first, name)
                if here != there:
                    text = f"column '{safe_text(name, 40)}' is {here}, and in '{safe_text(first.name)}' {there}"
                    raise DataError(text, place=file.name, hint="write all files of a table with the same schema")

    def _column_dtype(self, name: str) -> np.dtype:
        is_partition = name in self._partitions
        return self._partitions[name].dtype if is_partition else _dtype(self._type(name), self._missing(name))

    def _type(self, name: str) -> Any:
        return self._schema.field(name).type

    def _row_bytes(self, name: str) -> int:
        """Estimate the bytes of one row of a column in memory."""
        if name in self._partitions or _dtype(self._type(name), False).kind != "O":
            return 8  # float64 if any value is missing; a partition's text is stored once
        written = sum(chunk.total_uncompressed_size for file in self._files for chunk in file.chunks(name))
        return OBJECT_BYTES + 8 + written // max(1, self.rows)


def _type_text(file: ParquetFile, column: str) -> str:
    """Return the type of a column for messages; text is the same type whether or not it is dictionary-encoded."""
    return str(_plain(file.schema.field(column).type)) if column in file.schema.names else "missing"


def _plain(kind: Any) -> Any:
    """Return the type of a column's values, also of a dictionary-encoded column."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    return kind in (pa.string(), pa.large_string())


def _dtype(kind: Any, missing: bool) -> np.dtype:
    """Return the numpy dtype to which a column of the given pyarrow type is converted."""
    types, kind = pa.types, _plain(kind)
    if kind == pa.null():
        return np.dtype(np.float64)
    if not (types.is_integer(kind) or types.is_boolean(kind) or types.is_floating(kind)):
        return np.dtype(object)
    if missing and not types.is_floating(kind):
        return np.dtype(np.float64)
    return pa.array([], kind).to_numpy(zero_copy_only=False).dtype


def _array(column: Any, name: str, file: str, *, missing: bool) -> np.ndarray:
    """Convert a pyarrow column: text and dates to texts with '' for missing values, integers to float64 if the column
    has missing values in any of the files (`missing`).

    Raises DataError if float64 cannot represent the integers, and for columns of other types.
    """
    types, kind = pa.types, _plain(column.type)
    column = column.cast(kind)
    if _is_text(kind):
        return column.fill_null("").to_numpy()
    if types.is_date(kind) or types.is_timestamp(kind):
        return _time_texts(column)
    if _dtype(kind, missing).kind == "O":
        raise DataError(f"'{name}' holds {kind}; expected numbers or text", place=file)
    if missing and not types.is_floating(kind):
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            text = f"'{name}' has missing values and numbers beyond 2**53, which floats cannot hold"
            raise DataError(text, place=file) from None
    return column.to_numpy()


def _time_texts(column: Any) -> np.ndarray:
    """Return dates and timestamps as ISO 8601 texts, as a text file would have them; with a time zone in UTC (`Z`)."""
    kind = column.type
    if pa.types.is_date(kind):
        texts = column.cast(pa.string())
    else:
        plain = column.cast(pa.timestamp(kind.unit)).cast(pa.string())  # without the time zone, in UTC
        texts = pc.replace_substring_regex(pc.replace_substring(plain, " ", "T"), r"\.0*$|(\.\d*[1-9])0+$", r"\1")
        texts = pc.binary_join_element_wise(texts, "Z" if kind.tz else "", "")
    return texts.fill_null("").to_numpy()
