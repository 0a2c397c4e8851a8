"""Counts of the values that lookups do not find in their vocabularies (out-of-vocabulary, OOV), for warnings."""

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerascli.foundation.errors import Fault, safe_text

_LEAST_SHARE = 0.1


class Vocabulary(NamedTuple):
    """Vocabulary in which a transform looks up values."""

    noun: str
    """Plural noun for the values: `words`, `values`."""
    entries: int
    """Number of entries."""
    in_training: float
    """Share of OOV values in the training rows, from a vocabulary that `max_tokens` has limited."""


class OovCounts:
    """Numbers of values that were looked up in each vocabulary, without masked ones, and of OOV values among them."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, Vocabulary], tuple[int, int]] = {}
        self._lock = Lock()  # threads read the batches of rows on disk

    def count(self, where: tuple[str, str, Vocabulary], values: int, oov: int) -> None:
        """Add numbers of values of a column that a transform looked up in its vocabulary, and of OOV ones among them;
        `where` names the column and the transform."""
        with self._lock:
            before = self._counts.get(where, (0, 0))
            self._counts[where] = before[0] + values, before[1] + oov

    def add(self, other: "OovCounts") -> None:
        """Add the counts of other rows."""
        for where, numbers in other._counts.items():
            self.count(where, *numbers)

    def warnings(self) -> list[Fault]:
        """Return a warning for each column of which a tenth or more of the values are OOV, beyond the share of the
        training rows."""
        faults: list[Fault] = []
        for (column, transform, (noun, entries, in_training)), (values, oov) in self._counts.items():
            if values and oov >= min(in_training + _LEAST_SHARE, 1) * values:
                share = f"{oov / values:.0%} of the {noun} in column '{safe_text(column, 60)}'"
                size = f"{transform}, {entries:,} {'tokens' if noun == 'words' else noun}"
                text = f"{share} are not in the vocabulary of training ({size})"
                lacks = f"it lacks {in_training:.0%} of those in the training rows"
                hint = f"max_tokens has limited the vocabulary: {lacks}"
                faults.append(Fault(text, level="warning", hint=hint if in_training else None))
        return faults


class LookedUp(NamedTuple):
    """Values of rows (N, *) that a transform looks up in a vocabulary: masks of the masked and of the OOV ones."""

    masked: Tensor
    oov: Tensor
    vocabulary: Vocabulary


class Counting(NamedTuple):
    """Step of a pipeline whose lookups are counted: the counts, and the columns that its rows are made from."""

    counts: OovCounts
    columns: Sequence[str]
    transform: str

    def add(self, values: LookedUp, times: np.ndarray | None) -> None:
        """Add the values of rows that were looked up to the counts, for each column by itself where there are so many
        values in a row.

        `times` is how often each value occurs (None: once).
        """
        width = values.oov.shape[-1] if values.oov.ndim > 1 else 1
        by_column = width == len(self.columns)
        columns = self.columns if by_column else (", ".join(self.columns),)
        weights = 1 if times is None else torch.from_numpy(times).unsqueeze(1)
        flags = ((~values.masked).reshape(-1, len(columns)), values.oov.reshape(-1, len(columns)))
        present, oov = ((each * weights).sum(0).tolist() for each in flags)
        for column, *numbers in zip(columns, present, oov, strict=True):
            self.counts.count((column, self.transform, values.vocabulary), *numbers)
