"""Read the data named in a command such as `predict` (files, folders, patterns, standard input, texts) as one table."""

import glob
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerascli.data.base import Context, Fields
from kerascli.data.read import joined, read_raw
from kerascli.data.remote.addresses import CREDENTIALS, FILE_SCHEMES, address_fault, scheme_of
from kerascli.data.remote.copies import parts_at
from kerascli.data.section import DataSpec
from kerascli.data.sources.file_source import read_parquet
from kerascli.data.sources.folders import FolderSource, TextFolder, file_names, files_below, files_in, texts_of
from kerascli.data.storage.decoded_files import DecodedFiles, Decoder, undamaged
from kerascli.data.storage.image_files import COLOR_MODES, SUFFIXES, Reading
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.row_errors import read_table
from kerascli.data.storage.table import FILE, FILES, Table, table_of
from kerascli.foundation.disk.files import LINE_BYTES, memory_limit, missing_file, open_regular, refuse_text
from kerascli.foundation.errors import ConfigError, DataError, safe_text

STDIN, STDIN_NAME = "-", "standard input"
_TABLES = ("csv", "tsv", "json_lines", "parquet", "python")
"""Sources of tables; if all inputs are made of one text, its values may be files, too."""
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
"""First bytes of image files."""


class CommandInput(NamedTuple):
    """Reader of the files, folders, standard input and texts named in a command, with the data settings of a run."""

    spec: DataSpec
    columns: Fields
    """Mapping from each column of the training rows to its field (shape, dtype ...)."""
    folder: Path
    """Folder that the paths of the data settings are relative to."""
    targets: bool
    """True if targets are read, too: a folder of files then has a subfolder for each class."""
    keep: frozenset[str] = frozenset()
    """Names of columns to read, if a table has them, in addition to those that the pipelines read."""

    def read(self, what: Sequence[str], texts: Sequence[str] = ()) -> Table:
        """Return one table with the data that a command's arguments name (`what`), followed by its `texts`.

        Raises DataError, ConfigError, FileRefused.
        """
        return joined([self.checked(table) for table in self.tables(what, texts)])

    def tables(self, what: Sequence[str], texts: Sequence[str] = (), *, skip: bool = False) -> list[Table]:
        """Return the tables that `read` joins; with `skip`, without rows that cannot be read."""
        tables: list[Table] = []
        for are_rows, group in groupby(_paths(what), self._is_row):  # files of one row each are read together
            paths = list(group)
            reads = [partial(self._rows, paths)] if are_rows else [partial(self._table, path) for path in paths]
            tables += [read_table(read, skip=skip) for read in reads]
        if texts:
            if (column := self._only_text()) is None:
                text = f"--text: the inputs are made of the columns {', '.join(map(safe_text, self._input_columns()))}"
                raise ConfigError(text, hint="give a table with these columns: a .csv or .jsonl file")
            tables.append(table_of({column: np.array(texts, object)}, "--text"))
        return tables

    def used(self) -> list[str]:
        """Return the columns that the inputs (and targets, if read) are computed from."""
        return self.spec.columns_of() if self.targets else self._input_columns()

    def checked(self, table: Table, *, skip: bool = True) -> Table:
        """Return `table`, with the files that it names, if it has all columns that the pipelines read.

        Unless `skip`, a damaged file is an error even if the source skips its row. Raises DataError, naming all missing
        columns.
        """
        missing = [column for column in self.used() if column not in table]
        if len(missing) == 1:
            table.column(missing[0])  # raises DataError with the most similar name
        if missing:
            names = ", ".join(f"'{safe_text(name, 40)}'" for name in missing)
            listed = ", ".join(safe_text(name, 40) for name in list(table)[:20])
            raise DataError(f"there are no columns {names}", place=table.name, hint=f"it has {listed}")
        if table.name == FILES:
            return table
        context = Context(self.folder, 0, columns=frozenset(self.used()))
        return self.spec.source.open_files(table, context, of_command=True, skip=skip)

    def _input_columns(self) -> list[str]:
        return self.spec.columns_of("inputs")

    def _only_text(self) -> str | None:
        """Return the column that all inputs are computed from, if there is only one and it holds text; else None."""
        used = self._input_columns()
        return used[0] if len(used) == 1 and self.columns[used[0]].is_text else None

    def _is_row(self, path: Path | str | None) -> bool:
        """Return True for a file of one row, such as an image or a text; None is standard input, a text an address."""
        if not isinstance(path, Path) or path.is_dir():
            return False
        name = path.name.lower()
        is_text = name.endswith(TextFolder.suffixes) and self._takes_texts() and not self._is_table(path)
        return is_text or name.endswith(self._suffixes())

    def _suffixes(self) -> tuple[str, ...]:
        """Return the ends of the names of images or others that the run's source reads as one row each."""
        decoded = self._decoded()
        return self.spec.source.suffixes or (decoded[1].suffixes if decoded else ())

    def _takes_texts(self) -> bool:
        """Return True if the run's source is a table, of which the inputs use one column of texts alone."""
        return not self.targets and self.spec.source.component_name in _TABLES and self._only_text() is not None

    def _is_table(self, path: Path) -> bool:
        """Return True if a .txt file is a table, as that of the run is or by its header, and no text."""
        source = self.spec.source
        if any(str(getattr(source, each, None)).lower().endswith(TextFolder.suffixes) for each in source.paths):
            return True
        with open_regular(path, str(path)) as file:
            lines = file.read(2**16).decode("utf-8-sig", "replace").splitlines()[: 10 + getattr(source, "skip_rows", 0)]
        return any(map(self._is_header, lines))

    def _is_header(self, line: str) -> bool:
        """Return True if a field of a line of delimited text is the name of the first column that the inputs use."""
        fields = line.split(getattr(self.spec.source, "delimiter", ","))
        return self._input_columns()[0] in [field.strip(' "\r\n') for field in fields]

    def _rows(self, paths: Sequence[Path | str | None]) -> Table:
        """Read image, sound or text files as a table with one row for each file."""
        source, files = self.spec.source, [path for path in paths if isinstance(path, Path)]
        if self.targets and isinstance(source, FolderSource) and source.labels is not None and "label" in self.used():
            text, hint = "a file alone says no class", "give the folder that has a folder for each class"
            raise DataError(text, place=str(files[0]), hint=hint)
        if files[0].name.lower().endswith(source.suffixes):
            return source.read_rows(files)
        if self._takes_texts():
            columns = {FILE: file_names(files), self._input_columns()[0]: texts_of(files, FILES)}
            return Table(columns, len(files), name=FILES)
        decoded = self._decoded()
        assert decoded is not None
        name, decoder = decoded
        values, damaged = DecodedFiles(files, decoder).read_once()
        if len(self.columns[name].shape) < len(decoder.shape):
            values = in_memory(values)[..., 0]
        table = Table({FILE: file_names(files), name: values}, len(files), name=FILES)
        return undamaged(table, damaged, skip=False, noun=decoder.noun)

    def _decoded(self) -> tuple[str, Decoder] | None:
        """Return the only column that the inputs use, with a decoder for it, if it holds files or uint8 images."""
        used = self._input_columns()
        if len(used) != 1 or self.targets:
            return None
        if (decoder := self.spec.source.decoders().get(used[0])) is not None:
            return used[0], decoder
        field = self.columns.get(used[0])
        if field is None or field.dtype != "uint8" or None in field.shape or len(field.shape) not in (2, 3):
            return None
        height, width, channels = (size or 1 for size in (*field.shape, 1)[:3])
        mode = COLOR_MODES.get(channels)
        return None if mode is None else (used[0], Reading((height, width), mode, "bilinear", crop=False))

    def _table(self, path: Path | str | None) -> Table:
        """Read a file or a folder, one at an address (a text), or standard input (None), as a table."""
        if path is None:
            return self._standard_input()
        if isinstance(path, str):
            return self._of_parts(path)
        if path.is_dir():
            return self._folder(path)
        if path.name.lower().endswith(SUFFIXES):
            columns = ", ".join(map(safe_text, self._input_columns()))
            raise DataError(f"'{safe_text(str(path))}' is an image; the inputs are made of the columns {columns}")
        return read_raw(self.spec, path, columns=self.keep.union(self.used()))

    def _folder(self, folder: Path) -> Table:
        """Read a folder of image or text files as a table; if targets are read, its subfolders are the classes."""
        source, shown = self.spec.source, str(folder)
        if self.targets and isinstance(source, FolderSource) and source.labels is not None:
            classes = self.columns["label"].classes or ()
            return source.read_rows(*files_in(folder, shown, source.suffixes, classes))
        if suffixes := self._suffixes():
            return self._rows(files_in(folder, shown, suffixes)[0])
        if self._takes_texts() and (files := files_below(folder, TextFolder.suffixes)):
            return self._rows(files)
        if source.component_name in _TABLES and any(folder.rglob("*.parquet")):
            return self._of_parts(shown)
        hint = f"give files, or a pattern: '{safe_text(shown)}/*.csv'"
        text = f"'{safe_text(shown)}' is a folder; the run's source ({source.component_name}) reads files"
        raise DataError(text, hint=hint)

    def _of_parts(self, shown: str) -> Table:
        """Read a file at an address, or the files of Parquet in a folder or at an address, as a table."""
        parts, columns = parts_at(shown, Path(), whole_folders=True), self.keep.union(self.used())
        if len(parts) == 1 and not parts[0].values:
            return read_raw(self.spec, parts[0].path, columns=columns, name=parts[0].name)
        texts = [name for name in parts[0].values if name in self.columns and self.columns[name].is_text]
        return read_parquet(parts, shown, columns, dict.fromkeys(texts, "text"))

    def _standard_input(self) -> Table:
        """Read standard input as a table: JSON Lines, lines of text, or the file format of the run's source."""
        limit = memory_limit() // 8
        if len(data := sys.stdin.buffer.read(limit + 1)) > limit:
            text, hint = f"more than {limit:,} bytes, the limit here", "give a file, or read row by row: --stream"
            raise DataError(text, place=STDIN_NAME, hint=hint)
        if not data.strip():
            raise DataError("there are no rows", place=STDIN_NAME)
        if data.lstrip()[:1] == b"{":
            return read_json_lines(data, STDIN_NAME)
        if data.startswith(_IMAGES):
            hint = "predict RUN FILE, a folder, or a pattern: 'photos/*.png'"
            raise DataError("an image; images are read from files", place=STDIN_NAME, hint=hint)
        if (lines := self._lines(data)) is not None:
            return lines
        columns = self.keep.union(self.used())
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            file.write(data)
            file.flush()
            table = read_raw(self.spec, Path(file.name), columns=columns, name=STDIN_NAME)
            if data.startswith(b"PAR1"):  # whose columns are read from the file on access
                return table_of({name: in_memory(table[name]) for name in columns if name in table}, STDIN_NAME)
        return table

    def _lines(self, data: bytes) -> Table | None:
        """Return standard input as a table of one text column, a row per line; None if it is a table or not UTF-8."""
        refuse_text(data, {"\n": LINE_BYTES, "\r": LINE_BYTES}, len(data), STDIN_NAME)
        lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
        if (column := self.column_of_lines(lines[0][1])) is None:
            return None
        with suppress(UnicodeDecodeError):
            texts = np.array([line.decode("utf-8-sig") for _, line in lines], object)
            numbers = np.array([number for number, _ in lines])
            return Table({column: texts}, len(texts), name=STDIN_NAME, lines=numbers)
        return None

    def column_of_lines(self, first: bytes) -> str | None:
        """Return the column whose values are the lines of a text on standard input: the only column that the inputs
        use.

        None if it is not text, or if a field of the line `first` is its name, as in the header of a table.
        """
        column, line = self._only_text(), first.decode("utf-8-sig", "replace")
        return None if self.targets or column is None or self._is_header(line) else column


def _paths(what: Sequence[str]) -> Iterator[Path | str | None]:
    """Yield the paths and addresses that a command's arguments name; None for standard input. Raises ConfigError."""
    for item in what:
        if (wrong := address_fault(item, FILE_SCHEMES)) is not None:
            raise ConfigError(wrong, hint=CREDENTIALS)
        yield from [None] if item == STDIN else [item] if scheme_of(item) else matching(item)


def matching(item: str) -> list[Path]:
    """Return the path that a command's argument names, or the matches of a glob pattern, as a list.
    Raises ConfigError if there is no such file or folder."""
    path = Path(item)
    if path.exists():
        return [path]
    if not set("*?[") & set(item):
        raise ConfigError(missing_file(path, item).faults)
    matches = sorted(map(Path, glob.glob(item, recursive=True)))
    if not matches:
        raise ConfigError(f"there is no file like '{safe_text(item)}'")
    return matches
