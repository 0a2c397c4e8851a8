"""Execute a preprocessing pipeline: infer its fields, transform rows in advance, and build its per-batch module."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
from torch import Tensor, nn

from kerascli.data.base import NO_STATE, Field, FittedState, Inverse, States
from kerascli.data.pipeline.columns import DistinctRows, check_finite
from kerascli.data.pipeline.named_pipeline import NamedPipeline, check_step_memory, data_error_at
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow, Table
from kerascli.data.text.oov import OovCounts, Step, counting
from kerascli.foundation import draws
from kerascli.foundation.errors import DataError

NARROW = {"float64": "float32", "float16": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}
"""Mapping from dtypes that torch does not fully support, or that models do not compute in, to their replacements."""

_NUMBERS = frozenset(np.dtype(kind).name for kind in "?bBhHiIlLefd")
_PIECE_VALUES = 2**16
_RAGGED, _PAD = "the sequences are of different lengths", "add pad_sequences, which gives them one length"


def infer(named: NamedPipeline, field: Field, learned: States) -> list[Field]:
    """Infer a pipeline's fields (shape, dtype ...) before each step and after the last one. Raises DataError."""
    fields = [field]
    for index in range(len(named.pipeline.steps)):
        fields.append(infer_step(named, index, fields[-1], learned.get(named.key(index))))
    if fields[-1].is_ragged:
        raise named.fault(_RAGGED, hint=_PAD)
    return fields


def infer_step(named: NamedPipeline, index: int, field: Field, learned: FittedState | None) -> Field:
    """Infer the output field of pipeline step `index`. Raises DataError; ConfigError if memory cannot hold a row."""
    step = named.pipeline.steps[index].transform
    if field.is_ragged and not step.takes_sequences:
        raise named.fault(_RAGGED, index, hint=_PAD)
    try:
        made = step.infer(field, learned, target=named.target)
    except ValueError as error:
        raise named.fault(str(error), index) from None
    check_step_memory(named, index, made)
    return made if made.num_classes == field.num_classes else replace(made, first_class=None)


def boundary(named: NamedPipeline, fields: list[Field]) -> int:
    """Return the number of the pipeline's steps that run once over all rows, in advance; the others run per batch."""
    steps = named.pipeline.steps
    count = len(steps)
    if named.section == "sample_weight":
        return count
    while count and steps[count - 1].transform.in_batch(fields[count - 1]):
        count -= 1
        if steps[count].transform.needs_rows:
            break
    return count


def run_step(named: NamedPipeline, index: int, rows: DistinctRows, field: Field, learned: FittedState) -> DistinctRows:
    """Check `rows` and return them transformed by one step of the pipeline. Raises DataError that names the row."""
    step = named.pipeline.steps[index].transform
    try:
        step.check(rows.values, field, learned, target=named.target)
        made = step.apply(rows.values, field, learned, target=named.target)
    except BadRow as bad:
        raise data_error_at(bad, named, rows.table, index) from None
    except ValueError as error:
        raise named.fault(str(error), index) from None
    if not isinstance(made, np.ndarray) or len(made) != len(rows.values):
        got = f"an array of shape {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
        raise named.fault(
            f"'apply' must return an array with the {len(rows.values):,} rows that it got, got {got}", index
        )
    return rows.having(made)


def prepare(named: NamedPipeline, table: Table, fields: list[Field], learned: States, oov: OovCounts) -> np.ndarray:
    """Return a table's rows, checked for missing values, as transformed by the pipeline's steps that run in advance.

    The columns of `table` must be in memory. Numbers that are copied anyway are transformed in pieces that fit in the
    cache. Values that are out of a vocabulary are added to the counts `oov`. Raises DataError.
    """
    until = boundary(named, fields)
    for index in range(until):
        check_step_memory(named, index, fields[index + 1], table.rows)
    made = fields[until].dtype
    if named.pipeline.stacked or NARROW.get(made, made) != fields[0].dtype:
        rows = cut_at(fields[: until + 1], _PIECE_VALUES)
        with suppress(DataError):  # raised again for all rows, which it counts
            prepared = _in_pieces(named, table, fields, learned, rows, oov) if 0 < 2 * rows < table.rows else None
            if prepared is not None:
                return prepared
    return _prepared(named, table, fields, learned, oov)


def cut_at(fields: Sequence[Field], values: int) -> int:
    """Return how many rows have about `values` values in the largest of `fields`; 0 if a field is not of numbers."""
    if not all(field.dtype in _NUMBERS for field in fields):
        return 0
    return max(1, values // max(math.prod(size or 1 for size in field.shape) for field in fields))


def _in_pieces(
    named: NamedPipeline,
    table: Table,
    fields: list[Field],
    learned: States,
    rows: int,
    oov: OovCounts,
) -> np.ndarray | None:
    """Return a table's prepared rows, `rows` at a time; None if those of two pieces differ in dtype or shape.

    Raises DataError.
    """
    out: np.ndarray | None = None
    done = 0
    for part in table.slices(rows):
        prepared = _prepared(named, part, fields, learned, oov)
        out = np.empty((table.rows, *prepared.shape[1:]), prepared.dtype) if out is None else out
        if prepared.dtype != out.dtype or prepared.shape[1:] != out.shape[1:]:
            return None
        out[done : done + len(prepared)] = prepared
        done += len(prepared)
    return out


def _prepared(named: NamedPipeline, table: Table, fields: list[Field], learned: States, oov: OovCounts) -> np.ndarray:
    rows = DistinctRows.read(named, table, fields[0])
    steps = named.pipeline.steps
    until = boundary(named, fields)
    for index in range(until):
        state = learned.get(named.key(index), NO_STATE)
        with counting(Step(oov, named.pipeline.columns, steps[index].transform.component_name, rows.counts())):
            rows = run_step(named, index, rows, fields[index], state)
    values = rows.all()
    check_finite(named, values, table)
    narrow = "float32" if named.section == "sample_weight" else NARROW.get(values.dtype.name, values.dtype.name)
    try:
        if until < len(steps) and (step := steps[until].transform).needs_rows:
            step.check(values, fields[until], learned.get(named.key(until), NO_STATE), target=named.target)
        values = converted(values, np.dtype(narrow))
    except BadRow as bad:
        raise data_error_at(bad, named, table) from None
    return _weights(named, values, table) if named.section == "sample_weight" else values


def _weights(named: NamedPipeline, values: np.ndarray, table: Table) -> np.ndarray:
    """Return a pipeline's output as sample weights (rows,). Raises DataError unless it has one number >= 0 per row."""
    if values.size != len(values):
        raise named.fault(f"expected one weight per row, got an array of shape {values.shape}")
    weights = values.reshape(len(values))
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise data_error_at(BadRow(row, f"a weight cannot be negative, got {weights[row]:g}"), named, table)
    return weights


def finished(fields: list[Field]) -> Field:
    """Return the last of a pipeline's fields (shape, dtype ...), with its dtype replaced by one that torch supports."""
    last = fields[-1]
    if last.dtype == "unknown":
        return replace(last, dtype="float32")
    return replace(last, dtype=NARROW.get(last.dtype, last.dtype))


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


def suffix(named: NamedPipeline, fields: list[Field], learned: States) -> nn.Module | None:
    """Return the module of a pipeline's last steps, which run per batch; None if all steps run in advance."""
    steps = named.pipeline.steps
    modules = [
        steps[i].transform.batch(fields[i], learned.get(named.key(i), NO_STATE), target=named.target)
        for i in range(boundary(named, fields), len(steps))
    ]
    return nn.Sequential(*modules) if modules else None


def inverse(named: NamedPipeline, fields: list[Field], learned: States) -> Inverse | None:
    """Return the function that undoes a target pipeline's last steps in predictions, as far as they are invertible.

    It takes rows (N, *shape) of the last field. None if no number would change.
    """
    undone = undone_steps(named, fields, learned)
    return partial(_undone, [undo for _, undo in undone]) if undone else None


def undone_steps(named: NamedPipeline, fields: list[Field], learned: States) -> list[tuple[int, Inverse]]:
    """Return a list of (index, inverse function) of the last invertible steps of a pipeline, last first. It is empty if
    these steps change no number."""
    steps = named.pipeline.steps
    invertible = _invertible_steps(named, fields, learned)
    return invertible if any(not steps[index].transform.keeps_numbers for index, _ in invertible) else []


def _invertible_steps(named: NamedPipeline, fields: list[Field], learned: States) -> list[tuple[int, Inverse]]:
    invertible: list[tuple[int, Inverse]] = []
    for index, step in reversed(list(enumerate(named.pipeline.steps))):
        undo = step.transform.inverse(fields[index], learned.get(named.key(index), NO_STATE))
        if undo is None:
            break
        invertible.append((index, undo))
    return invertible


def full_inverse(named: NamedPipeline, fields: list[Field], learned: States) -> Inverse:
    """Return the function that undoes all steps of a target pipeline. Raises DataError if one has no inverse."""
    invertible = _invertible_steps(named, fields, learned)
    if rest := len(named.pipeline.steps) - len(invertible):
        raise named.fault("this step cannot be undone, so that predictions are no values of the column", rest - 1)
    return partial(_undone, [undo for _, undo in invertible])


def _undone(steps: Sequence[Inverse], values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    for undo in steps:
        values = undo(values)
    return values
