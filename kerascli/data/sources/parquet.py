"""Source `parquet`: files of Parquet, and folders of them with hive-style partitions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field as Setting

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.sources.named_files import TableOfFiles
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.partitions import Part
from kerascli.data.storage.table import Table


@source()
class Parquet(TableOfFiles, FileSource):
    """Parquet files, or folders of them, with columns of numbers, booleans, text, dates or timestamps.

    A folder, or all that an address begins with, is one table: its files in the order of their paths, with a column
    for each folder called `column=value`. Dates and timestamps are read as ISO 8601 texts, for `datetime`; those with
    a time zone are converted to UTC.
    """

    any_column = Field((), "unknown")
    whole_folders = True

    dtypes: dict[str, Literal["text", "number"]] = Setting(default={})
    """Mapping from partition column to its type: text (keeps `month=01` as it is) or number.
    Others are numbers (or booleans) if every value is one, else text."""

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_parquet([Part(path, name)], name, columns)

    def read_parts(self, parts: list[Part], name: str, columns: frozenset[str] | None) -> Table:
        return read_parquet(parts, name, columns, self.dtypes)


def read_parquet(
    parts: Sequence[Part], name: str, columns: frozenset[str] | None = None, dtypes: Mapping[str, str] | None = None
) -> Table:
    """Read files of Parquet as one table; `columns` are the names of the columns in use, `dtypes` types of partition
    columns. Raises DataError, FileRefused."""
    parquet = ParquetColumns(parts, columns, dtypes)
    return Table(parquet, parquet.rows, name=name, made_of=parquet.place)
