"""Advice check: warns of input columns of a table that have the same value in all training rows."""

from collections.abc import Iterator

import numpy as np

from kerascli.foundation.errors import Fault, counted, safe_text, show
from kerascli.workflow.advice.case import Case, warning
from kerascli.workflow.advice.raw import Raw

_MOST_FEATURES = 32
"""Maximum number of values per row of an array that is checked; in images and spectra, constant features are normal."""

_NAMED = 5


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each input with constant columns, except images, whose borders may be constant."""
    for path, pipeline in case.inputs():
        constant = [text for name in pipeline.columns for text in _constant(name, case.raw(name))]
        if constant:
            more = f" and {counted(len(constant) - _NAMED, 'other')}" if len(constant) > _NAMED else ""
            told = f"{', '.join(constant[:_NAMED])}{more}"
            text = f"the input '{path[-1]}' has constant values in the training rows: {told}"
            yield warning(text, path, "remove them: a constant tells the model nothing")


def _constant(name: str, column: Raw | None) -> list[str]:
    """Return texts that say that a column is constant or, if its values are arrays, which of its features are."""
    if column is None or len(column) < 2 or column.is_ragged:
        return []
    if column.ndim == 1:
        found = _the_one(column.array())
        return [] if found is None else [f"column '{safe_text(name, 60)}' is {found}"]
    if column.ndim > 2 or column.width > _MOST_FEATURES or not _measures(column.take(slice(0, 1)).array()):
        return []
    named = ((index, _the_one(column.feature(index))) for index in range(column.width))
    return [f"'{safe_text(name, 60)}[{index}]' is {found}" for index, found in named if found is not None]


def _the_one(values: np.ndarray) -> str | None:
    """Return as text the value that all rows of a column have, missing values aside; None if rows differ."""
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
    if not len(values) or values[-1] != values[0] or not (values == values[0]).all():
        return None
    return show(values[0] if values.dtype == object else values[0].item())


def _measures(values: np.ndarray) -> bool:
    """Return True if a column has numbers with fractions, such as measurements, not integers, such as class labels."""
    return values.dtype.kind == "f" and bool((values != np.floor(values)).any())
