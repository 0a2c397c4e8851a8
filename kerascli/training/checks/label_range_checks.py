"""Range checks of class labels and token ids in the data, and of integers that float32 would round.

They run before training; for rows on disk, when these are read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.pipeline.pipeline import Stage
from kerascli.data.pipeline.prepare import Stages
from kerascli.data.storage.convert import IDS, first_rounded
from kerascli.data.storage.on_disk import Rows, pieces, rows_a_block
from kerascli.data.storage.table import first_wrong
from kerascli.foundation.errors import DataError, Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import Loss
from kerascli.losses.labels import Labels
from kerascli.metrics.base import Metric
from kerascli.model.runtime.built import Built

Warn = Callable[[str], None]

_ROUNDED_FROM = 2**24
"""Largest magnitude up to which float32 represents all integers."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    """Embedding layer that takes the values of a model input as ids: its name, and its number of entries."""

    layer: str
    entries: int


@dataclass(frozen=True, slots=True)
class _Requirements:
    """Requirements of a run's model, losses and metrics on the values of inputs and targets in its data."""

    lookups: Mapping[str, list[_Lookup]]
    numbers: frozenset[str]
    """Names of model inputs that the model converts to floats."""
    compared: Mapping[str, list[tuple[Loss | Metric, TensorSpec]]]
    """Mapping from target to the losses and metrics that take it, each with the shape and dtype of the output."""

    def asks_input(self, name: str, stage: Stage) -> bool:
        """Return True if values of a model input need a check: as ids of an embedding, or for rounding to float32."""
        return name in self.lookups or (name in self.numbers and name not in stage.names)


def check_values(
    graphs: Iterable[Built],
    compared: Iterable[tuple[str, Loss | Metric, TensorSpec]],
    splits: Mapping[str, Split],
    stages: Stages,
    warn: Warn | None = None,
) -> None:
    """Check that class labels and token ids in the splits are in the ranges that models, losses and metrics take.

    Raises DataError naming the value and its place in the file; without a file, the split and the row (from 1).

    `warn` gets a message if integers will be rounded. Rows on disk are checked when they are read. Stages are applied
    to the values first.
    """
    wanted, modules = _requirements(graphs, compared), (stages.input_stage, stages.target_stage)
    for name, split in splits.items():
        split.watch(partial(_check, wanted, name, modules, warn))


def _requirements(graphs: Iterable[Built], compared: Iterable[tuple[str, Loss | Metric, TensorSpec]]) -> _Requirements:
    lookups: dict[str, list[_Lookup]] = {}
    numbers: set[str] = set()
    for built in graphs:
        numbers |= _of_inputs(built, lookups)
    by_target: dict[str, list[tuple[Loss | Metric, TensorSpec]]] = {}
    for target, component, output in compared:
        by_target.setdefault(target, []).append((component, output))
    return _Requirements(lookups, frozenset(numbers), by_target)


def _of_inputs(built: Built, lookups: dict[str, list[_Lookup]]) -> set[str]:
    """Return the names of model inputs that are converted to floats; add inputs of embedding layers to `lookups`."""
    names = {given.name: given.name for given in built.model.inputs}
    numbers: set[str] = set()
    for node in built.model.nodes:
        layer = node.layer
        here = [names[name] for name in node.inputs if name in names]
        if layer.id_count is not None:
            for name in here[:1]:
                known = lookups.setdefault(name, [])
                known += [found] if (found := _Lookup(node.name, layer.id_count)) not in known else []
        elif layer.moves_values and here:
            names |= dict.fromkeys(node.outputs, here[0])
        elif not layer.takes_integers:
            numbers.update(here)
    return numbers


def _check(
    wanted: _Requirements, split: str, stages: tuple[Stage, Stage], warn: Warn | None, part: MemorySplit, rows: Rows
) -> None:
    inputs, targets = (partial(_refuse_input, wanted), partial(_refuse_target, wanted))
    asked = [
        ("inputs", name, values, stages[0], inputs)
        for name, values in part.inputs.items()
        if wanted.asks_input(name, stages[0])
    ]
    asked += [
        ("targets", name, values, stages[1], targets)
        for name, values in part.targets.items()
        if name in wanted.compared and (name not in stages[1].names or _takes_labels(wanted, name, values, stages[1]))
    ]
    for section, name, values, stage, refuse in asked:
        largest = 0
        for start, block in _staged_blocks(name, values, stage):
            bad, found = refuse(name, block)
            largest = max(largest, found)
            if bad is not None:
                at = (section, name, start + bad.row, bad.index, block[0].size)
                raise _refusal(part, split, _number(rows, start + bad.row), bad, at)
        if largest > _ROUNDED_FROM and warn is not None:
            text = f"'{name}' holds integers up to {largest:,}, and float32 rounds those above {_ROUNDED_FROM:,}"
            warn(f"{text}; normalization computes with all their digits, integer_lookup maps ids")


def _takes_labels(wanted: _Requirements, name: str, values: np.ndarray, stage: Stage) -> bool:
    """Return True if a loss or metric takes a target as class labels, judged by its first row after preprocessing."""
    _, probe = next(_staged_blocks(name, values[:1], stage))
    spec = TensorSpec(probe.shape[1:], probe.dtype.name)
    return any(component.labels(spec, output) is not None for component, output in wanted.compared[name])


@dataclass(frozen=True, slots=True)
class _BadValue:
    """Value out of range in the data: its row, its index in the row, and the error message with a hint."""

    row: int
    index: int
    text: str
    hint: str | None = None


def _refusal(
    part: MemorySplit, split: str, number: int, bad: _BadValue, at: tuple[str, str, int, int, int]
) -> DataError:
    """Return the DataError for a value out of range; `at` is (section, name, row, index in the row, values per row)."""
    if part.origin is None:
        return DataError(f"{split} row {number}: {bad.text}", hint=bad.hint)
    text = bad.text if split == "train" else f"{bad.text} (in the '{split}' split)"
    return DataError(Fault(text, place=part.origin.place(*at), hint=bad.hint))


_Found = tuple[_BadValue | None, int]
"""Result of checking rows: the first invalid value (or None), and the largest integer that becomes a float."""


def _refuse_input(wanted: _Requirements, name: str, values: np.ndarray) -> _Found:
    for lookup in wanted.lookups.get(name, ()):
        place = first_invalid(values, Labels(0, lookup.entries - 1))
        if place is not None:
            row, index, value, whole = place
            of = f"the embedding '{lookup.layer}' has rows 0 to {lookup.entries - 1}"
            if not whole:
                return _BadValue(row, index, f"'{name}' holds {value}; {of}, integers only"), 0
            hint = f"set input_dim to {int(values.max()) + 1} or more"
            return _BadValue(row, index, f"'{name}' holds {value}; {of}", hint), 0
        if values.dtype.kind == "f" and values.size and values.max() >= _ROUNDED_FROM:
            row, (index, _) = first_wrong(values >= _ROUNDED_FROM)
            text = f"'{name}' is float32, which does not hold all integers from {_ROUNDED_FROM:,} on"
            return _BadValue(
                row, index, text, "add cast: int64 to its pipeline, or use pad_sequences: {dtype: int64}"
            ), 0
    return _rounded(name, values) if name in wanted.numbers else (None, 0)


def _refuse_target(wanted: _Requirements, name: str, values: np.ndarray) -> _Found:
    seen: set[Labels] = set()
    numbers = False
    for component, output in wanted.compared.get(name, ()):
        labels = component.labels(TensorSpec(values.shape[1:], values.dtype.name), output)
        numbers = numbers or labels is None
        if labels is None or labels in seen:
            continue
        seen.add(labels)
        place = first_invalid(values, labels)
        if place is not None:
            row, index, value, whole = place
            if whole:
                return _BadValue(row, index, f"target '{name}' is {value}; {labels.words}"), 0
            text = f"target '{name}' is {value}; {component.component_name} takes integer class labels"
            return _BadValue(
                row, index, text, "discretization turns numbers into classes; a loss such as mse takes numbers"
            ), 0
    return _rounded(name, values) if numbers and not seen else (None, 0)


def first_invalid(values: np.ndarray, labels: Labels) -> tuple[int, int, object, bool] | None:
    """Return (row, index in the row, value, True if an integer) for the first label that is not allowed, or None."""
    if not values.size:
        return None
    fractions = labels.whole and values.dtype.kind == "f"
    low, high = values.min(), values.max()
    within = (labels.low is None or low >= labels.low) and (labels.high is None or high <= labels.high)
    if within and not (fractions and (values != np.trunc(values)).any()):
        return None
    flat = values.reshape(len(values), -1)
    wrong = np.zeros(flat.shape, bool)
    if labels.low is not None:
        wrong |= flat < labels.low
    if labels.high is not None:
        wrong |= flat > labels.high
    if labels.besides is not None:
        wrong &= flat != labels.besides
    if fractions:
        wrong |= flat != np.trunc(flat)
    if not wrong.any():
        return None
    row = int(wrong.any(axis=1).argmax())
    index = int(wrong[row].argmax())
    value = flat[row][index].item()
    return row, index, round(value, 7) if isinstance(value, float) else value, value == value // 1


def _rounded(name: str, values: np.ndarray) -> _Found:
    """Return (first integer in `values` that float64 cannot represent, or None; largest absolute value)."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 4 or not values.size:
        return None, 0
    largest = max(int(values.max()), -int(values.min()))
    found = first_rounded(values)
    if found is None:
        return None, largest
    row, (index, _), value = found
    text = f"'{name}' holds {value}, which would be rounded: floats hold integers up to 2**53"
    return _BadValue(row, index, text, IDS), 0


def _staged_blocks(name: str, values: np.ndarray, stage: Stage) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (position of the first row, block) for blocks of an input's or target's rows after preprocessing."""
    if name not in stage.names:
        yield 0, values
        return
    module = stage.suffixes[stage.names.index(name)]
    device = next((tensor.device for tensor in module.buffers()), torch.device("cpu"))
    training = module.training
    module.eval()
    with torch.no_grad():
        start = 0
        for block in pieces(values, rows_a_block(values)):
            yield start, module(torch.tensor(block, device=device)).cpu().numpy()
            start += len(block)
    module.train(training)


def _number(rows: Rows, place: int) -> int:
    """Return the number in the split (from 1) of a row; `place` is its position in `rows`, the rows that were read."""
    return 1 + (rows.start + place if isinstance(rows, slice) else int(rows[place]))
