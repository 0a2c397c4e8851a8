"""Folders with a folder for each class: which files there are, in Keras's order."""

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
from kerascli.data.storage.table import Table
from kerascli.errors import DataError, DataMissing, Fault, Place, safe_text, suggestion
from kerascli.shapes import Words

_MOST_FILES = 20_000_000


@dataclass(frozen=True, slots=True)
class Filed:
    """Files in Keras's order, and the number of each one's class."""

    paths: list[Path]
    labels: np.ndarray


class FolderSource(Source):
    """A folder to train on, perhaps others for the other splits; the classes are those of the first."""

    paths = ("directory", "validation", "test")
    suffixes: ClassVar[tuple[str, ...]]

    directory: str
    """The folder; each folder in it is a class, in order of name."""
    validation: str | None = None
    """A file with rows of the split 'validation'."""
    test: str | None = None
    """A file with rows of the split 'test'."""
    labels: Literal["inferred"] | None = "inferred"
    """inferred: a class for each folder; null: files without classes, from the folder and those in it."""
    class_names: Words = ()
    """The classes that are used, in order of their numbers; else all, by their names."""

    @model_validator(mode="after")
    def _has_classes_to_name(self) -> Self:
        if self.labels is None and self.class_names:
            raise ValueError("class_names: there are no classes with labels: null")
        return self

    @abstractmethod
    def contents(self, files: list[Path], name: str) -> dict[str, Values]:
        """The column that the files make. Raises DataError."""

    def label(self, context: Context) -> dict[str, Field]:
        """What is known of the classes, if there are any. Raises DataError."""
        if self.labels is None:
            return {}
        if not self.class_names and not (context.folder / self.directory).exists():
            return {"label": Field((), "int64")}
        names = self.class_names or class_names(context.folder / self.directory, self.directory)
        return {"label": Field((), "int64", num_classes=len(names), classes=tuple(names))}

    def reads_alone(self, path: Path) -> bool:
        return path.name.lower().endswith(self.suffixes)

    def read_rows(self, files: Sequence[Path], labels: np.ndarray | None = None) -> Table:
        names = np.array([str(path) for path in files], object)
        given: dict[str, Values] = {"file": names} if labels is None else {"file": names, "label": labels}
        return Table({**given, **self.contents(list(files), "the files")}, len(files), name="the files")

    def folders(self, context: Context) -> list[Path]:
        paths = (self.directory, self.validation, self.test)
        return [context.folder / path for path in paths if path is not None]

    def load(self, context: Context) -> Mapping[str, Table]:
        tables: dict[str, Table] = {}
        label = self.label(context)
        for split, path in (("train", self.directory), ("validation", self.validation), ("test", self.test)):
            if path is None:
                continue
            columns: dict[str, Values] = {}
            if label:
                found = labelled_files(context.folder / path, path, label["label"].classes or (), self.suffixes)
                files, columns["label"] = found.paths, found.labels
            else:
                files = unlabelled_files(context.folder / path, path, self.suffixes)
            tables[split] = Table({**columns, **self.contents(files, path)}, len(files), name=path)
        return tables


def class_names(folder: Path, shown: str) -> tuple[str, ...]:
    """The folders in a folder by name, without hidden ones. Raises DataError."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataMissing(Fault("there is no such folder", place=Place(shown))) from None
    except OSError as error:
        text = f"cannot read the folder: {(error.strerror or str(error)).lower()}"
        raise DataError(Fault(text, place=Place(shown))) from None
    if not names:
        raise DataError(Fault("expected a folder for each class in it, and there is none", place=Place(shown)))
    return tuple(names)


def labelled_files(folder: Path, shown: str, classes: tuple[str, ...], suffixes: tuple[str, ...]) -> Filed:
    """Files with one of the suffixes, class by class, from folders in these too; links to folders are not followed."""
    known = class_names(folder, shown)
    paths: list[Path] = []
    counts = []
    for name in classes:
        if name not in known:
            text = f"there is no folder for the class '{safe_text(name, 40)}'{suggestion(name, known)}"
            raise DataError(Fault(text, place=Place(shown)))
        found = files_below(folder / name, suffixes)
        counts.append(len(found))
        paths += found
        if len(paths) > _MOST_FILES:
            raise DataError(Fault(f"more than {_MOST_FILES:,} files", place=Place(shown)))
    _refuse_none(paths, shown, suffixes)
    return Filed(paths, np.repeat(np.arange(len(classes)), counts))


def unlabelled_files(folder: Path, shown: str, suffixes: tuple[str, ...]) -> list[Path]:
    """Files with one of the suffixes in a folder and in those in it. Raises DataError."""
    if not folder.is_dir():
        raise DataMissing(Fault("there is no such folder", place=Place(shown)))
    paths = files_below(folder, suffixes)
    _refuse_none(paths, shown, suffixes)
    return paths


def _refuse_none(paths: list[Path], shown: str, suffixes: tuple[str, ...]) -> None:
    if not paths:
        raise DataError(Fault(f"there are no files that end in {', '.join(suffixes)}", place=Place(shown)))


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files with one of the suffixes in a folder and in folders in it, in order of name."""
    return [
        Path(root) / name
        for root, _, names in sorted(os.walk(folder))
        for name in sorted(names)
        if name.lower().endswith(suffixes)
    ]
