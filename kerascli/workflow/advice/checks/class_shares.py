"""Advice check: warns of classes whose share of the test rows is far from their share of the training rows."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.storage.blocks import unique_counts
from kerascli.errors import Fault, safe_text
from kerascli.workflow.advice.case import Case, is_label, warning
from kerascli.workflow.advice.raw import Raw

_RATIO = 1.5
"""Ratio of two shares of a class from which on they differ much."""
_DEVIATIONS = 4.0
"""Difference of two shares in standard deviations, which 1 of 16,000 random splits exceeds."""
_FEWEST = 5
"""Minimum number of rows of a class that the test is expected to have; below, the deviation is no measure."""


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target of classes whose shares differ, with those of the class that differ most."""
    pairs = case.spec.compile.pairs if case.spec.compile is not None else ()
    labels = {
        each.target for each in pairs if each.loss and (each.loss.sparse_targets or each.loss.predicts != "values")
    }
    for path, pipeline in case.targets():
        column = pipeline.columns[0]
        found = [case.tables[name] for name in ("train", "test") if name in case.tables]
        raws = [raw for table in found if (raw := Raw.of(table, column)) is not None and is_label(raw, pipeline)]
        if path[-1] in labels and len(pipeline.columns) == 1 and len(raws) == 2:
            text = _difference(*(raw.array() for raw in raws))
            if text:
                yield warning(
                    f"the classes of '{safe_text(column, 60)}' have other shares: {text}", path, _hint(case, column)
                )


def _difference(train: np.ndarray, test: np.ndarray) -> str:
    """Return the shares of the class whose shares have the largest ratio, as text; '' if none differ much."""
    if not len(train) or not len(test) or (train.dtype.kind == "f" and not (train == np.floor(train)).all()):
        return ""
    words, counts = unique_counts([np.concatenate([train, test])])
    there, how_often = unique_counts([test])
    of_test = np.zeros(len(words))
    of_test[np.searchsorted(words, there)] = how_often
    shares = np.stack([(counts - of_test) / len(train), of_test / len(test)])
    pooled = counts / (len(train) + len(test))
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
