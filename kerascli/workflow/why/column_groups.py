"""Groups of raw columns: which places of a model's inputs depend on which columns of the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.pipeline.prepare import fitted_preparer
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.workflow.loaded import LoadedRun

_ROWS = 256
"""Number of rows in which the values of a column are changed, to see which places of the inputs change."""


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns whose values one transform joins, so that they count as one; mostly a single column."""

    columns: tuple[str, ...]
    places: dict[str, Tensor]
    """Mapping from input to a mask of its places (*) that depend on the columns."""

    @property
    def name(self) -> str:
        return " + ".join(self.columns)


def table_of(rows: Split) -> Table:
    """Return the raw columns of rows. Raises ConfigError if there are none."""
    if rows.origin is None:
        raise ConfigError("these rows have no raw columns: they are arrays, or generated")
    return rows.origin.table


def prepared(run: LoadedRun, table: Table) -> Split:
    """Return the rows of a table of raw columns as the model's inputs, by the run's fitted pipelines."""
    assert run.data is not None
    return fitted_preparer(run.data, run.learned, targets=False).split(table)


def column_groups(run: LoadedRun, rows: Split) -> list[ColumnGroup]:
    """Return the groups of raw columns that the model's inputs are computed from, found by changing their values.

    Two columns are in one group if a place of an input depends on both. A column whose values are all equal is in none.
    """
    table = table_of(rows).take(slice(0, _ROWS))
    assert rows.origin is not None
    names = [name for (section, _), each in rows.origin.columns.items() if section == "inputs" for name in each]
    before, shifted = staged_inputs(run, prepared(run, table)), np.roll(np.arange(table.rows), 1)
    groups: list[ColumnGroup] = []
    for name in dict.fromkeys(names):
        after = staged_inputs(run, prepared(run, table.replaced([name], shifted)))
        places = {key: (values != after[key]).any(0) for key, values in before.items()}
        group = ColumnGroup((name,), places)
        for other in [each for each in groups if _overlap(each, group)]:
            groups.remove(other)
            joined = {key: mask | other.places[key] for key, mask in group.places.items()}
            group = ColumnGroup((*other.columns, *group.columns), joined)
        if any(bool(mask.any()) for mask in group.places.values()):
            groups.append(group)
    return groups


def staged_inputs(run: LoadedRun, rows: Split) -> dict[str, Tensor]:
    """Return the model's inputs of rows, with the preprocessing that runs per batch."""
    (batch,) = BatchSource(rows, rows.rows, run.experiment.device).epoch(0)
    stage = run.experiment.module.input_stage
    return {name: values.cpu() for name, values in stage(dict(batch.inputs)).items()}


def _overlap(one: ColumnGroup, other: ColumnGroup) -> bool:
    return any(bool((mask & other.places[key]).any()) for key, mask in one.places.items())


def median_row(rows: MemorySplit) -> MemorySplit:
    """Return one row: the median of each number of the rows' inputs, and the most frequent value of inputs of integers
    (numbers of words, one-hot vectors)."""
    inputs = {name: _middle(values)[None] for name, values in rows.inputs.items()}
    return MemorySplit(inputs, {}, {}, 1)


def _middle(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.nanmedian(values, axis=0).astype(values.dtype)
    different, counts = np.unique(values, axis=0, return_counts=True)
    return different[counts.argmax()]


def reference_rows(splits: dict[str, Split], most: int = 1000) -> MemorySplit:
    """Return at most `most` of the training rows, at equal distances. Raises DataError if there are none."""
    if "train" not in splits:
        raise DataError("the run's data has no 'train' split")
    rows = splits["train"]
    return rows.read(np.unique(np.linspace(0, rows.rows - 1, min(most, rows.rows)).astype(np.int64)))


def by_column(attributions: dict[str, Tensor], groups: Sequence[ColumnGroup]) -> np.ndarray:
    """Return the attributions of rows summed over the places of each group of columns: (rows, groups)."""
    sums = [
        torch.stack([(values * group.places[name]).reshape(len(values), -1).sum(1) for name, values in
                     attributions.items()]).sum(0)
        for group in groups
    ]  # fmt: skip
    return torch.stack(sums, 1).numpy().astype(np.float64)
