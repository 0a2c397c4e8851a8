"""Parquet: a columnar file, read with pyarrow where that is installed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.table import Table, as_column
from kerascli.errors import DataError, Fault, FileRefused, Place, first_line, safe_text
from kerascli.files import memory_limit, open_regular


@source()
class Parquet(FileSource):
    """Columns of numbers, truth values or text."""

    any_column = Field((), "unknown")

    def read_file(self, path: Path, name: str) -> Table:
        return read_parquet(path, name)


def read_parquet(path: Path, name: str) -> Table:
    """A parquet file as a table, its size checked from the footer first. Raises DataError, FileRefused."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        hint = 'pip install "kerascli[parquet]"'
        raise DataError(Fault("parquet files need pyarrow", place=Place(name), hint=hint)) from None
    with open_regular(path, name) as file:
        try:
            opened = parquet.ParquetFile(file, page_checksum_verification=True)
            columns = len(opened.schema_arrow)
            if 8 * opened.metadata.num_rows * columns > memory_limit():
                rows = opened.metadata.num_rows
                raise FileRefused(f"'{name}' has {rows:,} rows of {columns} columns: more than half of the memory")
            table = opened.read()
        except (pyarrow.ArrowException, OSError) as error:
            raise FileRefused(f"'{name}' is damaged: {safe_text(first_line(error), 120)}") from None
    names = table.column_names
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise DataError(Fault(f"column '{safe_text(twice, 40)}' appears twice", place=Place(name)))
    if not names:
        raise DataError(Fault("there are no columns", place=Place(name)))
    return Table(_Columns(table, name), table.num_rows, name=name)


class _Columns(Mapping[str, np.ndarray]):
    """The columns of a file, each converted when it is asked for: the others may hold what a model cannot take."""

    def __init__(self, table: Any, file: str) -> None:
        self._table = table
        self._file = file
        self._arrays: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = as_column(_array(self._table[name], name, self._file), name, self._file)
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table.column_names

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.column_names)

    def __len__(self) -> int:
        return self._table.num_columns


def _array(column: Any, name: str, file: str) -> np.ndarray:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return column.fill_null("").to_numpy()
    if column.null_count and pyarrow.types.is_boolean(kind):
        return column.cast(pyarrow.uint8()).to_numpy()
    if column.null_count and pyarrow.types.is_integer(kind):
        try:
            return column.cast(pyarrow.float64()).to_numpy()
        except pyarrow.ArrowInvalid:
            text = f"'{name}' has missing values and numbers beyond 2**53, which floats cannot hold"
            raise DataError(Fault(text, place=Place(file))) from None
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind):
        return column.to_numpy()  # where values are missing, floats with nan
    raise DataError(Fault(f"'{name}' holds {kind}; expected numbers or text", place=Place(file)))
