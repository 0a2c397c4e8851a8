"""Columns of a Parquet file, read on access, or streamed if they exceed memory."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.data.storage.on_disk import Stream, Values, is_large
from kerascli.data.storage.table import as_column
from kerascli.foundation.disk.files import OBJECT_BYTES, open_regular, refuse_bomb
from kerascli.foundation.errors import DataError, FileRefused, first_line, safe_text

_BUFFER_BYTES = 2**20


class ParquetColumns(Mapping[str, Values]):
    """Columns of a Parquet file by name, read on access; unused columns may have unsupported types."""

    def __init__(self, path: Path, name: str, columns: frozenset[str] | None) -> None:
        """Open a Parquet file; the size of the columns in use (None: all) decides if columns are streamed.

        Raises DataError, FileRefused.
        """
        self._path = path
        self._name = name
        self._state: tuple[int, int] | None = None
        self._size = 0
        with self._opened() as file:
            self._metadata = file.metadata
            self._schema = file.schema_arrow
        self._check_names()
        self._arrays: dict[str, np.ndarray] = {}
        used = [column for column in self if columns is None or column in columns]
        nbytes = sum(map(self._row_bytes, used)) * self.rows
        refuse_bomb(nbytes, self._size, name, "write it without packing: compression='none', use_dictionary=False")
        self._streamed = is_large(nbytes)

    @property
    def rows(self) -> int:
        return self._metadata.num_rows

    def __getitem__(self, name: str) -> Values:
        if name not in self._schema.names:
            raise KeyError(name)
        if self._streamed:
            return _Streamed(self, name, _dtype(self._type(name), missing=self._missing(name)), self._row_bytes(name))
        if name not in self._arrays:
            with self._opened() as file:
                column = file.read(columns=[name])[name]
            self._refuse_other_count(len(column))
            self._arrays[name] = self.array(column, name, missing=column.null_count > 0)
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema.names)

    def __len__(self) -> int:
        return len(self._schema.names)

    def stream(self, name: str, rows: int) -> Iterator[Any]:
        """Iterate over a column as pyarrow arrays of at most `rows` rows, row group by row group."""
        import pyarrow

        done = 0
        with self._opened() as file:
            for batch in file.iter_batches(batch_size=rows, columns=[name]):
                done += len(batch)
                yield pyarrow.chunked_array([batch[name]])
        self._refuse_other_count(done)

    def first(self, rows: int) -> bytes:
        """Return a Parquet file with at most the first `rows` rows."""
        import pyarrow
        from pyarrow import parquet

        sink = pyarrow.BufferOutputStream()
        with self._opened() as file:
            parquet.write_table(pyarrow.Table.from_batches([next(file.iter_batches(batch_size=rows))]), sink)
        return sink.getvalue().to_pybytes()

    def array(self, column: Any, name: str, *, missing: bool) -> np.ndarray:
        """Convert a pyarrow column to a numpy column; `missing` says if the Parquet column has missing values anywhere.

        Raises DataError.
        """
        try:
            return as_column(_array(column, missing=missing), name, self._name)
        except OverflowError:
            text = f"'{name}' has missing values and numbers beyond 2**53, which floats cannot hold"
        except TypeError as error:
            text = f"'{name}' holds {error}; expected numbers or text"
        raise DataError(text, place=self._name)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Context manager that opens the Parquet file. Raises DataError (also if the file has changed), FileRefused."""
        import pyarrow
        from pyarrow import parquet

        with open_regular(self._path, self._name) as file:
            status = os.fstat(file.fileno())
            state = (status.st_size, status.st_mtime_ns)
            if state != (self._state or state):
                raise DataError("the file was changed while it was in use", place=self._name)
            self._state = state
            self._size = status.st_size
            try:
                yield parquet.ParquetFile(file, page_checksum_verification=True, buffer_size=_BUFFER_BYTES)
            except (pyarrow.ArrowException, OSError) as error:
                raise FileRefused(f"'{self._name}' is damaged: {safe_text(first_line(error), 120)}") from None

    def _check_names(self) -> None:
        names = self._schema.names
        twice = next((column for column in names if names.count(column) > 1), None)
        if twice is not None:
            raise DataError(f"column '{safe_text(twice, 40)}' appears twice", place=self._name)
        if not names:
            raise DataError("there are no columns", place=self._name)

    def _refuse_other_count(self, rows: int) -> None:
        if rows != self.rows:
            raise FileRefused(f"'{self._name}' is damaged: it says {self.rows:,} rows and has {rows:,}")

    def _type(self, name: str) -> Any:
        return self._schema.field(name).type

    def _chunks(self, name: str) -> Iterator[Any]:
        """Iterate over the Parquet metadata of a column's chunks, one for each row group."""
        for number in range(self._metadata.num_row_groups):
            group = self._metadata.row_group(number)
            found = (group.column(index) for index in range(group.num_columns))
            yield from (chunk for chunk in found if chunk.path_in_schema == name)

    def _row_bytes(self, name: str) -> int:
        """Estimate the bytes of one row of a column in memory."""
        kind = self._type(name)
        if _dtype(kind, missing=False).kind != "O":
            return 8  # float64 if any value is missing
        written = sum(chunk.total_uncompressed_size for chunk in self._chunks(name))
        return OBJECT_BYTES + 8 + written // max(1, self.rows)

    def _missing(self, name: str) -> bool:
        """Return True if a column has missing values, from the file's statistics or else by reading the column."""
        all_statistics = [chunk.statistics for chunk in self._chunks(name)]
        if all(statistics is not None and statistics.has_null_count for statistics in all_statistics):
            return any(statistics.null_count for statistics in all_statistics)
        return any(part.null_count for part in self.stream(name, 2**16))


class _Streamed(Stream):
    """Column of a Parquet file that is read sequentially, since it exceeds memory."""

    def __init__(self, columns: ParquetColumns, name: str, dtype: np.dtype, row_bytes: int) -> None:
        super().__init__(columns.rows, (), dtype, row_bytes)
        self._columns = columns
        self._name = name

    def stream(self, rows: int) -> Iterator[np.ndarray]:
        missing = self.dtype == np.float64  # matters for integers only: floats keep their nan
        return (
            self._columns.array(part, self._name, missing=missing) for part in self._columns.stream(self._name, rows)
        )


def _dtype(kind: Any, *, missing: bool) -> np.dtype:
    """Return the numpy dtype to which a column of the given pyarrow type is converted."""
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind) or types.is_boolean(kind):
        return np.dtype(np.float64 if missing else kind.to_pandas_dtype())
    return np.dtype(kind.to_pandas_dtype() if types.is_floating(kind) else object)


def _array(column: Any, *, missing: bool) -> np.ndarray:
    """Convert a pyarrow column: text and dates to texts with '' for missing values, integers with missing to float64.

    Raises OverflowError if float64 cannot represent the integers, TypeError for columns of other types.
    """
    import pyarrow

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return column.fill_null("").to_numpy()
    if pyarrow.types.is_date(kind) or pyarrow.types.is_timestamp(kind):
        return _time_texts(column)
    if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)):
        raise TypeError(str(kind))
    if missing and not pyarrow.types.is_floating(kind):
        whole = column.cast(pyarrow.uint8()) if pyarrow.types.is_boolean(kind) else column
        try:
            column = whole.cast(pyarrow.float64())
        except pyarrow.ArrowInvalid:
            raise OverflowError from None
    return column.to_numpy()


def _time_texts(column: Any) -> np.ndarray:
    """Return dates and timestamps as ISO 8601 texts, as a text file would have them; with a time zone in UTC (`Z`)."""
    import pyarrow

    times = column.to_numpy()
    if pyarrow.types.is_date(column.type):
        texts = times.astype("datetime64[D]").astype(str).astype(object)
    else:
        seconds = times.astype("datetime64[s]")
        texts = seconds.astype(str).astype(object)
        fractions = np.flatnonzero(times != seconds)
        texts[fractions] = [text.rstrip("0") for text in times[fractions].astype(str).tolist()]
        if column.type.tz is not None:
            texts += "Z"
    texts[np.isnat(times)] = ""
    return texts
