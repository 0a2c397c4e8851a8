"""Base class of data sources that read folders with one subfolder for each class, in Keras's order of files."""

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import FILES, Table
from kerascli.foundation.errors import DataError, DataMissing, safe_text, suggestion
from kerascli.foundation.shapes import Words

_MOST_FILES = 20_000_000


@dataclass(frozen=True, slots=True)
class LabelledFiles:
    """Paths of a folder's files in Keras's order, with the integer class label of each."""

    paths: list[Path]
    labels: np.ndarray


class FolderSource(Source):
    """Base class of data sources with a folder for the training rows and optional folders for the other splits.

    The classes are those of the training folder, in every split.
    """

    paths = ("directory", "validation", "test")
    names_files = True
    suffixes: ClassVar[tuple[str, ...]]

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

    @abstractmethod
    def table(self, files: list[Path], columns: dict[str, Values], name: str) -> Table:
        """Return a table with a row for each file: its name, the given `columns` and its contents. Raises DataError."""

    def label(self, context: Context) -> dict[str, Field]:
        """Return {"label": field} for the column of class labels, or {} if there are no labels. Raises DataError."""
        if self.labels is None:
            return {}
        if not self.class_names and not (context.folder / self.directory).exists():
            return {"label": Field((), "int64")}
        names = self.class_names or class_names(context.folder / self.directory, self.directory)
        return {"label": Field((), "int64", num_classes=len(names), classes=tuple(names))}

    def reads_alone(self, path: Path) -> bool:
        return path.name.lower().endswith(self.suffixes)

    def read_rows(self, files: Sequence[Path], labels: np.ndarray | None = None) -> Table:
        return self.table(list(files), {} if labels is None else {"label": labels}, FILES)

    def folders(self, context: Context) -> list[Path]:
        return [context.folder / path for path in self._paths().values()]

    def _paths(self) -> dict[str, str]:
        paths = {"train": self.directory, "validation": self.validation, "test": self.test}
        return {split: path for split, path in paths.items() if path is not None}

    def load(self, context: Context) -> Mapping[str, Table]:
        tables: dict[str, Table] = {}
        label = self.label(context)
        for split, path in self._paths().items():
            columns: dict[str, Values] = {}
            folder = plain_path(context.folder / path)
            if label:
                labelled = labelled_files(folder, path, label["label"].classes or (), self.suffixes)
                files, columns["label"] = labelled.paths, labelled.labels
            else:
                files = unlabelled_files(folder, path, self.suffixes)
            tables[split] = self.table(files, columns, path)
        return tables


def plain_path(path: Path) -> Path:
    """Return a path without `..` in it, as users would write it; unchanged if a link makes that another file."""
    plain = os.path.normpath(path)
    try:
        return Path(plain) if os.path.samefile(plain, path) else path
    except OSError:
        return path


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


def labelled_files(folder: Path, shown: str, classes: tuple[str, ...], suffixes: tuple[str, ...]) -> LabelledFiles:
    """Return the files (with one of the suffixes) in each class's folder and its subfolders, and their class labels.

    Links to folders are not followed.

    Raises DataError.
    """
    names_there = class_names(folder, shown)
    paths: list[Path] = []
    counts = []
    for name in classes:
        if name not in names_there:
            text = f"there is no folder for the class '{safe_text(name, 40)}'{suggestion(name, names_there)}"
            raise DataError(text, place=shown)
        files = files_below(folder / name, suffixes)
        counts.append(len(files))
        paths += files
        if len(paths) > _MOST_FILES:
            raise DataError(f"more than {_MOST_FILES:,} files", place=shown)
    _refuse_none(paths, shown, suffixes)
    return LabelledFiles(paths, np.repeat(np.arange(len(classes)), counts))


def unlabelled_files(folder: Path, shown: str, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the paths of the files with one of the suffixes in a folder and its subfolders. Raises DataError."""
    if not folder.is_dir():
        raise DataMissing("there is no such folder", place=shown)
    paths = files_below(folder, suffixes)
    _refuse_none(paths, shown, suffixes)
    return paths


def _refuse_none(paths: list[Path], shown: str, suffixes: tuple[str, ...]) -> None:
    if not paths:
        raise DataError(f"there are no files that end in {', '.join(suffixes)}", place=shown)


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files with one of the suffixes in a folder and its subfolders, in alphanumeric order."""
    return [
        Path(root) / name
        for root, _, names in sorted(os.walk(folder))
        for name in sorted(names)
        if name.lower().endswith(suffixes)
    ]
