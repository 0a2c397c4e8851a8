"""Advice check: warns of a target that is the same in all training rows, so that nothing can be learned."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import Fault, show
from kerascli.losses.expr import Expr
from kerascli.workflow.advice.case import Case, predicts_classes, warning

_FIRST_ROWS = 256


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each constant target with a loss, except a loss formula, which may need a constant target."""
    train = None if case.prepared is None else case.prepared.splits.get("train")
    for pair in case.spec.pairs:
        if not isinstance(train, MemorySplit) or pair.loss is None or isinstance(pair.loss, Expr):
            continue
        values = train.targets.get(pair.target)
        if values is not None and len(values) > 1 and _is_constant(values):
            is_class = predicts_classes(pair.loss)
            what = "they are all of one class" if is_class else f"it is {show(values.flat[0].item())} in all of them"
            if values[0].size > 1 and not is_class:
                what = "it is the same in all of them"
            text = f"the target '{pair.target}' is constant in the {len(values):,} training rows: {what}"
            hint = "check the column, data.where, and how the rows were selected"
            yield warning(text, ("data", "targets", pair.target), hint)


def _is_constant(values: np.ndarray) -> bool:
    """Return True if all rows of an array equal the first; a few rows are compared first, which usually decides."""
    return all(bool((part == values[0]).all()) for part in (values[:_FIRST_ROWS], values[_FIRST_ROWS:]))
