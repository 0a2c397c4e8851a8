"""Advice check: warns of target leakage, when a label or a column equal to it is also an input."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.section import Pipeline
from kerascli.foundation.errors import Fault, Path
from kerascli.workflow.advice.case import Case, is_label, warning
from kerascli.workflow.advice.raw import Raw

_PROBED_ROWS = 64
_MOST_FEATURES = 100_000


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target that the model also gets as an input, directly or as an equal column.

    No warning is given if the targets include all inputs, as for an autoencoder, or if the pipeline of an input or
    target splits it (a text into words, as for a decoder that reads its previous output).
    """
    inputs = list(case.inputs())
    used = {column for _, pipeline in inputs for column in pipeline.columns}
    targets = {column for _, pipeline in case.targets() for column in pipeline.columns}
    for path, target in case.targets():
        if used <= targets and not _is_classification(case, path[-1]):
            continue
        for column in target.columns:
            raw = case.raw(column)
            if raw is None or not is_label(raw, target) or _is_constant(values := raw.array()):
                continue
            for where, pipeline in inputs:
                if pipeline.columns != target.columns or len(pipeline.columns) == 1:
                    yield from _faults(case, (column, values), path, where, pipeline)


def _faults(case: Case, target: tuple[str, np.ndarray], path: Path, where: Path, pipeline: Pipeline) -> Iterator[Fault]:
    column, values = target
    if any(step.transform.splits_values for step in pipeline.steps):
        return
    for name in pipeline.columns:
        if name == column:
            text = f"column '{column}' is a target ('{path[-1]}') and an input ('{where[-1]}'): the model is given"
        elif copy := _copy(values, case.raw(name), name):
            text = f"{copy} equals the target '{path[-1]}' in every training row: the model is given"
        else:
            continue
        yield warning(f"{text} what it is to predict", where, f"remove it from the inputs, or from '{path[-1]}'")


def _copy(label: np.ndarray, column: Raw | None, name: str) -> str:
    """Return the name of an input column (or of a feature in it) that equals the label in all rows; empty if there is
    none."""
    if column is None or column.is_ragged or column.ndim > 2 or not 0 < column.width <= _MOST_FEATURES:
        return ""
    if (label.dtype == object) != (column.whole.dtype == object):
        return ""
    probed = np.unique(np.linspace(0, len(label) - 1, _PROBED_ROWS).astype(np.int64))
    features = column.take(probed).array().reshape(len(probed), -1)
    near = np.flatnonzero((features == label[probed, None]).all(axis=0))
    equal = next((int(index) for index in near if np.array_equal(column.feature(int(index)), label)), None)
    if equal is None:
        return ""
    return f"column '{name}'" if column.ndim == 1 else f"'{name}[{equal}]'"


def _is_constant(values: np.ndarray) -> bool:
    """Return True if a column has one value in all rows; its equality with a label then means nothing."""
    return bool((values == values[0]).all())


def _is_classification(case: Case, target: str | int) -> bool:
    """Return True if the target's loss takes class labels; if so, the model is no autoencoder."""
    return any(pair.loss.sparse_targets for pair in case.spec.pairs if pair.target == target and pair.loss is not None)
