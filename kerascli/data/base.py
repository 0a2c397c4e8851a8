"""What data is made of: fields (facts), tables, sources and transforms."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from kerascli.component import Component, Registry
from kerascli.shapes import Shape

Table = Mapping[str, np.ndarray]
"""Named columns with the rows on the first axis; memory-mapped arrays are as good as any."""


@dataclass(frozen=True, slots=True)
class Field:
    """What is known of a column: its shape without the row axis, its dtype ("string" for text)."""

    shape: Shape
    dtype: str
    num_classes: int | None = None
    vocabulary_size: int | None = None
    max_length: int | None = None
    classes: tuple[str, ...] | None = None
    """Class names in order of their numbers, where there are names."""

    def fact(self, name: str) -> Any:
        """`$inputs.x.<name>`: None while it is not known."""
        return {"shape": list(self.shape)}.get(name) if name == "shape" else getattr(self, name, None)


@dataclass(frozen=True, slots=True)
class Context:
    """Where a source stands: paths are relative to `folder`, random splits come from `seed`."""

    folder: Path
    seed: int
    progress: Callable[[str, int, int], None] | None = None
    """Called with (what, bytes so far, bytes in all) while something long goes on."""


class Source(Component):
    """Named columns in named splits (`train`, `validation`, `test`)."""

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        """The columns' fields if they are known without loading, else None."""
        return None

    @abstractmethod
    def load(self, context: Context) -> Mapping[str, Table]:
        """Tables by split; raises DataError."""

    def read(self, path: Path, context: Context) -> Table:
        """One raw file of the source's kind as a table: what `predict RUN FILE` and `evaluate RUN FILE` use."""
        raise NotImplementedError

    def files(self, context: Context) -> list[Path]:
        """The files whose digest identifies the data of a run."""
        return []


@dataclass(frozen=True, slots=True)
class Learned:
    """What a transform learned from the training rows: JSON facts and arrays, saved with the model."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


NOTHING_LEARNED = Learned({}, {})


class Transform(Component):
    """A step of a pipeline: column(s) in, one column out."""

    per_batch: ClassVar[bool] = False
    """Cheap and on the device: `batch` gives a torch module. Others run once over all rows, with `apply`."""
    learns: ClassVar[bool] = False
    trains_only: ClassVar[bool] = False
    """Acts on training batches only (random transforms)."""

    @abstractmethod
    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        """The output's facts; raises `DataError` or `ValueError` when the input does not fit.

        `learned` is None before the data was seen: then what it would tell is None in the result.
        """

    def learn(self, values: np.ndarray, field: Field, *, target: bool) -> Learned:
        """What there is to learn from all training rows."""
        return NOTHING_LEARNED

    @abstractmethod
    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        """All rows at once, vectorised; raises DataError naming the row (counted from 1)."""

    def batch(self, field: Field, learned: Learned, *, target: bool) -> Any:
        """The torch module that does the same to a batch on its device; only where `per_batch`."""
        raise NotImplementedError


SOURCES: Registry[Source] = Registry(
    "source", Source, ("kerascli.data.sources", "kerascli.data.datasets"), ("dataset_",)
)
TRANSFORMS: Registry[Transform] = Registry("transform", Transform, ("kerascli.data.transforms",), ("layer_",))

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
