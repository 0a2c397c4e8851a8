"""Input of the advice checks (warnings about configs): a valid config, and the rows of its data if they were read."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from kerascli.config.config import Config
from kerascli.config.run import RunSpec
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.data.section import DataSpec, Pipeline
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import Fault, Path
from kerascli.losses.base import Loss


class Case(NamedTuple):
    """Input of an advice check: a valid config and, if its data was read, the rows (raw and preprocessed)."""

    config: Config
    spec: RunSpec
    """Parsed config."""
    prepared: PreparedData | None
    """Raw and preprocessed rows; None: the data was not read."""

    @property
    def data(self) -> DataSpec | None:
        return self.spec.data

    @property
    def tables(self) -> Mapping[str, Table]:
        """Mapping from the name of a split to the table of its raw rows; empty if the data was not read."""
        return {} if self.prepared is None else self.prepared.tables

    def scalars(self, column: str, split: str = "train", most: int | None = None) -> np.ndarray | None:
        """Return a column of a split before preprocessing, or its first values, at most `most`; None unless the split
        has it in memory, with one value per row."""
        table = self.tables.get(split)
        if table is None or table.on_disk([column]):
            return None
        like = table.like(column)
        return table.take(slice(most)).array(column) if like.ndim == 1 and not is_ragged(like) else None

    def train_and_test(self, column: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a column of the splits `train` and `test` as `scalars` does, as a pair; None unless both have it."""
        train, test = (self.scalars(column, split) for split in ("train", "test"))
        return None if train is None or test is None else (train, test)

    def inputs(self) -> Iterator[tuple[Path, Pipeline]]:
        """Yield (config path, preprocessing pipeline) for each input in the `data` section."""
        for name, pipeline in self.data.inputs.items() if self.data is not None else ():
            yield ("data", "inputs", name), pipeline

    def targets(self) -> Iterator[tuple[Path, Pipeline]]:
        """Yield (config path, preprocessing pipeline) for each target in the `data` section."""
        for name, pipeline in self.data.targets.items() if self.data is not None else ():
            yield ("data", "targets", name), pipeline


def warning(text: str, path: Path, hint: str, *, key: bool = True) -> Fault:
    """Return a warning located at a config path, with a hint that says what to do.

    The place in the file is that of the path's key, or of its value if `key` is False.
    """
    return Fault(text, path, "key" if key else "value", hint=hint, level="warning")


def predicts_classes(loss: Loss) -> bool:
    """Return True if a loss takes class labels (integers or one-hot vectors) as targets."""
    return loss.sparse_targets or loss.predicts != "values"


def is_split(pipeline: Pipeline) -> bool:
    """Return True if a preprocessing pipeline splits each value of its column, such as a text into tokens."""
    return any(step.transform.splits_values for step in pipeline.steps)
