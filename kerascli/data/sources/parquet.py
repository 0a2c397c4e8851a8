"""Source `parquet`: Parquet files, read with pyarrow (an optional dependency)."""

from pathlib import Path

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.table import Table


@source()
class Parquet(FileSource):
    """Parquet files with columns of numbers, booleans, text, dates or timestamps; needs pyarrow.

    Dates and timestamps are read as ISO 8601 texts, for `datetime`; those with a time zone are converted to UTC.
    """

    any_column = Field((), "unknown")

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_parquet(path, name, columns)


def read_parquet(path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
    """Read a Parquet file as a table; `columns` are the names of the columns in use. Raises DataError, FileRefused."""
    found = ParquetColumns(path, name, columns)
    return Table(found, found.rows, name=name)
