"""Input of the advice checks (warnings about configs): a valid config, and the rows of its data if they were read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kerascli.config.config import Config
from kerascli.config.run import RunSpec
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.data.section import DataSpec, Pipeline
from kerascli.data.storage.on_disk import Rows, compose_rows, count
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import Fault, Path
from kerascli.losses.base import Loss


@dataclass(frozen=True, slots=True)
class Raw:
    """Column of a table before preprocessing: the array of all rows, and the selected rows (those of a split ...)."""

    whole: np.ndarray
    """Values of all rows of the file, also of those that are not selected."""
    rows: Rows
    """Selected rows, as a slice or as indices."""

    @classmethod
    def of(cls, table: Table, column: str) -> "Raw | None":
        """Return the named column of a table: its values in all rows of the file, and the rows that the table selects.

        None if the table has no such column, or does not hold it in memory.
        """
        whole, rows = table.whole()
        values = whole.get(column)
        return cls(values, rows) if isinstance(values, np.ndarray) else None

    def __len__(self) -> int:
        return count(self.rows)

    @property
    def ndim(self) -> int:
        return self.whole.ndim

    @property
    def width(self) -> int:
        """Number of values in each row of the column; a sequence of variable length counts as one."""
        return self.whole.size // max(1, len(self.whole))

    @property
    def is_ragged(self) -> bool:
        return is_ragged(self.whole)

    def take(self, places: Rows) -> "Raw":
        """Return the column with only some of its selected rows; `places` are indices into the selected rows."""
        return Raw(self.whole, compose_rows(self.rows, places))

    def array(self) -> np.ndarray:
        """Return the values of the column in the selected rows (selected rows, *), before preprocessing."""
        return self.whole[self.rows]

    def feature(self, index: int) -> np.ndarray:
        """Return the values (selected rows,) at the position `index` of the flattened rows of a column of arrays."""
        return self.whole.reshape(len(self.whole), -1)[:, index][self.rows]


@dataclass(frozen=True, slots=True)
class Case:
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

    def raw(self, column: str, split: str = "train") -> Raw | None:
        """Return a column of a split before preprocessing; None if the split lacks it or does not hold it in memory."""
        table = self.tables.get(split)
        return None if table is None else Raw.of(table, column)

    def train_and_test(self, column: str) -> tuple[Raw, Raw] | None:
        """Return a column of the splits `train` and `test` before preprocessing, as a pair.

        None unless both splits have it in memory, with one value per row.
        """
        train, test = (self.raw(column, split) for split in ("train", "test"))
        return (train, test) if train and test and train.ndim == test.ndim == 1 else None

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


def is_label(column: Raw, pipeline: Pipeline) -> bool:
    """Return True if a column has one value per row, which its pipeline does not split into several."""
    return column.ndim == 1 and not column.is_ragged and not is_split(pipeline)
