"""Advice check: warns of classes whose share of the test rows is far from their share of the training rows."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.storage.blocks import inverse_of
from kerascli.foundation.errors import Fault, safe_text
from kerascli.workflow.advice.case import Case, is_label, predicts_classes, warning

_RATIO = 1.5
"""Ratio of two shares of a class from which on they differ much."""
_DEVIATIONS = 4.0
"""Difference of two shares in standard deviations, which 1 of 16,000 random splits exceeds."""
_FEWEST = 5
"""Minimum number of rows of a class that the test is expected to have; below, the deviation is no measure."""


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target of classes whose shares differ, with those of the class that differ most."""
    labels = {pair.target for pair in case.spec.pairs if pair.loss and predicts_classes(pair.loss)}
    for path, pipeline in case.targets():
        column = pipeline.columns[0]
        raws = [raw for name in ("train", "test") if (raw := case.raw(column, name)) and is_label(raw, pipeline)]
        if path[-1] not in labels or len(pipeline.columns) > 1 or len(raws) < 2:
            continue
        if text := _difference(*(raw.array() for raw in raws)):
            said = f"the classes of '{safe_text(column, 60)}' have other shares: {text}"
            yield warning(said, path, _hint(case, column))


def _difference(train: np.ndarray, test: np.ndarray) -> str:
    """Return the shares of the class whose shares have the largest ratio, as text; '' if none differ much."""
    if train.dtype.kind == "f" and not (train == np.floor(train)).all():
        return ""
    words, numbers = inverse_of(np.concatenate([train, test]))
    counts = [np.bincount(part, minlength=len(words)) for part in (numbers[: len(train)], numbers[len(train) :])]
    shares = np.stack([counts[0] / len(train), counts[1] / len(test)])
    pooled = sum(counts) / len(numbers)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / len(train) + 1 / len(test)))
    differs = np.abs(shares[0] - shares[1]) > _DEVIATIONS * deviation
    differs &= (shares.max(0) > _RATIO * shares.min(0)) & (pooled * min(len(train), len(test)) >= _FEWEST)
    if not differs.any():
        return ""
    worst = int(np.argmin(np.where(differs, shares.min(0) / shares.max(0), 1)))
    word = safe_text(str(words[worst]), 40)
    return f"'{word}' is {shares[0, worst]:.1%} of the training rows and {shares[1, worst]:.1%} of the test rows"


def _hint(case: Case, column: str) -> str:
    split = None if case.data is None else case.data.split
    if split is None or not split.test:
        return "check how the rows of the test were chosen"
    if split.order is not None:
        return "the shares change with time: metrics of the test and of new rows may differ as much"
    return f"data: {{split: {{stratify: {safe_text(column, 60)}}}}} gives all parts the same shares"
