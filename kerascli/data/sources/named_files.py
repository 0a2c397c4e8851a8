"""Base class of sources of tables whose columns may name files, such as pictures, which are read in place of names."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field as Setting

from kerascli.data.base import Context, Source
from kerascli.data.readers import READERS, FileReader
from kerascli.data.storage.decoded_files import Decoder, NamedFiles, undamaged
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import Fault


class TableOfFiles(Source):
    """Base class of sources of tables with columns that may name files."""

    paths = ("path", "validation", "test", "files")

    on_bad_rows: Literal["error", "skip"] = "error"
    """Treatment of rows that cannot be used: error, or skip (leaves them out, with a warning)."""
    files: dict[str, Annotated[FileReader, READERS.field()]] = Setting(default={})
    """Mapping from each column whose texts name files to the reader of the files: `photo: {image: {size: 224}}`."""

    def with_paths(self, change: Callable[[str], str], fields: Sequence[str] | None = None) -> Self:
        other = super().with_paths(change, fields)
        if fields is not None and "files" not in fields:
            return other
        return other.model_copy(update={"files": {name: each.with_paths(change) for name, each in self.files.items()}})

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
            decoder = reader.decoder()
            decoder.need()
            folders = reader.folders(context.folder, table.name, of_command=of_command)
            files = NamedFiles(table, name, folders, reader.suffix, decoder)
            columns[name], faults = files.read_once() if context.decode else files.find_all()
            can_skip = skip and reader.on_corrupt == "skip"
            undamaged(table, faults, skip=can_skip, noun="file", of_command=of_command)
            damaged |= faults
        return undamaged(table.with_files(columns), damaged, skip=True, noun="file") if columns else table
