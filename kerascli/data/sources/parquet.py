"""Parquet: a columnar file, read with pyarrow where that is installed."""

from pathlib import Path
from typing import Any

import numpy as np

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.table import Table, table_of
from kerascli.errors import DataError, Fault, FileRefused, Place, safe_text
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
            raise FileRefused(f"'{name}' is damaged: {safe_text(str(error).splitlines()[0], 120)}") from None
    return table_of({column: _array(table[column], column, name) for column in table.column_names}, name)


def _array(column: Any, name: str, file: str) -> np.ndarray:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return column.fill_null("").to_numpy()
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind):
        return column.to_numpy()  # nulls make floats with nan
    raise DataError(Fault(f"'{name}' holds {kind}; expected numbers or text", place=Place(file)))
