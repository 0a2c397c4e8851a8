"""A pipeline at work: columns in, one array out, and the module that finishes a batch of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from torch import Tensor, nn

from kerascli import draws
from kerascli.data.base import NOTHING_LEARNED, Field, Inverse, Learned
from kerascli.data.pipeline.columns import check_finite, read_columns
from kerascli.data.pipeline.room import check_room
from kerascli.data.pipeline.route import Route, located
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow, Table

_NARROW = {"float64": "float32", "float16": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}
"""What torch has no full support for, or a model would not compute in."""

_RAGGED, _PAD = "the rows are of different lengths", "put pad_sequences there, which makes them of one length"


def infer(route: Route, field: Field, learned: Mapping[str, Learned]) -> list[Field]:
    """The fields before every step and after the last. Raises DataError."""
    fields = [field]
    for index in range(len(route.pipeline.steps)):
        fields.append(infer_step(route, index, fields[-1], learned.get(route.key(index))))
    if fields[-1].is_ragged:
        raise route.fault(_RAGGED, hint=_PAD)
    return fields


def infer_step(route: Route, index: int, field: Field, learned: Learned | None) -> Field:
    """The field after step `index`. Raises DataError; ConfigError where no memory would hold a row of it."""
    step = route.pipeline.steps[index].transform
    if field.is_ragged and not step.takes_sequences:
        raise route.fault(_RAGGED, index, hint=_PAD)
    try:
        found = step.infer(field, learned, target=route.target)
    except ValueError as error:
        raise route.fault(str(error), index) from None
    check_room(route, index, found)
    return found


def boundary(route: Route, fields: list[Field]) -> int:
    """How many steps run once over all rows; the rest is left to the batch."""
    steps = route.pipeline.steps
    count = len(steps)
    if route.section == "sample_weight":
        return count
    while count and steps[count - 1].transform.in_batch(fields[count - 1]):
        count -= 1
        if steps[count].transform.needs_rows:
            break
    return count


def run_step(route: Route, index: int, values: np.ndarray, field: Field, learned: Learned, table: Table) -> np.ndarray:
    """One step over all rows. Raises DataError naming the row."""
    step = route.pipeline.steps[index].transform
    try:
        step.check(values, field, learned, target=route.target)
        return step.apply(values, field, learned, target=route.target)
    except BadRow as bad:
        raise located(bad, route, table, index) from None
    except ValueError as error:
        raise route.fault(str(error), index) from None


def prepare(route: Route, table: Table, fields: list[Field], learned: Mapping[str, Learned]) -> np.ndarray:
    """Columns in memory through the prefix, checked for missing values: what a split holds. Raises DataError."""
    values = read_columns(route, table, fields[0])
    steps = route.pipeline.steps
    until = boundary(route, fields)
    for index in range(until):
        check_room(route, index, fields[index + 1], len(values))
        values = run_step(route, index, values, fields[index], learned.get(route.key(index), NOTHING_LEARNED), table)
    check_finite(route, values, table)
    if until < len(steps) and steps[until].transform.needs_rows:
        step = steps[until].transform
        try:
            step.check(values, fields[until], learned.get(route.key(until), NOTHING_LEARNED), target=route.target)
        except BadRow as bad:
            raise located(bad, route, table) from None
    narrow = "float32" if route.section == "sample_weight" else _NARROW.get(values.dtype.name, values.dtype.name)
    try:
        values = converted(values, np.dtype(narrow))
    except BadRow as bad:
        raise located(bad, route, table) from None
    return _weights(route, values, table) if route.section == "sample_weight" else values


def _weights(route: Route, values: np.ndarray, table: Table) -> np.ndarray:
    """One number a row, none of them negative. Raises DataError."""
    if values.size != len(values):
        raise route.fault(f"expected one weight a row, got an array of shape {values.shape}")
    weights = values.reshape(len(values))
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise located(BadRow(row, f"a weight cannot be negative, got {weights[row]:g}"), route, table)
    return weights


def finished(fields: list[Field]) -> Field:
    """What the model gets: the last field, in a dtype that torch computes in."""
    last = fields[-1]
    if last.dtype == "unknown":
        return replace(last, dtype="float32")
    return replace(last, dtype=_NARROW.get(last.dtype, last.dtype))


class Stage(nn.Module):
    """Finishes batches on their device: the suffixes of pipelines, by input or target name."""

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


def suffix(route: Route, fields: list[Field], learned: Mapping[str, Learned]) -> nn.Module | None:
    """What is left of a pipeline for the batch, or nothing."""
    steps = route.pipeline.steps
    modules = [
        steps[i].transform.batch(fields[i], learned.get(route.key(i), NOTHING_LEARNED), target=route.target)
        for i in range(boundary(route, fields), len(steps))
    ]
    return nn.Sequential(*modules) if modules else None


def inverse(route: Route, fields: list[Field], learned: Mapping[str, Learned]) -> Inverse | None:
    """Return the function that undoes the last steps of a pipeline, back to the first that cannot be undone.

    It takes rows (N, *shape) of the last field. None if no number would change.
    """
    found: list[Inverse] = []
    changes = False
    for index, step in reversed(list(enumerate(route.pipeline.steps))):
        undo = step.transform.undoing(fields[index], learned.get(route.key(index), NOTHING_LEARNED))
        if undo is None:
            break
        found.append(undo)
        changes = changes or not step.transform.keeps_numbers
    return partial(_undone, found) if changes else None


def _undone(steps: Sequence[Inverse], values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    for undo in steps:
        values = undo(values)
    return values
