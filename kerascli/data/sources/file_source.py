"""Data sources that read one file for each split: their base classes, `csv`, `tsv`, `json_lines` and `parquet`."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, Tables, source
from kerascli.data.readers import READERS, FileReader
from kerascli.data.remote.addresses import FILE_SCHEMES, hiding_environment, in_place, scheme_of
from kerascli.data.remote.copies import last_name, parts_at
from kerascli.data.remote.frozen_text import read_text_table
from kerascli.data.storage.decoded_files import Decoder, NamedFiles, undamaged
from kerascli.data.storage.delimited.text_format import Character, TextFormat
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.partitions import Part
from kerascli.data.storage.row_errors import read_table
from kerascli.data.storage.table import Table
from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import Fault, safe_text, suggestion
from kerascli.language.component import Invalid


class FileSource(Source):
    """Base class of data sources with a file for the training rows and optional files for the other splits."""

    paths = ("path", "validation", "test")
    schemes = FILE_SCHEMES
    whole_folders: ClassVar[bool] = False
    """True if the source also reads a folder of files as one table."""

    path: str
    """File with the training rows; the path is relative to the config, or an address: `s3://`, `gs://`, `https://`."""
    validation: str | None = None
    """File with the rows of the split 'validation'."""
    test: str | None = None
    """File with the rows of the split 'test'."""
    sha256: Annotated[str, Setting(pattern=r"^[0-9A-Fa-f]{64}$")] | None = None
    """SHA-256 of the file at an `https://` address; of `validation` and `test` it is written there:
    `ADDRESS#sha256=...`."""

    @model_validator(mode="after")
    def _https_has_a_digest(self) -> Self:
        for split, path in self._paths().items():
            name = "path" if split == "train" else split
            if scheme_of(path) == "https" and "#sha256=" not in path:
                text = f"{name}: a file at https:// needs its SHA-256"
                hint = "add sha256: ..." if name == "path" else f"write {name}: ADDRESS#sha256=..."
                raise Invalid(text, (name,), hint=hint)
        if self.sha256 is not None and not in_place(self.path):
            raise Invalid("sha256: only of a file at https://", ("sha256",), "key")
        return self

    def load(self, context: Context) -> Tables:
        tables = {}
        for split, path in self._paths().items():
            with hiding_environment(path):
                read = partial(self.read_parts, self.parts(context, path), path, context.columns)
                tables[split] = read_table(read, skip=self.skips_bad_rows())
        return tables

    def read_parts(self, parts: list[Part], name: str, columns: frozenset[str] | None) -> Table:
        """Read the files at the path `name` as one table; `columns` are those in use. Raises DataError."""
        (part,) = parts
        table = self.read(part.path, part.name, columns)
        assert table is not None, "a source of several files has its own way to read them"
        return table

    def parts(self, context: Context, path: str) -> list[Part]:
        """Return the files at a path or an address; remote ones are copied to the cache folder, unless they are there.

        Raises DataError, ConfigError, StorageError.
        """
        return parts_at(path, context.folder, whole_folders=self.whole_folders, progress=context.progress)

    def local(self, context: Context, path: str) -> Path:
        """Return the only file at a path or an address, as `parts`."""
        (part,) = self.parts(context, path)
        return part.path

    def data_files(self, context: Context) -> list[Path]:
        paths = self._paths().values()
        return [context.folder / path for path in paths if scheme_of(path) is None and "$env." not in path]

    def digests(self, context: Context) -> dict[str, str]:
        plain = FileSource.data_files(self, context)
        if len(plain) == len(self._paths()) and not (self.whole_folders and any(path.is_dir() for path in plain)):
            return super().digests(context)
        digests: dict[str, str] = {}
        for split, path in self._paths().items():
            with hiding_environment(path):
                for part in self.parts(context, path):
                    name = last_name(path) + part.name.removeprefix(path.partition("#")[0].rstrip("/"))
                    digests[f"{split}: {name}" if name in digests else name] = file_digest(part.path)
        return digests

    def _paths(self) -> dict[str, str]:
        """Return the path or address of each split; an https address with its SHA-256."""
        return self.by_split(self.path + (f"#sha256={self.sha256}" if self.sha256 else ""))


class TableOfFiles(Source):
    """Base class of sources of tables with columns that may name files."""

    any_column = Field((), "unknown")
    paths = ("path", "validation", "test", "files")

    on_bad_rows: Literal["error", "skip"] = "error"
    """Treatment of rows that cannot be used: error, or skip (leaves them out, with a warning)."""
    files: dict[str, Annotated[FileReader, READERS.field()]] = Setting(default={})
    """Mapping from each column whose texts name files to the reader of the files: `photo: {image: {size: 224}}`."""

    def skips_bad_rows(self) -> bool:
        return self.on_bad_rows == "skip"

    def decoders(self) -> Mapping[str, Decoder]:
        return {name: reader.decoder() for name, reader in self.files.items()}

    def folders(self, context: Context) -> list[Path]:
        return [context.folder / each.directory for each in self.files.values() if each.directory is not None]

    def open_files(self, table: Table, context: Context, *, of_command: bool = False, skip: bool = True) -> Table:
        """Return a table with the files that its columns name in place of the names. Raises DataError.

        If the table is given to a command (`of_command`), files may be beside it, too; unless `skip`, a damaged file
        is an error even where the reader skips its row.
        """
        columns: dict[str, Values] = {}
        damaged: dict[int, Fault] = {}
        for name, reader in self.files.items():
            if name not in table and not of_command:
                table.column(name)  # raises the error
            if name not in table or (context.columns is not None and name not in context.columns):
                continue
            folders = reader.folders(context.folder, table.name, of_command=of_command)
            files = NamedFiles(table, name, folders, reader.suffix, reader.decoder())
            columns[name], faults = files.read_once() if context.decode else files.find_all()
            undamaged(table, faults, skip=skip and reader.on_corrupt == "skip", noun="file", of_command=of_command)
            damaged |= faults
        return undamaged(table.with_files(columns), damaged, skip=True, noun="file") if columns else table


@source()
class JsonLines(TableOfFiles, FileSource):
    """JSON Lines files: columns of numbers, text or lists of numbers by key; null is a missing value."""

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_text_table(path, name, None, columns)


@source()
class Parquet(TableOfFiles, FileSource):
    """Parquet files, or folders of them, with columns of numbers, booleans, text, dates or timestamps.

    A folder, or all that an address begins with, is one table: its files in the order of their paths, with a column
    for each folder called `column=value`. Dates and timestamps are read as ISO 8601 texts, for `datetime`; those with
    a time zone are converted to UTC.
    """

    whole_folders = True

    dtypes: dict[str, Literal["text", "number"]] = Setting(default={})
    """Mapping from partition column to its type: text (keeps `month=01` as it is) or number.
    Others are numbers (or booleans) if every value is one, else text."""

    def read_parts(self, parts: list[Part], name: str, columns: frozenset[str] | None) -> Table:
        return read_parquet(parts, name, columns, self.dtypes)


def read_parquet(
    parts: Sequence[Part], name: str, columns: frozenset[str] | None = None, dtypes: Mapping[str, str] | None = None
) -> Table:
    """Read files of Parquet as one table; `columns` are the names of the columns in use, `dtypes` types of partition
    columns. Raises DataError, FileRefused."""
    parquet = ParquetColumns(parts, columns, dtypes)
    return Table(parquet, parquet.rows, name=name, made_of=parquet.place)


@source()
class Csv(TableOfFiles, TextFormat, FileSource):
    """Delimited text files with a header line; columns of numbers, booleans (`true`, `false`) or text.

    An empty field is a missing value; others are those in `na_values`. Files may be compressed: gzip, bzip2, Zstandard.
    """

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_text_table(path, name, self.text_format(), columns)

    def read_parts(self, parts: list[Part], name: str, columns: frozenset[str] | None) -> Table:
        table = super().read_parts(parts, name, columns)
        for column in self.dtypes:  # of the run's own files: those of a command may lack columns that it does not use
            if column not in table:
                text = f"dtypes: there is no column '{safe_text(column, 40)}'{suggestion(column, table)}"
                raise table.fault(text, f"the columns are: {', '.join(map(safe_text, list(table)[:20]))}")
        return table


@source()
class Tsv(Csv):
    """Text files with a header line and tabs between the fields; otherwise as `csv`."""

    delimiter: Character = "\t"
    """Character that separates fields."""
