"""What data is made of: fields (facts), sources, transforms and the features of a feature space."""

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
"""What the parts of a source's rows are called."""

EXACT_IN_FLOAT32 = frozenset({"bool", "uint8", "int8", "uint16", "int16", "float16", "float32"})
"""Dtypes whose values float32 holds exactly: arithmetic on them may wait for the batch."""


@dataclass(frozen=True, slots=True)
class Field:
    """What is known of a column: its shape without the row axis, its dtype.

    The dtype is "string" for text, "sequence" for whole numbers, another count of them in each row; or "unknown".
    """

    shape: Shape
    dtype: str
    num_classes: int | None = None
    vocabulary_size: int | None = None
    max_length: int | None = None
    classes: tuple[str, ...] | None = None
    """Class names in order of their numbers, where there are names."""
    words: tuple[str, ...] | None = None
    """What a lookup's numbers stand for; empty for padding and for unknown words."""
    columns: tuple[tuple[str, "Field"], ...] = ()
    """Of records (dtype "record"): the columns side by side, each with its own field."""

    def fact(self, name: str) -> Any:
        """`$inputs.x.<name>`: None while it is not known."""
        return list(self.shape) if name == "shape" else getattr(self, name, None)

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @property
    def is_ragged(self) -> bool:
        return self.dtype == "sequence"

    @property
    def is_integer(self) -> bool:
        """Whole numbers, or not known yet."""
        return self.dtype.startswith(("int", "uint", "bool", "unknown"))


@dataclass(frozen=True, slots=True)
class Context:
    """Where a source stands: paths are relative to `folder`, random splits come from `seed`."""

    folder: Path
    seed: int
    progress: Callable[[str, int, int], None] | None = None
    """Called with (what, bytes so far, bytes in all: 0 while that is not known) while something long goes on."""
    columns: frozenset[str] | None = None
    """The columns that are used; None where that is not known."""
    aside: Mapping[str, ConfigPath] = field(default_factory=dict)
    """Columns that are shown beside what the model makes, and where in the config each is named."""


_NOWHERE = ".kerascli/no-data"


class InFolder(Component):
    """What may name files, by paths that are relative to the config."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a file's path, or one with more after the file's name."""

    @model_validator(mode="after")
    def _paths_are_possible(self) -> Self:
        for name in self.paths:
            value = getattr(self, name)
            reason = impossible_path(value) if isinstance(value, str) else None
            if reason is not None:
                raise Invalid([Fault(f"{name}: no file can be called {show(value)}: {reason}", (name,))])
        return self

    def rebased(self, old: Path, new: Path, fields: Sequence[str] | None = None) -> Self:
        """The same with its paths (or those in `fields`) relative to the folder `new` instead of `old`."""
        return self._moved(self.paths if fields is None else fields, lambda path: _rebase(path, old, new))

    def located(self, folder: Path) -> Self:
        """The same with paths that hold wherever the process stands."""
        return self._moved(self.paths, lambda path: str(folder / path))

    def unseen(self) -> Self:
        """The same with paths at which there is nothing: what is asked of it looks at no file."""
        return self._moved(self.paths, lambda path: f"{_NOWHERE}/{path}")

    def _moved(self, fields: Sequence[str], move: Callable[[str], str]) -> Self:
        """With other paths; made anew, since a copy would keep what was worked out from the old ones."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values |= {name: move(values[name]) for name in fields if isinstance(values[name], str)}
        return type(self).model_construct(**values)


class Source(InFolder):
    """Named columns in named splits (`train`, `validation`, `test`)."""

    any_column: ClassVar[Field | None] = None
    """What every column is like, whatever its name, when `facts` does not know more."""

    in_files: ClassVar[bool] = True
    """Whether the data is what stands in `files`, and nothing else."""

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        """The columns' fields if they are known without loading, else None; raises DataError."""
        return None

    def begin(self) -> None:
        """Start, in a thread of its own, what `load` will wait for; nothing may go wrong here."""

    @abstractmethod
    def load(self, context: Context) -> Mapping[str, Table]:
        """Tables by split; raises DataError."""

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table | None:
        """A file, called `name` in messages, if the source has its own way of reading it (a delimiter, an encoding).

        `columns` are those in use; None: all.
        """
        return None

    def reads_alone(self, path: Path) -> bool:
        """Return True if a file by itself is a row here: an image, a text."""
        return False

    def read_rows(self, files: Sequence[Path], labels: np.ndarray | None = None) -> Table:
        """Read files that are a row each; only those that `reads_alone`. `file` is the column of their names."""
        raise NotImplementedError

    def files(self, context: Context) -> list[Path]:
        """The files whose digests identify the data of a run."""
        return []

    def folders(self, context: Context) -> list[Path]:
        """The folders that it looks for files in."""
        return []


def _rebase(path: str, old: Path, new: Path) -> str:
    """A path that was written for the folder `old`, for `new`: the way between the folders that links stand for."""
    if os.path.isabs(path):
        return path
    folder, name = os.path.split(old / path)
    return os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(new))


@dataclass(frozen=True, slots=True)
class Learned:
    """What a transform learned from the training rows: JSON facts and arrays, saved with the model."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()
    """What the user should know of the training rows; not saved."""
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What `apply` makes of it once, since it may be called for every batch; not saved."""


NOTHING_LEARNED = Learned({}, {})

Inverse = Callable[[np.ndarray], np.ndarray]
"""Rows (N, *) as they are after a transform, in float64 -> as they were before it."""


class Transform(InFolder):
    """A step of a pipeline: one column in, one column out."""

    needs_rows: ClassVar[bool] = False
    """`learn` or `check` wants to see all rows as they reach this step."""
    fills_missing: ClassVar[bool] = False
    """As a pipeline's first step this takes missing values (nan) in columns of whole numbers, too."""

    takes_columns: ClassVar[bool] = False
    """As a pipeline's first step this takes columns of any types: a record array, its field a column each."""

    takes_apart: ClassVar[bool] = False
    """A value is made of parts here: even where values repeat, they are no classes."""

    keeps_numbers: ClassVar[bool] = False
    """`undoing` gives back a shape or a type, and leaves the numbers as they are."""

    takes_sequences: ClassVar[bool] = False
    """This takes rows of different lengths, too."""

    def own_columns(self) -> tuple[str, ...]:
        """The columns that this takes as a pipeline's first step, if it names them itself."""
        return ()

    def in_batch(self, field: Field) -> bool:
        """Whether this is cheap and done batch by batch on the device (`batch`), not before that (`apply`)."""
        return False

    @abstractmethod
    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        """The output's facts; raises `ValueError` when the input does not fit.

        `learned` is None before the data was seen: then what it would tell is None in the result.
        """

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> Learned:
        """What there is to learn from the training rows, which come in blocks and can be gone through again.

        Raises ValueError, and BadRow, which counts from 0 within the block that was given last.
        """
        return NOTHING_LEARNED

    def check(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> None:
        """Look at rows for what a batch could not report; raises BadRow."""

    @abstractmethod
    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        """Rows, vectorised; raises BadRow or ValueError.

        Each row by itself: these are all rows of a split, or those of a batch where the data is on disk.
        """

    def batch(self, field: Field, learned: Learned, *, target: bool) -> nn.Module:
        """The torch module that does the same to a batch on its device; only where `in_batch`."""
        raise NotImplementedError

    def undoing(self, field: Field, learned: Learned) -> Inverse | None:
        """Return the function that undoes this step for numbers of a target; None if there is none."""
        return None


class Feature(Component):
    """A column of a feature space."""

    default_bins: ClassVar[str] = "num_discretization_bins"
    """The setting of the feature space that says how many bins there are where the feature does not."""

    @abstractmethod
    def transform(self, bins: int) -> Transform:
        """What is done to the column; `bins` is the number for a kind that says none itself."""

    def encoding(self) -> str:
        """float: part of the vector as it comes out; one_hot: as a vector; int: for crosses alone."""
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
