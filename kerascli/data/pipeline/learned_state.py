"""Fit transforms on the training rows, and save and load their state in a run as JSON and arrays (no pickle)."""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from kerascli.data.base import Field, Fields, FittedState, States
from kerascli.data.pipeline.columns import read_columns
from kerascli.data.pipeline.named_pipeline import check_step_memory, data_error_at
from kerascli.data.pipeline.pipeline import FittedPipeline, cut_at, in_threads
from kerascli.data.pipeline.steps import Records, Values
from kerascli.data.storage.blocks import PART_VALUES, Blocks
from kerascli.data.storage.table import BadRow, Table
from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.disk.files import load_json
from kerascli.foundation.disk.npz import load_npz
from kerascli.foundation.errors import FileRefused

COLUMNS = "columns"
"""Key in the learned state for the fields (shape, dtype ...) of the training columns, by which `predict` reads data."""

_JSON_FILE, _ARRAYS_FILE = "preprocessing.json", "preprocessing.npz"
_FIELDS = TypeAdapter(dict[str, Field], config=ConfigDict(extra="forbid"))


@dataclass(slots=True)
class _Fit:
    """Progress of fitting one pipeline's transforms, up to its last step that needs the training rows."""

    pipeline: FittedPipeline
    """Pipeline with the states that are learned so far."""
    keys: Sequence[str]
    """Keys of the steps, the last of which needs the training rows."""
    rows: Values | None = None
    """Training rows as input of the next step; None if they are on disk, or read by pieces (`cut`)."""
    cut: int = 0
    """Number of rows to read at once; 0 if the rows are on disk, or all read."""
    done: int = 0
    """Number of steps that are fitted."""

    def blocks(self, table: Table) -> Iterator[Values]:
        """Yield blocks of training rows, transformed by the steps that are done; rows that are not held are read
        again."""
        if self.rows is not None:
            yield self.rows
            return
        for part in table.slices(self.cut) if self.cut else table.parts(self.pipeline.columns):
            rows = read_columns(self.pipeline.named, part, self.pipeline.fields[0])
            yield self.pipeline.run(rows, part, range(self.done))

    def advance(self, columns: Fields, learned: States, table: Table) -> None:
        """Transform the rows by the step that was fitted, and go on to the next one."""
        self.pipeline = FittedPipeline(self.pipeline.named, columns, learned)
        self.done += 1
        if self.rows is not None and self.done < len(self.keys):
            check_step_memory(self.pipeline.named, self.done - 1, self.pipeline.fields[self.done], table.rows)
            self.rows = self.pipeline.run(self.rows, table, range(self.done - 1, self.done))


def learn(pipelines: Sequence[FittedPipeline], table: Table, columns: Fields) -> dict[str, FittedState]:
    """Fit all transforms of pipelines without states on the training rows; return {key: learned state}.

    A shared transform is fitted once, on the rows of all pipelines that use it, when each of them has reached it.
    Raises DataError.
    """
    sharing = [each for each in pipelines if any(step.shared for step in each.named.steps)]
    groups = [*([each] for each in pipelines if each not in sharing), sharing]
    on_disk = table.on_disk(columns)  # files are read by one thread
    states = in_threads(partial(_learn, table, columns), groups, rows=0 if on_disk else table.rows)
    learned = {COLUMNS: FittedState({name: asdict(field) for name, field in columns.items()}, {})}
    return learned | {key: state for each in states for key, state in each.items()}


def _learn(table: Table, columns: Fields, pipelines: Sequence[FittedPipeline]) -> dict[str, FittedState]:
    """Fit the transforms of pipelines that may share some on the training rows; return {key: learned state}."""
    learned: dict[str, FittedState] = {}
    fits = [fit for pipeline in pipelines if (fit := _start(pipeline, table)) is not None]
    while fits:
        if (ready := _ready([fit.keys[fit.done :] for fit in fits])) is None:
            raise fits[0].pipeline.named.fault("shared transforms are in a different order in another pipeline")
        users = [fit for fit in fits if fit.keys[fit.done] == ready]
        if ready not in learned:
            learned[ready] = _learn_step(users, table)
        for fit in users:
            fit.advance(columns, learned, table)
        fits = [fit for fit in fits if fit.done < len(fit.keys)]
    return learned


def _ready(ahead: Sequence[Sequence[str]]) -> str | None:
    """Return the key of a step that all pipelines with it have reached, from the keys that are ahead; None if there is
    none."""
    return next((key for key, *_ in ahead if all(keys[0] == key or key not in keys for keys in ahead)), None)


def _start(pipeline: FittedPipeline, table: Table) -> _Fit | None:
    named = pipeline.named
    fitted_steps = [i for i, step in enumerate(named.steps) if step.transform.defines("fit")]
    if not fitted_steps:
        return None
    keys = [named.key(index) for index in range(fitted_steps[-1] + 1)]
    if table.on_disk(named.columns):
        return _Fit(pipeline, keys)
    once = named.stacked and fitted_steps == [0] and not named.steps[0].transform.fills_missing
    if once and (cut := cut_at(pipeline.fields[:1], PART_VALUES)):
        return _Fit(pipeline, keys, cut=cut)
    return _Fit(pipeline, keys, read_columns(named, table, pipeline.fields[0]))


def _learn_step(fits: list[_Fit], table: Table) -> FittedState:
    """Fit one transform on the training rows of all pipelines that share it; return its learned state.

    Rows of different shapes are split into values, or into vectors if their last axes agree.
    """
    named, index = fits[0].pipeline.named, fits[0].done
    step, field = named.steps[index].transform, fits[0].pipeline.fields[index]
    shapes = [fit.pipeline.fields[fit.done].shape for fit in fits]
    alike = len(set(shapes)) == 1
    alike_last = len({shape[-1:] for shape in shapes}) == 1 and None not in field.shape[-1:]
    last: tuple[Any, ...] = field.shape if alike else field.shape[-1:] if alike_last else ()

    def make() -> Iterator[Any]:
        for fit in fits:
            for block in fit.blocks(table):
                yield block if alike or isinstance(block, Tokens | Records) else block.reshape(-1, *last)

    rows = Blocks(make)
    try:
        state = step.fit(rows, replace(field, shape=last), target=named.target)
    except BadRow as bad:
        # how many parts of shape `last` a row of each pipeline has; unknown sizes count as 1
        counts = [math.prod(size or 1 for size in shape[: len(shape) - len(last)]) for shape in shapes]
        ends = table.rows * np.cumsum(counts)
        at = int(np.searchsorted(ends, rows.first + bad.row, side="right"))
        row = table.rows + int(rows.first + bad.row - ends[at]) // counts[at]
        all_rows = rows.first + bad.rows if counts == [1] and bad.rows is not None else None
        raise data_error_at(replace(bad, row=row, rows=all_rows), fits[at].pipeline.named, table) from None
    except ValueError as error:
        raise named.fault(str(error), index) from None
    where = f"{named.section}.{named.name} ({step.component_name})"
    return replace(state, warnings=tuple(f"{where}: {warning}" for warning in state.warnings))


def known_columns(learned: States) -> dict[str, Field]:
    """Return a mapping from training column to field (shape, dtype ...), from the learned state. Raises FileRefused."""
    try:
        fields = _FIELDS.validate_python(learned[COLUMNS].facts)
        for field in fields.values():
            if not field.is_text and not field.is_ragged:
                np.dtype(field.dtype)
    except (KeyError, TypeError, ValidationError):
        raise FileRefused(f"'{_JSON_FILE}' is not what kerascli writes there") from None
    return fields


def save_learned(learned: States) -> dict[str, bytes]:
    """Return a mapping from file name to contents for the learned state in a run's folder `preprocessing/`."""
    facts = {key: dict(item.facts) for key, item in learned.items()}
    arrays = {f"{key}/{name}": array for key, item in learned.items() for name, array in item.arrays.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
    return {_JSON_FILE: json.dumps(facts, ensure_ascii=False, indent=1).encode(), _ARRAYS_FILE: buffer.getvalue()}


def load_learned(files: Mapping[str, bytes]) -> dict[str, FittedState]:
    """Return a run's learned states as a mapping from key, parsed from `save_learned`'s files. Raises FileRefused."""
    for name in (_JSON_FILE, _ARRAYS_FILE):
        if name not in files:
            raise FileRefused(f"the run's preprocessing has no '{name}'")
    facts = load_json(files[_JSON_FILE], _JSON_FILE)
    if not isinstance(facts, dict) or not all(isinstance(item, dict) for item in facts.values()):
        raise FileRefused(f"'{_JSON_FILE}' is not what kerascli writes there")
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for full, array in load_npz(io.BytesIO(files[_ARRAYS_FILE]), _ARRAYS_FILE).items():
        key, _, name = full.rpartition("/")
        arrays.setdefault(key, {})[name] = array
    return {key: FittedState(item, arrays.get(key, {})) for key, item in facts.items()}
