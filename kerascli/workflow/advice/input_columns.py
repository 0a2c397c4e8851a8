"""Advice checks of input columns: constant columns, target leakage, and date components that no training row has."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.dates import parsed_times, part_of
from kerascli.data.section import Pipeline
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.transforms.datetime import DateTime
from kerascli.data.transforms.impute import Impute
from kerascli.foundation.errors import Fault, Path, counted, safe_text, show
from kerascli.workflow.advice.case import Case, Raw, is_label, is_split, warning

_MOST_CHECKED = 32
"""Maximum number of values per row of an array that is checked; in images and spectra, constant features are normal."""
_NAMED = 5
_PROBED_ROWS = 64
_MOST_COMPARED = 100_000
"""Maximum number of values per row of an input that are compared with a target."""
_CHANCE = 1e-4
"""Probability below which a random split would not leave all rows of a value to the test."""


def constant_inputs(case: Case) -> Iterator[Fault]:
    """Yield a warning for each input with columns that are constant in the training rows; images are not checked."""
    for path, pipeline in case.inputs():
        if constant := [text for name in pipeline.columns for text in _constant(name, case.raw(name))]:
            more = f" and {counted(len(constant) - _NAMED, 'other')}" if len(constant) > _NAMED else ""
            text = f"the input '{path[-1]}' has constant values in the training rows: {', '.join(constant[:_NAMED])}"
            yield warning(text + more, path, "remove them: a constant tells the model nothing")


def _constant(name: str, column: Raw | None) -> list[str]:
    """Return texts that say that a column is constant or, if its values are arrays, which of its features are."""
    if column is None or len(column) < 2 or column.is_ragged:
        return []
    if column.ndim == 1:
        value = _single_value(column.array())
        return [] if value is None else [f"column '{safe_text(name, 60)}' is {value}"]
    if column.ndim > 2 or column.width > _MOST_CHECKED or not _measures(column.take(slice(0, 1)).array()):
        return []
    values = ((index, _single_value(column.feature(index))) for index in range(column.width))
    return [f"'{safe_text(name, 60)}[{index}]' is {value}" for index, value in values if value is not None]


def _single_value(values: np.ndarray) -> str | None:
    """Return as text the value that all rows of a column have, missing values aside; None if rows differ."""
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
    if not len(values) or values[-1] != values[0] or not (values == values[0]).all():
        return None
    return show(values[0] if values.dtype == object else values[0].item())


def _measures(values: np.ndarray) -> bool:
    """Return True if a column has numbers with fractions, such as measurements, not integers, such as class labels."""
    return values.dtype.kind == "f" and bool((values != np.floor(values)).any())


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
            raw = case.raw(column)
            if raw is not None and is_label(raw, target) and not ((values := raw.array()) == values[0]).all():
                yield path, target, column, values


def _leaks(
    case: Case, column: str, values: np.ndarray, target: str | int, path: Path, pipeline: Pipeline
) -> Iterator[Fault]:
    for name in pipeline.columns:
        if name == column:
            text = f"column '{column}' is a target ('{target}') and an input ('{path[-1]}'): the model is given"
        elif copy := _copy(values, case.raw(name), name):
            text = f"{copy} equals the target '{target}' in every training row: the model is given"
        else:
            continue
        yield warning(f"{text} what it is to predict", path, f"remove it from the inputs, or from '{target}'")


def _copy(label: np.ndarray, column: Raw | None, name: str) -> str:
    """Return the name of an input column (or of a feature in it) that equals the label in all rows; empty if there is
    none."""
    if column is None or column.is_ragged or column.ndim > 2 or not 0 < column.width <= _MOST_COMPARED:
        return ""
    if (label.dtype == object) != (column.whole.dtype == object):
        return ""
    probed = np.unique(np.linspace(0, len(label) - 1, _PROBED_ROWS).astype(np.int64))
    features = column.take(probed).array().reshape(len(probed), -1)
    for index in np.flatnonzero((features == label[probed, None]).all(axis=0)).tolist():
        if np.array_equal(column.feature(index), label):
            return f"column '{name}'" if column.ndim == 1 else f"'{name}[{index}]'"
    return ""


def unseen_dates(case: Case) -> Iterator[Fault]:
    """Yield a warning for each date component (month, weekday ...) with values that only test rows have.

    The inputs with a transform `datetime` are checked.
    """
    for path, pipeline in case.inputs():
        steps = [step.transform for step in pipeline.steps if not isinstance(step.transform, Impute)]
        dates = steps[0] if steps and len(pipeline.columns) == 1 else None  # which gets the column's own values
        raws = case.train_and_test(pipeline.columns[0]) if isinstance(dates, DateTime) else None
        if not isinstance(dates, DateTime) or raws is None:
            continue
        train, test = (_times(raw.array(), dates.format) for raw in raws)
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
