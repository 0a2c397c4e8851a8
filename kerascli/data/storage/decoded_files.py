"""Columns of files, such as images, each decoded to an array of one shape when its row is read.

All files are decoded once before training, so that every damaged one is known before the first step.
"""

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from kerascli.data.storage.on_disk import Direct, Rows, Values, count, is_large
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import FILES, Skipped, Table
from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.errors import DataError, Fault, counted, safe_text

MAX_BYTES = 256 * 2**20
"""Maximum size of a file to decode, in bytes."""
_THREADS = min(8, cpu_limit().count)
_SHOWN = 20
"""Maximum number of damaged files that an error message names."""


class DamagedFile(DataError):
    """Error about a file that is incomplete, of another format, or missing, so that its row may be skipped."""


class Decoder(ABC):
    """Settings for decoding files of one kind to arrays of one shape."""

    noun: ClassVar[str] = "image"
    """Noun for such a file in messages."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Usual ends of the names of such files, in lower case."""
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of a decoded file."""

    def need(self) -> None:  # noqa: B027
        """Raise DataError if a library that the decoder needs, whatever the file's format, is not installed."""

    @abstractmethod
    def decode(self, path: Path, *, reduced: bool = False) -> np.ndarray:
        """Decode a file. Raises DamagedFile, and DataError for one that cannot be read at all.

        `reduced` makes a smaller array if that is faster and finds the same damage.
        """


class DecodedFiles(Direct):
    """Column of files (rows, *shape), decoded on access; of labels of 16 bits the dtype is known once they are read."""

    def __init__(self, files: Sequence[Path] | np.ndarray, decoder: Decoder) -> None:
        """Create the column of some files. Raises DataError if a library that the decoder needs is not installed."""
        decoder.need()
        size = math.prod(decoder.shape) * decoder.dtype.itemsize
        super().__init__(len(files), decoder.shape, decoder.dtype, size)
        self._files = files
        self._decoder = decoder

    def _read(self, rows: Rows) -> np.ndarray:
        numbers = range(rows.start, rows.stop) if isinstance(rows, slice) else rows.tolist()
        out = np.empty((len(numbers), *self.row_shape), self.dtype)
        with ThreadPoolExecutor(_THREADS) as threads:  # decoders release the interpreter lock
            for position, values in enumerate(threads.map(self.decoded, numbers)):
                out[position] = values
        return out

    def read_once(self) -> tuple[Values, dict[int, Fault]]:
        """Decode every file once; return the column, and a mapping from row to the error of a damaged file.

        The column is in memory, with zeros in the rows of damaged files, unless it is too large for that.
        Raises DataError for a file that cannot be read at all.
        """
        in_memory = not is_large(len(self) * self.row_bytes)
        faults: dict[int, Fault] = {}
        out = np.zeros(self.shape, self.dtype) if in_memory else None

        def decode(row: int) -> np.ndarray | Fault:
            try:
                return self.decoded(row, reduced=not in_memory)
            except DamagedFile as error:
                return error.faults[0]

        with ThreadPoolExecutor(_THREADS) as threads:
            for row, values in enumerate(threads.map(decode, range(len(self)))):
                if isinstance(values, Fault):
                    faults[row] = values
                    continue
                self.dtype = np.result_type(self.dtype, values)
                if out is not None:
                    out = out.astype(self.dtype, copy=False)
                    out[row] = values
        return self if out is None else out, faults

    def decoded(self, row: int, *, reduced: bool = False) -> np.ndarray:
        """Decode the file of a row. Raises DamagedFile, DataError."""
        return self._decoder.decode(self._files[row], reduced=reduced)


class NamedFiles(DecodedFiles):
    """Column of the files that a column of a table names; errors have the place of the name in the table."""

    def __init__(self, table: Table, column: str, folders: Sequence[Path], suffix: str, decoder: Decoder) -> None:
        """Create the column of files named by a column's texts plus `suffix`, searched for in `folders` in order."""
        self._names = table.text(column)
        super().__init__(self._names, decoder)
        self._table, self._column, self._suffix = table, column, suffix
        self._folders = {os.path.realpath(folder): os.path.normpath(folder) for folder in folders}

    def decoded(self, row: int, *, reduced: bool = False) -> np.ndarray:
        with self._placed(row):
            return self._decoder.decode(self._path(self._names[row]), reduced=reduced)

    def find_all(self) -> tuple[Values, dict[int, Fault]]:
        """Look for every file; return a column of zeros, and a mapping from row to the error of a missing file.

        No file is opened. Raises DataError for a name that leads out of the folders.
        """
        faults: dict[int, Fault] = {}
        for row, name in enumerate(self._names):
            try:
                with self._placed(row):
                    self._path(name)
            except DamagedFile as error:
                faults[row] = error.faults[0]
        return _Zeros(len(self), self.row_shape, self.dtype, self.row_bytes), faults

    @contextmanager
    def _placed(self, row: int) -> Iterator[None]:
        """Context manager that gives errors about the file of a row the place of its name in the table."""
        try:
            yield
        except DataError as error:
            first = error.faults[0]
            text = first.text if first.place is None else f"'{safe_text(self._names[row], 60)}': {first.text}"
            raise type(error)(replace(first, text=text, place=self._table.place(row, self._column))) from None

    def _path(self, name: str) -> Path:
        """Return the path of a file by its name in the table.

        Raises DamagedFile for a missing file, DataError for a name that leads out of the folders.
        """
        if not name:
            raise DamagedFile("missing value: the row names no file")
        shown = safe_text(name, 60)
        if "\\" in name or re.match("[A-Za-z]:", name):
            raise DataError(f"'{shown}' is a path of Windows", hint="write names with '/', relative to the directory")
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise DataError(f"'{shown}' leads out of the directory", hint="write names relative to the directory")
        for folder in self._folders:
            try:
                path = os.path.realpath(os.path.join(folder, name + self._suffix), strict=True)
            except (OSError, ValueError):
                continue
            if os.path.commonpath([folder, path]) != folder:
                raise DataError(f"'{shown}' is a symbolic link that leads out of the directory")
            return Path(path)
        where = " and in ".join(f"'{safe_text(folder)}'" for folder in self._folders.values())
        raise DamagedFile(f"no such file '{shown}{safe_text(self._suffix)}' in {where}", hint=self._hint(name))

    def _hint(self, name: str) -> str | None:
        """Return a hint at the setting that a missing file needs: `suffix`, or another `directory`."""
        for folder, shown in self._folders.items():
            for suffix in () if self._suffix else self._decoder.suffixes:
                if os.path.exists(os.path.join(folder, name + suffix)):
                    return f"'{safe_text(shown)}' has '{safe_text(name + suffix, 60)}': write suffix: {suffix}"
            if os.path.exists(os.path.join(os.path.dirname(folder), name)):
                return f"the name begins with its folder: write directory: {safe_text(os.path.dirname(shown) or '.')}"
        return None


class _Zeros(Direct):
    """Column of zeros in place of files that are not decoded."""

    def _read(self, rows: Rows) -> np.ndarray:
        return np.zeros((count(rows), *self.row_shape), self.dtype)


def undamaged(
    table: Table, damaged: Mapping[int, Fault], *, skip: bool, noun: str = "image", of_command: bool = False
) -> Table:
    """Return the rows of a table without those of damaged files. Raises DataError for damage unless `skip`.

    The error lists damaged files, as does one about rows of which none is left. `noun` is that of the files in it;
    the settings for files that are given to a command are a run's, and settled.
    """
    if not damaged:
        return table
    if not skip or len(damaged) == table.rows:
        can_skip = not skip and not of_command and table.name != FILES
        hint = "mend or remove them" + (", or set 'on_corrupt: skip'" if can_skip else "")
        raise BadRows(_listed(damaged, table.rows, noun, hint), table, list(damaged))
    places = [(row, str(fault.place)) for row, fault in sorted(damaged.items())]
    rows = np.array([row for row in range(table.rows) if row not in damaged])
    return table.take(rows, Skipped(table.name, len(damaged), table.rows, rows, tuple(places[:_SHOWN]), f"{noun}s"))


def _listed(damaged: Mapping[int, Fault], rows: int, noun: str, hint: str) -> list[Fault]:
    """Return the errors of damaged files, at most `_SHOWN` of them, then an error with their total number."""
    if rows == 1:
        return list(damaged.values())
    number = f"{len(damaged):,} of {counted(rows, noun)} cannot be read"
    first, *others = (fault for _, fault in sorted(damaged.items())[:_SHOWN])
    return [first, *(replace(fault, hint=None) for fault in others), Fault(number, hint=hint)]
