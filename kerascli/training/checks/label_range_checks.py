"""Range checks of class labels and token ids in the data, and of integers that floats would round.

The checks run before training; rows that stay on disk are checked when they are read.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.pipeline.pipeline import Stage
from kerascli.data.pipeline.prepare import Stages
from kerascli.data.storage.convert import IDS, first_rounded
from kerascli.data.storage.on_disk import Rows, rows_a_block
from kerascli.data.storage.table import BadRow, first_wrong
from kerascli.foundation.errors import DataError, Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import Loss
from kerascli.losses.labels import Labels, first_invalid
from kerascli.metrics.base import Metric
from kerascli.model.runtime.built import Built

_ROUNDED_FROM = 2**24
"""Largest magnitude up to which float32 represents all integers."""


class _Input(NamedTuple):
    """Model input whose values are checked: token ids, or integers that become floats."""

    name: str
    stage: Stage
    lookups: dict[str, int]
    """Numbers of entries of the embeddings that take the input's values as ids, by name."""
    is_number: bool
    """True if the model converts the input to floats."""

    def is_checked(self, values: np.ndarray) -> bool:
        return bool(self.lookups) or self.name not in self.stage.names

    def check(self, values: np.ndarray) -> None:
        """Raise BadRow for the first invalid value."""
        for layer, entries in self.lookups.items():
            if (place := first_invalid(values, Labels(0, entries - 1))) is not None:
                row, index, value, whole = place
                text = f"'{self.name}' holds {value}; the embedding '{layer}' has rows 0 to {entries - 1}"
                if not whole:
                    raise BadRow(row, f"{text}, integers only", at=(index, values[0].size))
                hint = f"set input_dim to {int(values.max()) + 1} or more"
                raise BadRow(row, text, at=(index, values[0].size), hint=hint)
            if values.dtype.kind == "f" and values.size and values.max() >= _ROUNDED_FROM:
                row, at, _ = first_wrong(values >= _ROUNDED_FROM)
                text = f"'{self.name}' is float32, which does not hold all integers from {_ROUNDED_FROM:,} on"
                hint = "add cast: int64 to its pipeline, or use pad_sequences: {dtype: int64}"
                raise BadRow(row, text, at=at, hint=hint)
        if self.is_number:
            _check_rounding(self.name, values)


class _Target(NamedTuple):
    """Target whose values are checked: class labels, or integers that become floats."""

    name: str
    stage: Stage
    compared: list[tuple[Loss | Metric, TensorSpec]]
    """Losses and metrics that take the target, each with the shape and dtype of the output."""

    def is_checked(self, values: np.ndarray) -> bool:
        """Return False for a preprocessed target that nothing takes as class labels, judged by its first row."""
        if self.name not in self.stage.names:
            return True
        _, probe = next(_staged_blocks(self.name, values[:1], self.stage))
        return any(labels is not None for _, labels in self._labels(probe))

    def _labels(self, values: np.ndarray) -> Iterator[tuple[Loss | Metric, Labels | None]]:
        spec = TensorSpec(values.shape[1:], values.dtype.name)
        return ((component, component.labels(spec, output)) for component, output in self.compared)

    def check(self, values: np.ndarray) -> None:
        """Raise BadRow for the first invalid value."""
        seen: set[Labels | None] = set()
        for component, labels in self._labels(values):
            if labels not in seen and labels is not None and (place := first_invalid(values, labels)) is not None:
                (row, index, value, whole), name = place, component.component_name
                if whole or not labels.whole:  # losses come first: one may ignore a class that a metric does not
                    taker = f", not for the metric '{name}'" if isinstance(component, Metric) else ""
                    text = f"target '{self.name}' is {value}{taker}; {labels.words}"
                    raise BadRow(row, text, at=(index, values[0].size))
                text = f"target '{self.name}' is {value}; {name} takes integer class labels"
                hint = "discretization turns numbers into classes; a loss such as mse takes numbers"
                raise BadRow(row, text, at=(index, values[0].size), hint=hint)
            seen.add(labels)
        if seen == {None}:
            _check_rounding(self.name, values)


Columns = dict[tuple[str, str], _Input | _Target]
"""Type of the inputs and targets to check, by section of the data (`inputs`, `targets`) and name."""


def check_values(
    graphs: Iterable[Built],
    compared: Iterable[tuple[str, Loss | Metric, TensorSpec]],
    splits: Mapping[str, Split],
    stages: Stages,
) -> None:
    """Check that class labels and token ids in the splits are in the ranges that models, losses and metrics take.

    `graphs` are the models; `compared` has (target, loss or metric, shape and dtype of the output) of each comparison.
    `splits` maps split names to rows, which `stages` preprocess before the check; rows on disk are checked when they
    are read. Raises DataError with the value and its place: that in the file or, without a file, the split and the row
    (from 1).
    """
    by_target: dict[str, list[tuple[Loss | Metric, TensorSpec]]] = {}
    for target, component, output in compared:
        by_target.setdefault(target, []).append((component, output))
    columns: Columns = {("inputs", each.name): each for each in _inputs(graphs, stages.input_stage)}
    columns |= {("targets", name): _Target(name, stages.target_stage, each) for name, each in by_target.items()}
    for name, split in splits.items():
        split.watch(partial(_check, columns, name))


def _inputs(graphs: Iterable[Built], stage: Stage) -> list[_Input]:
    lookups: dict[str, dict[str, int]] = {}
    numbers: set[str] = set()
    for built in graphs:
        names = {each.name: each.name for each in built.model.inputs}
        for node in built.model.nodes:
            layer = node.layer
            here = [names[name] for name in node.inputs if name in names]
            if layer.id_count is not None:
                for name in here[:1]:
                    lookups.setdefault(name, {})[node.name] = layer.id_count
            elif layer.moves_values and here:
                names |= dict.fromkeys(node.outputs, here[0])
            elif not layer.takes_integers:
                numbers.update(here)
    return [_Input(name, stage, lookups.get(name, {}), name in numbers) for name in lookups.keys() | numbers]


def _check(columns: Columns, split: str, part: MemorySplit, rows: Rows) -> None:
    for section, arrays in (("inputs", part.inputs), ("targets", part.targets)):
        for name, values in arrays.items():
            column = columns.get((section, name))
            if column is None or not column.is_checked(values):
                continue
            for start, block in _staged_blocks(name, values, column.stage):
                try:
                    column.check(block)
                except BadRow as bad:
                    row = start + bad.row
                    if part.origin is None:
                        raise DataError(f"{split} row {_number(rows, row)}: {bad.text}", hint=bad.hint) from None
                    text = bad.text if split == "train" else f"{bad.text} (in the '{split}' split)"
                    place = part.origin.place(section, name, row, *bad.at)
                    raise DataError(Fault(text, place=place, hint=bad.hint)) from None


def _check_rounding(name: str, values: np.ndarray) -> None:
    """Raise BadRow for the first integer that float64 cannot represent."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 4:
        return
    if (rounded := first_rounded(values)) is not None:
        row, at, value = rounded
        text = f"'{name}' holds {value}, which would be rounded: floats hold integers up to 2**53"
        raise BadRow(row, text, at=at, hint=IDS)


def _staged_blocks(name: str, values: np.ndarray, stage: Stage) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (position of the first row, block) for blocks of an input's or target's rows after preprocessing."""
    if name not in stage.names:
        yield 0, values
        return
    module = stage.suffixes[stage.names.index(name)]
    device = next((tensor.device for tensor in module.buffers()), torch.device("cpu"))
    training, size = module.training, rows_a_block(values)
    module.eval()
    with torch.no_grad():
        for start in range(0, len(values), size):
            block = np.array(values[start : start + size])  # records on disk may have strides that torch does not take
            yield start, module(torch.tensor(block, device=device)).cpu().numpy()
    module.train(training)


def _number(rows: Rows, place: int) -> int:
    """Return the number in the split (from 1) of a row; `place` is its position in `rows`, the rows that were read."""
    return 1 + (rows.start + place if isinstance(rows, slice) else int(rows[place]))
