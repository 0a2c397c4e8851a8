"""Decide whether a trial is stopped early, from its values so far and those of the other trials.

These are functions of what history.csv has: Optuna's own pruners keep their decisions in a storage.
"""

import statistics
from collections.abc import Sequence

from kerascli.config.sections.tune import MedianPruner, Pruner

Values = Sequence[float]
"""Type of a trial's best values of the objective up to each epoch, or means up to each fold; higher is better."""


def is_pruned(pruner: Pruner, own: Values, others: Sequence[Values]) -> bool:
    """Return True if a trial is to be stopped after its last epoch in `own`.

    Asynchronous successive halving decides after `min_epochs * factor ** k` epochs: the best 1 / `factor` go on.
    """
    epochs = len(own)
    reached = [each[epochs - 1] for each in others if len(each) >= epochs]
    if isinstance(pruner, MedianPruner):
        enough = epochs > pruner.min_epochs and len(reached) >= pruner.min_trials
        return enough and own[-1] < statistics.median(reached)
    rung = pruner.min_epochs
    while rung < epochs:
        rung *= pruner.factor
    best = sorted([*reached, own[-1]], reverse=True)[: (len(reached) + 1) // pruner.factor]
    return rung == epochs and bool(best) and own[-1] < best[-1]
