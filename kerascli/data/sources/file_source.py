"""Data sources that read one file for each split: their base class, and `json_lines` and `parquet`."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.sources.named_files import TableOfFiles
from kerascli.data.storage.compressed import read_text_file
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.table import Table


class FileSource(Source):
    """Base class of data sources with a file for the training rows and optional files for the other splits."""

    paths = ("path", "validation", "test")

    path: str
    """File with the training rows; the path is relative to the config."""
    validation: str | None = None
    """File with the rows of the split 'validation'."""
    test: str | None = None
    """File with the rows of the split 'test'."""

    def load(self, context: Context) -> Mapping[str, Table]:
        paths = self._paths()
        return {split: self.read_file(context.folder / path, path, context.columns) for split, path in paths.items()}

    @abstractmethod
    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        """Read a file as a table; `name` is its name in messages, `columns` are the names of the columns in use. Raises
        DataError."""

    def data_files(self, context: Context) -> list[Path]:
        return [context.folder / path for path in self._paths().values()]

    def _paths(self) -> dict[str, str]:
        paths = {"train": self.path, "validation": self.validation, "test": self.test}
        return {split: path for split, path in paths.items() if path is not None}


class TextFileSource(FileSource):
    """Base class of data sources whose files are text that only the source's settings tell how to read."""

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return self.read_file(path, name, columns)


@source()
class JsonLines(TableOfFiles, TextFileSource):
    """JSON Lines files: columns of numbers, text or lists of numbers by key; null is a missing value."""

    any_column = Field((), "unknown")

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        data, packed = read_text_file(path, name)
        return read_json_lines(data, name, packed=packed)


@source()
class Parquet(TableOfFiles, FileSource):
    """Parquet files with columns of numbers, booleans, text, dates or timestamps.

    Dates and timestamps are read as ISO 8601 texts, for `datetime`; those with a time zone are converted to UTC.
    """

    any_column = Field((), "unknown")

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_parquet(path, name, columns)


def read_parquet(path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
    """Read a Parquet file as a table; `columns` are the names of the columns in use. Raises DataError, FileRefused."""
    parquet = ParquetColumns(path, name, columns)
    return Table(parquet, parquet.rows, name=name)
