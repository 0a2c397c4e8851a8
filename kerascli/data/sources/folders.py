"""Sources of folders with one subfolder for each class, in Keras's order of files; those of texts: `text_folder`,
`text_lines` and `text_windows` (whole files, their lines, windows of characters)."""

import os
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Context, Field, Fields, Source, Tables, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.table import FILE, FILES, Table, table_of
from kerascli.data.text.files import read_text
from kerascli.foundation.disk.files import LINE_BYTES, OBJECT_BYTES, memory_limit, refuse_text
from kerascli.foundation.errors import DataError, DataMissing, safe_text, suggestion
from kerascli.foundation.shapes import PositiveInt, Words


class FolderSource(Source):
    """Base class of data sources with a folder for the training rows and optional folders for the other splits.

    The classes are those of the training folder, in every split.
    """

    paths = ("directory", "validation", "test")

    directory: str
    """Folder with the training files: one subfolder for each class, in alphanumeric order; relative to the config."""
    validation: str | None = None
    """Folder with the files of the split 'validation'."""
    test: str | None = None
    """Folder with the files of the split 'test'."""
    labels: Literal["inferred"] | None = "inferred"
    """Class labels: inferred (each subfolder is a class), or null: no labels, all files at any depth are read."""
    class_names: Words = ()
    """Names of the subfolders to use as classes, in order of their labels; empty: all, in alphanumeric order."""

    @model_validator(mode="after")
    def _has_classes_to_name(self) -> Self:
        if self.labels is None and self.class_names:
            raise ValueError("class_names: there are no classes with labels: null")
        return self

    def label(self, context: Context) -> dict[str, Field]:
        """Return {"label": field} for the column of class labels, or {} if there are no labels. Raises DataError."""
        if self.labels is None:
            return {}
        if not self.class_names and not (context.folder / self.directory).exists():
            return {"label": Field((), "int64")}
        names = self.class_names or class_names(context.folder / self.directory, self.directory)
        return {"label": Field((), "int64", num_classes=len(names), classes=tuple(names))}

    def load(self, context: Context) -> Tables:
        tables: dict[str, Table] = {}
        label = self.label(context)
        classes = label["label"].classes or () if label else None
        for split, path in self.by_split(self.directory).items():
            files, labels = files_in(plain_path(context.folder / path), path, self.suffixes, classes)
            tables[split] = self.read_rows(files, labels, path)
        return tables


def plain_path(path: Path) -> Path:
    """Return a path without `..` in it, as users would write it; unchanged if a link makes that another file."""
    plain = os.path.normpath(path)
    return Path(plain) if os.path.realpath(plain) == os.path.realpath(path) else path


def file_names(files: Sequence[Path]) -> np.ndarray:
    """Return the column `file` of a table with a row for each file: the path of each, as text."""
    return np.array(list(map(str, files)), object)


def class_names(folder: Path, shown: str) -> tuple[str, ...]:
    """Return the names of a folder's subfolders in alphanumeric order, without hidden ones. Raises DataError."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataMissing("there is no such folder", place=shown) from None
    except OSError as error:
        raise DataError(f"cannot read the folder: {(error.strerror or str(error)).lower()}", place=shown) from None
    if not names:
        raise DataError("expected a folder for each class, found none", place=shown)
    return tuple(names)


def files_in(
    folder: Path, shown: str, suffixes: tuple[str, ...], classes: Sequence[str] | None = None
) -> tuple[list[Path], dict[str, np.ndarray]]:
    """Return the files (with one of the suffixes) in a folder and its subfolders; with `classes`, those in each class's
    folder, and the column `label` of their class labels (else no column).

    Links to folders are not followed. Raises DataError.
    """
    if classes is None and not folder.is_dir():
        raise DataMissing("there is no such folder", place=shown)
    names_there = () if classes is None else class_names(folder, shown)
    for name in classes or ():
        if name not in names_there:
            text = f"there is no folder for the class '{safe_text(name, 40)}'{suggestion(name, names_there)}"
            raise DataError(text, place=shown)
    files = [files_below(folder / name, suffixes) for name in ([""] if classes is None else classes)]
    paths = list(chain.from_iterable(files))
    if not paths:
        raise DataError(f"there are no files that end in {', '.join(suffixes)}", place=shown)
    return paths, {} if classes is None else {"label": np.repeat(np.arange(len(files)), list(map(len, files)))}


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files with one of the suffixes in a folder and its subfolders, in alphanumeric order."""
    below = ((Path(root), sorted(names)) for root, _, names in sorted(os.walk(folder)))
    return [path / name for path, names in below for name in names if name.lower().endswith(suffixes)]


@source()
class TextFolder(FolderSource):
    """Text files (.txt, UTF-8) with one subfolder for each class, as Keras's text_dataset_from_directory.

    Columns: `text` and `label`, an integer. The files are read into memory.
    """

    suffixes = (".txt",)

    def facts(self, context: Context) -> Fields:
        return {"text": Field((), "string"), **self.label(context)}

    def read_rows(self, files: Sequence[Path], columns: Mapping[str, np.ndarray] = {}, name: str = FILES) -> Table:
        return Table({FILE: file_names(files), **columns, "text": texts_of(files, name)}, len(files), name=name)


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

    def facts(self, context: Context) -> Fields:
        return {"text": Field((), "string")}

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        text = read_text(path, name)
        refuse_text(text, {"\n": LINE_BYTES}, len(text), name)
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if not lines:
            raise DataError("the file has no text", place=name)
        numbers, texts = zip(*lines, strict=True)
        return Table({"text": np.array(texts, object)}, len(texts), name=name, lines=np.array(numbers))


@source()
class TextWindows(FileSource):
    """Windows of characters over a UTF-8 file, for language models.

    Columns: `text`, a window; `next`, the character after it; `shifted`, the window one character later.
    """

    sequence_length: PositiveInt = 40
    """Length of a window, in characters."""
    sequence_stride: PositiveInt = 1
    """Distance between the starts of successive windows, in characters."""

    def facts(self, context: Context) -> Fields:
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
