"""Values of a study's objectives, by epoch, by fold, and of a trial; and the pruners, which compare them."""

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean, median

from kerascli.config.sections.tune import MedianPruner, Objective, Pruner
from kerascli.runs.history import Row
from kerascli.studies.folder import Member


def by_epoch(rows: Sequence[Row], objective: Objective, way: str) -> list[float]:
    """Return the best value of an objective up to each epoch, higher is better; epochs without a value have none."""
    sign = -1.0 if way == "min" else 1.0
    values = (sign * row.get(objective.name, math.nan) for row in rows)
    return list(accumulate((-math.inf if math.isnan(value) else value for value in values), max))


def value_of(rows: Sequence[Row], objective: Objective, way: str) -> float:
    """Return the value of an objective in its best epoch, or in the last one; nan without a finite value."""
    values = [float(row.get(objective.name, math.nan)) for row in (rows[-1:] if objective.last else rows)]
    return (min if way == "min" else max)(filter(math.isfinite, values), default=math.nan)


def by_fold(member: Member, objective: Objective, way: str) -> list[float]:
    """Return the mean of a trial's objective over the first fold, the first two, and so on; nan without a finite one.

    Without folds it is the value of the trial itself.
    """
    values = [value_of(run.rows(), objective, way) for run in member.runs]
    return [fmean(values[:count]) for count in range(1, len(values) + 1)]


def progress_of(member: Member, objective: Objective, way: str) -> list[float]:
    """Return a trial's values to prune by, higher is better: the best up to each epoch, or the mean up to each fold."""
    if member.runs[0] is member:
        return by_epoch(member.rows(), objective, way)
    means = by_fold(member, objective, way)
    return [-mean if way == "min" else mean for mean in means if math.isfinite(mean)]


def is_pruned(pruner: Pruner, own: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Return True if a trial is to be stopped, by its values so far and those of the other trials (see `progress_of`).

    It is a function of what history.csv has: Optuna's own pruners keep their decisions in a storage.

    Asynchronous successive halving decides after `min_epochs * factor ** k` epochs: the best 1 / `factor` go on.
    """
    epochs = len(own)
    reached = [each[epochs - 1] for each in others if len(each) >= epochs]
    if isinstance(pruner, MedianPruner):
        enough = epochs > pruner.min_epochs and len(reached) >= pruner.min_trials
        return enough and own[-1] < median(reached)
    rung = pruner.min_epochs
    while rung < epochs:
        rung *= pruner.factor
    best = sorted([*reached, own[-1]], reverse=True)[: (len(reached) + 1) // pruner.factor]
    return rung == epochs and bool(best) and own[-1] < best[-1]
