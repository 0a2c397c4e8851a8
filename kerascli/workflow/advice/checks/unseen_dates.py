"""Advice check: warns of calendar parts as inputs (month, weekday ...) with test values that no training row has."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.dates import parsed_times, part_of
from kerascli.data.section import Pipeline
from kerascli.data.storage.blocks import inverse_of
from kerascli.data.transforms.datetime import DateTime
from kerascli.data.transforms.impute import Impute
from kerascli.foundation.errors import Fault, safe_text
from kerascli.workflow.advice.case import Case, warning

_CHANCE = 1e-4
"""Probability below which a random split would not leave all rows of a value to the test."""


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each part of each input of dates that has such values."""
    for path, pipeline in case.inputs():
        transform = _dates(pipeline)
        raws = [raw for name in ("train", "test") if (raw := case.raw(pipeline.columns[0], name)) and raw.ndim == 1]
        if transform is None or len(raws) < 2:
            continue
        train, test = (_times(raw.array(), transform.format) for raw in raws)
        for part in transform.parts:
            if text := _unseen(part_of(train, part), part_of(test, part)):
                said = f"the training rows lack values of '{part}' that the test rows have: {text}"
                hint = f"take '{part}' out of parts: the model cannot learn what it means there"
                yield warning(f"the input '{safe_text(str(path[-1]), 60)}': {said}", path, hint)


def _dates(pipeline: Pipeline) -> DateTime | None:
    """Return the transform of a pipeline that takes dates apart, if it gets the column's own values, else None."""
    steps = [step.transform for step in pipeline.steps if not isinstance(step.transform, Impute)]
    return steps[0] if steps and isinstance(steps[0], DateTime) and len(pipeline.columns) == 1 else None


def _times(texts: np.ndarray, form: str | None) -> np.ndarray:
    """Return the times of all rows but those without one."""
    words, numbers = inverse_of(texts)
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
