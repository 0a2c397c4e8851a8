"""Parquet: a columnar file, read with pyarrow where that is installed."""

from pathlib import Path

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.table import Table


@source()
class Parquet(FileSource):
    """Columns of numbers, truth values or text."""

    any_column = Field((), "unknown")

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_parquet(path, name, columns)


def read_parquet(path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
    """A parquet file as a table; `columns` are those in use. Raises DataError, FileRefused."""
    found = ParquetColumns(path, name, columns)
    return Table(found, found.rows, name=name)
