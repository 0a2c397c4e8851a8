"""Execute a preprocessing pipeline: infer its fields, transform rows in advance, and build its per-batch module."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import EXACT_IN_FLOAT32, NO_STATE, Field, Fields, States, Transform
from kerascli.data.pipeline.columns import checked, column_field, read_columns
from kerascli.data.pipeline.named_pipeline import NamedPipeline, check_step_memory, data_error_at
from kerascli.data.pipeline.steps import FittedStep, Records, Values
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow, Table
from kerascli.data.text.oov import Counting, OovCounts
from kerascli.foundation import draws, interrupts
from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.errors import DataError

NARROW = {"float64": "float32", "float16": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}
"""Mapping from dtypes that torch does not fully support, or that models do not compute in, to their replacements."""

_NUMBERS = frozenset(np.dtype(kind).name for kind in "?bBhHiIlLefd")
_PIECE_VALUES = 2**15 - 1
_ROWS_IN_THREADS = 2**15
"""Number of rows from which on threads save more time than they take to start."""
_RAGGED, _PAD = "the sequences are of different lengths", "add pad_sequences, which gives them one length"


def runs_per_batch(step: Transform, field: Field, made: Field) -> bool:
    """Return True if a transform may run per batch, given the facts about its input and output."""
    if step.per_batch == "never" or field.is_text or field.is_ragged:
        return False
    return step.per_batch == "always" or (field.dtype in EXACT_IN_FLOAT32 and made.dtype == "float32")


class FittedPipeline:
    """Pipeline with the fitted states of its transforms: steps that run in advance over rows, and others per batch."""

    def __init__(self, named: NamedPipeline, columns: Fields, states: States) -> None:
        """Infer the fields (shape, dtype ...) of all steps from those of the `columns`.

        Raises DataError, and ConfigError if memory cannot hold a row.
        """
        self.named = named
        self.fields = [column_field(named, columns)]
        """Fields before each step, and after the last one."""
        self.steps: list[FittedStep] = []
        for index, step in enumerate(named.steps):
            before, state = self.fields[-1], states.get(named.key(index))
            if before.is_ragged and not step.transform.takes_sequences:
                raise named.fault(_RAGGED, index, hint=_PAD)
            try:
                made = step.transform.infer(before, state, target=named.target)
            except ValueError as error:
                raise named.fault(str(error), index) from None
            check_step_memory(named, index, made)
            self.fields.append(made if made.num_classes == before.num_classes else replace(made, first_class=None))
            self.steps.append(FittedStep(step.transform, before, self.fields[-1], state or NO_STATE, named.target))
        if self.fields[-1].is_ragged:
            raise named.fault(_RAGGED, hint=_PAD)
        self.until = len(self.steps) if named.section == "sample_weight" else self._boundary()
        """Number of the steps that run once over all rows, in advance; the others run per batch."""

    def _boundary(self) -> int:
        count = len(self.steps)
        while count and runs_per_batch(self.steps[count - 1].transform, *self.fields[count - 1 : count + 1]):
            count -= 1
            if self.steps[count].transform.defines("fit") or self.steps[count].transform.defines("refusals"):
                break
        return count

    @property
    def columns(self) -> Sequence[str]:
        return self.named.columns

    @property
    def made(self) -> Field:
        """Field (shape, dtype ...) of the output, whose dtype is one that torch supports; of a target, the entries of a
        vocabulary are classes."""
        last = self.fields[-1]
        classes = last.num_classes or (last.vocabulary_size if self.named.section == "targets" else None)
        dtype = "float32" if last.dtype == "unknown" else NARROW.get(last.dtype, last.dtype)
        return replace(last, dtype=dtype, num_classes=classes)

    def prepare(self, table: Table, oov: OovCounts) -> np.ndarray:
        """Return a table's rows, checked for missing values, as transformed by the steps that run in advance.

        The columns of `table` must be in memory. Numbers that are copied anyway are transformed in pieces that fit in
        the cache. Values that are out of a vocabulary are added to the counts `oov`. Raises DataError.
        """
        until, fields = self.until, self.fields
        for index in range(until):
            check_step_memory(self.named, index, fields[index + 1], table.rows)
        made = fields[until].dtype
        if until or self.named.stacked or NARROW.get(made, made) != fields[0].dtype:
            rows = cut_at(fields[: until + 1], _PIECE_VALUES)
            if 0 < rows < table.rows:
                with suppress(DataError):  # raised again for all rows, which it counts
                    return self._in_pieces(table, rows, oov)
        return self._prepared(table, oov)

    def _in_pieces(self, table: Table, rows: int, oov: OovCounts) -> np.ndarray:
        """Return a table's prepared rows, `rows` at a time. Raises DataError."""
        first, *others = table.slices(rows)
        prepared = self._prepared(first, oov)
        out = np.empty((table.rows, *prepared.shape[1:]), prepared.dtype)
        out[:rows] = prepared
        for number, part in enumerate(others, 1):
            out[number * rows : (number + 1) * rows] = self._prepared(part, oov)
        return out

    def _prepared(self, table: Table, oov: OovCounts) -> np.ndarray:
        named, rows = self.named, read_columns(self.named, table, self.fields[0])
        if self.until:
            rows = self.run(rows, table, range(self.until), oov)
        elif isinstance(rows, Records):
            rows = self._at(0, table, FittedStep.joined, rows, oov)
        values = checked(named, rows, table)
        narrow = "float32" if named.section == "sample_weight" else NARROW.get(values.dtype.name, values.dtype.name)
        try:
            for step in self.steps[self.until : self.until + 1]:
                step.encoded(values)  # raises BadRow
            values = converted(values, np.dtype(narrow))
        except BadRow as bad:
            raise data_error_at(bad, named, table) from None
        return _weights(named, values, table) if named.section == "sample_weight" else values

    def run(self, rows: Values, table: Table, steps: range, oov: OovCounts | None = None) -> Values:
        """Return rows of a table, transformed by the steps with these numbers. Raises DataError that names the row.

        Values that are out of a vocabulary are added to the counts `oov`.
        """
        for index in steps:
            interrupts.check()
            rows = self._at(index, table, FittedStep.__call__, rows, oov)
        return rows

    def _at(self, index: int, table: Table, run: Callable[..., Values], rows: Values, oov: OovCounts | None) -> Values:
        """Return what `run` returns for the step of a number, rows and counts. Raises DataError that names the row."""
        step = self.steps[index]
        counting = None if oov is None else Counting(oov, self.columns, step.transform.component_name)
        try:
            return run(step, rows, counting)
        except BadRow as bad:
            raise data_error_at(bad, self.named, table) from None
        except ValueError as error:
            raise self.named.fault(str(error), index) from None

    def per_batch(self) -> nn.Module | None:
        """Return the module of the last steps, which run per batch, in float32; None if all steps run in advance."""
        rest = self.steps[self.until :]
        modules = (each.transform.module(each.field, each.state, torch.float32, target=each.target) for each in rest)
        return nn.Sequential(*modules) if rest else None

    def inverse(self) -> "Undo | None":
        """Return the function that undoes a target pipeline's last steps in predictions, as far as they are invertible.

        It takes rows (N, *shape) of the last field. None if no number would change.
        """
        undo = self._undo()
        undone = self.steps[len(self.steps) - len(undo.modules) :]
        return None if all(step.transform.keeps_numbers for step in undone) else undo

    def full_inverse(self) -> "Undo":
        """Return the function that undoes all steps of a target pipeline. Raises DataError if one has no inverse."""
        undo = self._undo()
        if rest := len(self.steps) - len(undo.modules):
            text = "this step cannot be undone, so that predictions are no values of the column"
            raise self.named.fault(text, rest - 1)
        return undo

    def _undo(self) -> "Undo":
        """Return the function that undoes the last steps, the last one first, up to one that has no inverse."""
        inverses = (step.transform.inverse(step.field, step.state) for step in reversed(self.steps))
        return Undo(nn.Sequential(*iter(lambda: next(inverses, None), None)))


class Undo(NamedTuple):
    """Function that undoes transforms of rows (N, *) by modules, in float64."""

    modules: nn.Sequential

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self.modules(torch.from_numpy(values.astype(np.float64))).numpy()


def in_threads(work: Callable[..., Any], *items: Sequence[Any], rows: int) -> list[Any]:
    """Return what `work` returns for each item, such as a pipeline; in threads if it goes through many `rows`."""
    if rows < _ROWS_IN_THREADS:
        return list(map(work, *items))
    with ThreadPoolExecutor(cpu_limit().count) as pool:  # numpy and torch release the interpreter's lock
        return list(pool.map(work, *items))


def cut_at(fields: Sequence[Field], values: int) -> int:
    """Return how many rows have about `values` values in the largest of `fields`; 0 if a field is not of numbers."""
    if not all(field.dtype in _NUMBERS for field in fields):
        return 0
    return max(1, values // max(math.prod(size or 1 for size in field.shape) for field in fields))


def _weights(named: NamedPipeline, values: np.ndarray, table: Table) -> np.ndarray:
    """Return a pipeline's output as sample weights (rows,). Raises DataError unless it has one number >= 0 per row."""
    if values.size != len(values):
        raise named.fault(f"expected one weight per row, got an array of shape {values.shape}")
    weights = values.reshape(len(values))
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise data_error_at(BadRow(row, f"a weight cannot be negative, got {weights[row]:g}"), named, table)
    return weights


class Stage(nn.Module):
    """Module that applies the pipelines' per-batch steps to a batch on the device, a mapping from name to tensor."""

    def __init__(self, suffixes: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(suffixes)
        self.suffixes = nn.ModuleList(suffixes.values())

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:  # (N, *) -> (N, *)
        out = dict(batch)
        nodes = draws.node_stack()
        for name, suffix in zip(self.names, self.suffixes, strict=True):
            if name in out:
                nodes.append(f"data.{name}")
                out[name] = suffix(out[name])
                nodes.pop()
        return out
