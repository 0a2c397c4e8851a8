"""Run transforms over arrays, as a pipeline does."""

import numpy as np

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.pipeline.steps import FittedStep, Records, Values
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.column import Texts
from kerascli.data.storage.tokens import Tokens, is_ragged


def field_of(values: np.ndarray) -> Field:
    return Field(values.shape[1:], "string" if values.dtype == object else values.dtype.name)


def rows_of(values: np.ndarray) -> Values:
    """Return an array, an object array of texts or of arrays, or records as a pipeline's rows."""
    if values.dtype.names:
        columns = {name: rows_of(np.ascontiguousarray(values[name])) for name in values.dtype.names}
        return Records({name: rows for name, rows in columns.items() if isinstance(rows, np.ndarray | Texts)})
    if values.dtype != object:
        return values
    return Tokens.of(values) if is_ragged(values) else Texts.of_values(values)


def fitted(step: Transform, values: np.ndarray, field: Field | None = None, *, target: bool = False) -> FittedState:
    return step.fit(Blocks(lambda: iter([rows_of(values)])), field or field_of(values), target=target)


def transformed(
    step: Transform, values: np.ndarray, state: FittedState, field: Field | None = None, *, target: bool = False
) -> np.ndarray:
    """Return rows transformed ahead by a fitted transform, as an array."""
    field = field or field_of(values)
    made = step.infer(field, state, target=target)
    result = FittedStep(step, field, made, state, target)(rows_of(values))
    if isinstance(result, Tokens):
        return result.sequences()
    assert not isinstance(result, Records)
    return result.rows() if isinstance(result, Texts) else result
