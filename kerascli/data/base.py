"""Base classes and registries of data sources, transforms and features, and the facts about columns (`Field`)."""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from pydantic import model_validator
from torch import nn

from kerascli.component import Component, Invalid, Registry
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import Table
from kerascli.errors import Fault, show
from kerascli.errors import Path as ConfigPath
from kerascli.files import impossible_path
from kerascli.shapes import Shape

SPLITS = ("train", "validation", "test")
"""Names of the splits of a source's rows."""

EXACT_IN_FLOAT32 = frozenset({"bool", "uint8", "int8", "uint16", "int16", "float16", "float32"})
"""Dtypes whose values float32 represents exactly, so that arithmetic on them can be deferred to the batch."""


@dataclass(frozen=True, slots=True)
class Field:
    """Facts about a column: its shape without the row axis, its dtype, and its classes or vocabulary.

    The dtype is a number type, "string" for text, "sequence" for integer sequences of varying length, "record" for
    several columns, or "unknown". A size or fact is None while it is unknown.
    """

    shape: Shape
    dtype: str
    num_classes: int | None = None
    vocabulary_size: int | None = None
    max_length: int | None = None
    classes: tuple[str, ...] | None = None
    """Class names in order of their labels, if the classes have names."""
    words: tuple[str, ...] | None = None
    """Vocabulary entry of each index of a lookup; '' for padding and out-of-vocabulary indices."""
    columns: tuple[tuple[str, "Field"], ...] = ()
    """Name and field of each column of a record (dtype "record")."""

    def fact(self, name: str) -> Any:
        """Return the value of a reference such as `$inputs.x.<name>`; None while it is unknown."""
        return list(self.shape) if name == "shape" else getattr(self, name, None)

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @property
    def is_ragged(self) -> bool:
        return self.dtype == "sequence"

    @property
    def is_integer(self) -> bool:
        """True for integers and booleans, and while the dtype is unknown."""
        return self.dtype.startswith(("int", "uint", "bool", "unknown"))


@dataclass(frozen=True, slots=True)
class Context:
    """Environment in which a source loads data: paths are relative to `folder`, random splits are drawn from `seed`."""

    folder: Path
    seed: int
    progress: Callable[[str, int, int], None] | None = None
    """Callback for long operations: called with (description, bytes done, total bytes or 0 if unknown)."""
    columns: frozenset[str] | None = None
    """Columns in use; None if that is unknown."""
    display_columns: Mapping[str, ConfigPath] = field(default_factory=dict)
    """Columns displayed next to model outputs, each with the path in the config that names it."""


_NOWHERE = ".kerascli/no-data"


class InFolder(Component):
    """Base class of components whose fields may hold paths relative to the config."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that hold a path, possibly followed by more (`file.py:function`)."""

    @model_validator(mode="after")
    def _paths_are_possible(self) -> Self:
        for name in self.paths:
            value = getattr(self, name)
            reason = impossible_path(value) if isinstance(value, str) else None
            if reason is not None:
                raise Invalid([Fault(f"{name}: no file can be called {show(value)}: {reason}", (name,))])
        return self

    def rebased(self, old: Path, new: Path, fields: Sequence[str] | None = None) -> Self:
        """Return a copy with its paths (or those in `fields`) relative to the folder `new` instead of `old`."""
        return self._moved(self.paths if fields is None else fields, lambda path: _rebase(path, old, new))

    def located(self, folder: Path) -> Self:
        """Return a copy with paths below `folder`, which are valid from any working directory."""
        return self._moved(self.paths, lambda path: str(folder / path))

    def unseen(self) -> Self:
        """Return a copy with paths at which no file exists, so that its facts depend on no file."""
        return self._moved(self.paths, lambda path: f"{_NOWHERE}/{path}")

    def _moved(self, fields: Sequence[str], move: Callable[[str], str]) -> Self:
        """Return a new component with moved paths; not a copy, which would keep values cached from the old ones."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values |= {name: move(values[name]) for name in fields if isinstance(values[name], str)}
        return type(self).model_construct(**values)


class Source(InFolder):
    """Base class of data sources: named columns in the splits `train`, `validation` and `test`."""

    any_column: ClassVar[Field | None] = None
    """Field of any column that `facts` does not describe; None: no such columns."""

    in_files: ClassVar[bool] = True
    """True if the data depends on the contents of `files` alone."""

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        """Return the columns' fields if they are known without loading, else None. Raises DataError."""
        return None

    def begin(self) -> None:
        """Start work that `load` waits for, in a separate thread; must not raise."""

    @abstractmethod
    def load(self, context: Context) -> Mapping[str, Table]:
        """Load the tables by split. Raises DataError."""

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table | None:
        """Read a file as a table, with the source's settings (delimiter, encoding); None if the source has none.

        `name` is the file in messages. `columns` are those in use; None: all.
        """
        return None

    def reads_alone(self, path: Path) -> bool:
        """Return True if a file by itself is a row here: an image, a text."""
        return False

    def read_rows(self, files: Sequence[Path], labels: np.ndarray | None = None) -> Table:
        """Read files that are a row each; only those that `reads_alone`. `file` is the column of their names."""
        raise NotImplementedError

    def files(self, context: Context) -> list[Path]:
        """Return the files whose digests identify the data of a run."""
        return []

    def folders(self, context: Context) -> list[Path]:
        """Return the folders that the source searches for files."""
        return []


def _rebase(path: str, old: Path, new: Path) -> str:
    """Return a path relative to the folder `old` as one relative to `new`; links in the folders are resolved."""
    if os.path.isabs(path):
        return path
    folder, name = os.path.split(old / path)
    return os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(new))


@dataclass(frozen=True, slots=True)
class Learned:
    """State learned by a transform from the training rows: JSON facts and arrays, saved with the model."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()
    """Warnings about the training rows for the user; not saved."""
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Cache of values that `apply` derives from the state once, since it may run for every batch; not saved."""


NOTHING_LEARNED = Learned({}, {})

Inverse = Callable[[np.ndarray], np.ndarray]
"""Rows (N, *) as they are after a transform, in float64 -> as they were before it."""


class Transform(InFolder):
    """Base class of transforms: a step of a pipeline with one column as input and one as output."""

    needs_rows: ClassVar[bool] = False
    """True if `learn` or `check` needs all rows as they reach this step."""
    fills_missing: ClassVar[bool] = False
    """True if this accepts missing values (nan) in integer columns, as a pipeline's first step."""

    takes_columns: ClassVar[bool] = False
    """True if this accepts columns of mixed dtypes as a record array, one field each, as a pipeline's first step."""

    takes_apart: ClassVar[bool] = False
    """True if this splits each value into parts, so that repeated values are no classes."""

    keeps_numbers: ClassVar[bool] = False
    """`undoing` gives back a shape or a type, and leaves the numbers as they are."""

    takes_sequences: ClassVar[bool] = False
    """True if this accepts rows of varying length (dtype "sequence")."""

    def own_columns(self) -> tuple[str, ...]:
        """Return the columns that this reads as a pipeline's first step, if its settings name them."""
        return ()

    def in_batch(self, field: Field) -> bool:
        """Return True if this is cheap and runs per batch on the device (`batch`) instead of in advance (`apply`)."""
        return False

    @abstractmethod
    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        """Infer the field of the output. Raises ValueError if the input does not fit.

        `learned` is None before the data is loaded; facts that depend on it are then None in the result.
        """

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> Learned:
        """Learn from the training rows, which come in blocks and can be iterated repeatedly.

        Raises ValueError, and BadRow with a row index relative to the last block.
        """
        return NOTHING_LEARNED

    def check(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> None:
        """Check rows for errors that a batch on the device could not report. Raises BadRow."""

    @abstractmethod
    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        """Transform rows (N, *), vectorized. Raises BadRow, ValueError.

        Rows must be independent: these are all rows of a split, or those of a batch if the data is on disk.
        """

    def batch(self, field: Field, learned: Learned, *, target: bool) -> nn.Module:
        """Return the module equivalent to `apply` for batches on their device; only called if `in_batch`."""
        raise NotImplementedError

    def undoing(self, field: Field, learned: Learned) -> Inverse | None:
        """Return the function that undoes this step for numbers of a target; None if there is none."""
        return None


class Feature(Component):
    """Base class of the feature types of a feature space."""

    default_bins: ClassVar[str] = "num_discretization_bins"
    """Name of the feature space's setting with the default number of bins."""

    @abstractmethod
    def transform(self, bins: int) -> Transform:
        """Return the transform of the column; `bins` is the default number of bins."""

    def encoding(self) -> str:
        """Return the encoding in the vector: float (unchanged), one_hot, or int (used by crosses only)."""
        return "float"


SOURCES: Registry[Source] = Registry(
    "source", Source, ("kerascli.data.sources", "kerascli.data.datasets"), ("dataset_",)
)
TRANSFORMS: Registry[Transform] = Registry("transform", Transform, ("kerascli.data.transforms",), ("layer_",))
FEATURES: Registry[Feature] = Registry("feature", Feature, ("kerascli.data.features",), ("feature_",))

S = TypeVar("S", bound=type[Source])
T = TypeVar("T", bound=type[Transform])


def source(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[S], S]:
    """Register a data source."""

    def register(cls: S) -> S:
        SOURCES.register(cls, name=name, aliases=aliases)
        return cls

    return register


def transform(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Register a transform."""

    def register(cls: T) -> T:
        TRANSFORMS.register(cls, name=name, aliases=aliases)
        return cls

    return register
