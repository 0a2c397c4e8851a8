"""Sources `text_folder`, `text_lines` and `text_windows`: whole files, their lines, or windows of characters."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.sources.folders import FolderSource, file_names
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import FILE, Table, table_of
from kerascli.data.text.files import read_text
from kerascli.foundation.disk.files import LINE_BYTES, OBJECT_BYTES, memory_limit, refuse_text
from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import PositiveInt


@source()
class TextFolder(FolderSource):
    """Text files (.txt, UTF-8) with one subfolder for each class, as Keras's text_dataset_from_directory.

    Columns: `text` and `label`, an integer. The files are read into memory.
    """

    suffixes = (".txt",)

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"text": Field((), "string"), **self.label(context)}

    def table(self, files: list[Path], columns: dict[str, Values], name: str) -> Table:
        texts = texts_of(files, name)
        return Table({FILE: file_names(files), **columns, "text": texts}, len(files), name=name)


def texts_of(files: Sequence[Path], name: str) -> np.ndarray:
    """Return the texts of files, each a value; `name` names them in messages. Raises DataError."""
    texts = np.empty(len(files), object)
    left = memory_limit() // 4
    for row, path in enumerate(files):
        texts[row] = read_text(path, str(path))
        left -= sys.getsizeof(texts[row])
        if left < 0:
            raise DataError(f"the texts of {len(files):,} files do not fit in a quarter of the memory", place=name)
    return texts


@source()
class TextLines(FileSource):
    """Lines of a UTF-8 file as the column `text`; blank lines are skipped."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"text": Field((), "string")}

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        text = read_text(path, name)
        refuse_text(text, {"\n": LINE_BYTES}, len(text), name)
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if not lines:
            raise DataError("the file has no text", place=name)
        numbers, texts = zip(*lines, strict=True)
        return Table({"text": np.array(texts, object)}, len(texts), name=name, numbers=np.array(numbers))


@source()
class TextWindows(FileSource):
    """Windows of characters over a UTF-8 file, for language models.

    Columns: `text`, a window; `next`, the character after it; `shifted`, the window one character later.
    """

    sequence_length: PositiveInt = 40
    """Length of a window, in characters."""
    sequence_stride: PositiveInt = 1
    """Distance between the starts of successive windows, in characters."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        length = self.sequence_length
        windows = {name: Field((), "string", max_length=length) for name in ("text", "shifted")}
        return {**windows, "next": Field((), "string", max_length=1)}

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        text, length = read_text(path, name), self.sequence_length
        starts = range(0, len(text) - length, self.sequence_stride)
        if not starts:
            raise DataError(f"{len(text):,} characters; expected more than sequence_length, {length:,}", place=name)
        used = [column for column in ("text", "next", "shifted") if columns is None or column in columns]
        if (need := len(starts) * len(used) * (length + OBJECT_BYTES)) > memory_limit():
            message = f"{len(starts):,} windows take {need:,} bytes; the limit here is {memory_limit():,}"
            raise DataError(message, place=name, hint="increase sequence_stride")
        spans = {"text": (0, length), "next": (length, length + 1), "shifted": (1, length + 1)}
        windows = {column: [text[i + spans[column][0] : i + spans[column][1]] for i in starts] for column in used}
        return table_of({column: np.array(texts, object) for column, texts in windows.items()}, name)
