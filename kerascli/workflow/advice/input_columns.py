"""Advice checks of input columns: constant columns, target leakage, and date components that no training row has."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.dates import parsed_times, part_of
from kerascli.data.section import Pipeline
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.transforms.datetime import DateTime
from kerascli.data.transforms.impute import Impute
from kerascli.foundation.errors import Fault, Path, counted, safe_text, show
from kerascli.workflow.advice.case import Case, is_split, warning

_NAMED = 5
_FIRST = 100
"""Number of rows that are compared first, in which most columns differ: all rows of a text are slow to gather."""
_CHANCE = 1e-4
"""Probability below which a random split would not leave all rows of a value to the test."""


def constant_inputs(case: Case) -> Iterator[Fault]:
    """Yield a warning for each input with columns that are constant in the training rows; arrays are not checked."""
    for path, pipeline in case.inputs():
        values = ((name, _single_value(case, name)) for name in pipeline.columns)
        constant = [f"column '{safe_text(name, 60)}' is {value}" for name, value in values if value is not None]
        if constant:
            more = f" and {counted(len(constant) - _NAMED, 'other')}" if len(constant) > _NAMED else ""
            text = f"the input '{path[-1]}' has constant values in the training rows: {', '.join(constant[:_NAMED])}"
            yield warning(text + more, path, "remove them: a constant tells the model nothing")


def _single_value(case: Case, name: str) -> str | None:
    """Return as text the value that all training rows of a column have, missing ones aside; None if rows differ."""
    values = None
    for most in (_FIRST, None):
        values = case.scalars(name, most=most)
        if values is None or len(values) < 2:
            return None
        values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        if not (values == values[:1]).all():
            return None
    return None if values is None or not len(values) else show(values[:1].tolist()[0])


def target_leaks(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target that the model also gets as an input, directly or as an equal column.

    No warning is given if the targets include all inputs, as for an autoencoder, or if a pipeline splits the values of
    the input or of the target (texts into words, as for a decoder that reads its previous output).
    """
    inputs = [(path, pipeline) for path, pipeline in case.inputs() if not is_split(pipeline)]
    for target_path, target, column, values in _labels(case):
        for path, pipeline in inputs:
            if pipeline.columns != target.columns or len(pipeline.columns) == 1:
                yield from _leaks(case, column, values, target_path[-1], path, pipeline)


def _labels(case: Case) -> Iterator[tuple[Path, Pipeline, str, np.ndarray]]:
    """Yield (config path, pipeline, column, values) for each column of a target that may leak, unless it is constant:
    its equality with an input then means nothing."""
    used = {column for _, pipeline in case.inputs() for column in pipeline.columns}
    is_autoencoder = used <= {column for _, pipeline in case.targets() for column in pipeline.columns}
    classes = {pair.target for pair in case.spec.pairs if pair.loss is not None and pair.loss.sparse_targets}
    for path, target in case.targets():
        for column in target.columns if path[-1] in classes or not is_autoencoder else ():
            values = None if is_split(target) else case.scalars(column)
            if values is not None and not (values == values[0]).all():
                yield path, target, column, values


def _leaks(
    case: Case, column: str, values: np.ndarray, target: str | int, path: Path, pipeline: Pipeline
) -> Iterator[Fault]:
    for name in pipeline.columns:
        if name == column:
            text = f"column '{column}' is a target ('{target}') and an input ('{path[-1]}'): the model is given"
        elif all(_equal(case.scalars(name, most=most), values[:most]) for most in (_FIRST, None)):
            text = f"column '{name}' equals the target '{target}' in every training row: the model is given"
        else:
            continue
        yield warning(f"{text} what it is to predict", path, f"remove it from the inputs, or from '{target}'")


def _equal(values: np.ndarray | None, others: np.ndarray) -> bool:
    return values is not None and np.array_equal(values, others)


def unseen_dates(case: Case) -> Iterator[Fault]:
    """Yield a warning for each date component (month, weekday ...) with values that only test rows have.

    The inputs with a transform `datetime` are checked.
    """
    for path, pipeline in case.inputs():
        steps = [step.transform for step in pipeline.steps if not isinstance(step.transform, Impute)]
        dates = steps[0] if steps and len(pipeline.columns) == 1 else None  # which gets the column's own values
        texts = case.train_and_test(pipeline.columns[0]) if isinstance(dates, DateTime) else None
        if not isinstance(dates, DateTime) or texts is None:
            continue
        train, test = (_times(each, dates.format) for each in texts)
        for part in dates.parts:
            if values := _unseen(part_of(train, part), part_of(test, part)):
                text = f"the training rows lack values of '{part}' that the test rows have: {values}"
                hint = f"take '{part}' out of parts: the model cannot learn what it means there"
                yield warning(f"the input '{safe_text(str(path[-1]), 60)}': {text}", path, hint)


def _times(texts: np.ndarray, form: str | None) -> np.ndarray:
    """Return the times of all rows but those without one."""
    words, numbers = unique_inverse(texts)
    times = parsed_times(words.tolist(), form, "s")[numbers]
    return times[~np.isnat(times)]


def _unseen(train: np.ndarray, test: np.ndarray) -> str:
    """Return the values of the test rows that the training rows lack, with their share, as text; '' if they lack none,
    or may do so by chance."""
    values, counts = np.unique(test, return_counts=True)
    by_chance = (len(test) / (len(train) + len(test))) ** counts
    is_unseen = ~np.isin(values, train) & (by_chance < _CHANCE)
    if not is_unseen.any():
        return ""
    named = ", ".join(map(str, values[is_unseen][:6].tolist())) + (" ..." if is_unseen.sum() > 6 else "")
    return f"{named} ({counts[is_unseen].sum() / len(test):.0%} of the test rows)"
