"""Counts of the values that lookups do not find in their vocabularies (out-of-vocabulary, OOV), for warnings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import NamedTuple

import numpy as np

from kerascli.foundation.errors import Fault, safe_text

_LEAST_SHARE = 0.1


class Vocabulary(NamedTuple):
    """Vocabulary in which a transform looks up the values of a column."""

    column: str
    transform: str
    noun: str
    """Plural noun for the column's values: `words`, `values`."""
    entries: int
    in_training: float
    """Share of OOV values in the training rows, from a vocabulary that `max_tokens` has limited."""


class OovCounts:
    """Numbers of values that were looked up in each vocabulary, without masked ones, and of OOV values among them."""

    def __init__(self) -> None:
        self._counts: dict[Vocabulary, tuple[int, int]] = {}
        self._lock = Lock()  # threads read the batches of rows on disk

    def count(self, vocabulary: Vocabulary, values: int, oov: int) -> None:
        """Add numbers of values that were looked up in a vocabulary, and of OOV ones among them."""
        with self._lock:
            before = self._counts.get(vocabulary, (0, 0))
            self._counts[vocabulary] = before[0] + values, before[1] + oov

    def add(self, other: "OovCounts") -> None:
        """Add the counts of other rows."""
        for vocabulary, numbers in other._counts.items():
            self.count(vocabulary, *numbers)

    def warnings(self) -> list[Fault]:
        """Return a warning for each column of which a tenth or more of the values are OOV, beyond the share of the
        training rows."""
        faults: list[Fault] = []
        for (column, transform, noun, entries, in_training), (values, oov) in self._counts.items():
            if values and oov >= min(in_training + _LEAST_SHARE, 1) * values:
                share = f"{oov / values:.0%} of the {noun} in column '{safe_text(column, 60)}'"
                size = f"{transform}, {entries:,} {'tokens' if noun == 'words' else noun}"
                text = f"{share} are not in the vocabulary of training ({size})"
                lacks = f"it lacks {in_training:.0%} of those in the training rows"
                hint = f"max_tokens has limited the vocabulary: {lacks}"
                faults.append(Fault(text, level="warning", hint=hint if in_training else None))
        return faults


class Step(NamedTuple):
    """Step of a pipeline that is applied to rows made from `columns`, whose lookups are counted."""

    counts: OovCounts
    columns: Sequence[str]
    transform: str
    times: np.ndarray | None
    """Number of table rows that each row of the step stands for; None: one."""


_STEP: ContextVar[Step | None] = ContextVar("step", default=None)


@contextmanager
def counting(step: Step) -> Iterator[None]:
    """Context manager in which the lookups of a pipeline step are added to its counts."""
    token = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(token)


def of_column(name: str) -> None:
    """State the column of the following lookups, for a transform of several columns that looks up each by itself."""
    if (step := _STEP.get()) is not None:
        _STEP.set(step._replace(columns=(name,)))


def count_lookups(
    masked: np.ndarray, oov: np.ndarray, lengths: np.ndarray | None, *, entries: int, in_training: float
) -> None:
    """Count the values of rows (N, *) that were looked up, given which are masked and which OOV (boolean arrays).

    With `lengths` they are the concatenated tokens of texts, of so many tokens each.
    """
    step = _STEP.get()
    if step is None or not masked.size:
        return
    times, noun, rows = step.times, "values", (len(masked), -1)
    if lengths is not None:
        noun, rows = "words", (masked.size, 1)
        times = None if times is None else np.repeat(times, lengths)
    numbers = [flags.reshape(rows).sum(0) if times is None else times @ flags.reshape(rows) for flags in (~masked, oov)]
    columns = step.columns
    if len(columns) != len(numbers[0]):
        columns, numbers = (", ".join(step.columns),), [each.sum(keepdims=True) for each in numbers]
    for column, values, unknown in zip(columns, *(each.tolist() for each in numbers), strict=True):
        step.counts.count(Vocabulary(column, step.transform, noun, entries, in_training), values, unknown)
