"""Points of a study's trials, and the pruners: pure functions of the study, and of what its trials have recorded.

Nothing is stored between two points: a sampler is seeded by (seed, number), and Optuna's is made anew, in memory.
"""

import hashlib
import importlib.util
import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from statistics import fmean, median
from typing import Any

from kerascli.config.sections.space import Point, Space
from kerascli.config.sections.tune import MedianPruner, Objective, Pruner, TuneSection
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError
from kerascli.runs.history import Row
from kerascli.studies.folder import IMPORTANCE, Member, Study, TrialFacts

_FEWEST = 4
"""Number of completed trials below which no importance is computed."""
_STATES = {"completed": "COMPLETE", "running": "RUNNING", "pruned": "PRUNED", "failed": "FAIL"}


def next_point(
    tune: TuneSection, seed: int, number: int, written: Point, earlier: Sequence[TrialFacts], directions: Sequence[str]
) -> Point:
    """Return the point of the trial of a number; trial 1 is the config as it is written, at `written`.

    `earlier` are trials with smaller numbers, sorted by number; only `tpe` takes them into account.
    """
    if number == 1:
        return written
    if tune.sampler == "grid":
        others = (point for point in grid(tune.space) if point != written)
        return next(islice(others, number - 2, None))
    if tune.sampler == "random":
        return tune.space.active(lambda each: each.domain.drawn(_hash(f"{seed}/{number}/{each.name}") / 2**64))
    sampler = optuna().samplers.TPESampler(seed=_hash(f"{seed}/{number}") % 2**32)
    suggested = rebuilt(tune.space, earlier, directions, sampler).ask(_distributions(tune.space)).params
    return tune.space.active(lambda each: each.domain.number(suggested[each.name]))


def grid_size(tune: TuneSection, written: Point, most: int) -> int:
    """Return the number of trials of a grid with at most `most` points: a config that is on none is one trial more."""
    points = sum(1 for _ in islice(grid(tune.space), most))
    parameters = [each for each in tune.space.parameters if each.within.items() <= written.items()]
    return points + (not all(written.get(each.name) in each.domain.grid() for each in parameters))


def grid(space: Space) -> Iterator[Point]:
    """Yield the points of a grid, each once; the last parameter varies fastest."""

    def points(point: Point, at: int) -> Iterator[Point]:
        if at == len(space.parameters):
            yield point
        elif (parameter := space.parameters[at]).within.items() <= point.items():
            for number in parameter.domain.grid():
                yield from points({**point, parameter.name: number}, at + 1)
        else:
            yield from points(point, at + 1)

    return points({}, 0)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def optuna() -> Any:
    """Return the module Optuna, without its messages. Raises ConfigError if it is not installed."""
    try:
        import optuna
    except ImportError:
        hint = "pip install 'kerascli[tune]', or write sampler: random"
        raise ConfigError("the sampler tpe needs Optuna, which is not installed", hint=hint) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def rebuilt(space: Space, trials: Sequence[TrialFacts], directions: Sequence[str], sampler: Any = None) -> Any:
    """Return a study of Optuna in memory with the trials of a study."""
    library, distributions = optuna(), _distributions(space)
    study = library.create_study(directions=[f"{each}imize" for each in directions], sampler=sampler)
    for each in trials:
        values = each.values if each.status == "completed" else None
        made = {"state": library.trial.TrialState[_STATES[each.status]], "params": each.point, "values": values}
        known = {name: distributions[name] for name in each.point}
        reached = {each.epochs: each.values[0]} if each.status == "pruned" and each.values else {}
        study.add_trial(library.trial.create_trial(**made, distributions=known, intermediate_values=reached))
    return study


def _distributions(space: Space) -> dict[str, Any]:
    """Return the distribution of each parameter in Optuna."""
    library = optuna().distributions
    kinds = {int: library.IntDistribution, float: library.FloatDistribution}
    numbers = {each.name: kinds[each.domain.kind](*each.domain.range, log=each.domain.log) for each in space.parameters}
    choices = {each.name: range(len(each.items)) for each in space.parameters if each.items}
    return numbers | {name: library.CategoricalDistribution(indices) for name, indices in choices.items()}


def write_importance(study: Study) -> None:
    """Write the importance of each parameter for the first objective, by PED-ANOVA (Watanabe et al., 2023).

    Only parameters that are part of every point have one. Nothing is written without Optuna, or for few trials.
    """
    if study.facts.tune is None or importlib.util.find_spec("optuna") is None:
        return
    space, names = study.tune.space, [each.name for each in study.tune.space.parameters if not each.within]
    trials = [each for each in study.trials() if each.status == "completed" and each.point.keys() >= {*names}]
    if len(trials) < _FEWEST:
        return
    first, library = [each.model_copy(update={"values": each.values[:1]}) for each in trials], optuna().importance
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # if all trials are alike
        known, evaluator = rebuilt(space, first, study.facts.directions[:1]), library.PedAnovaImportanceEvaluator()
        found = library.get_param_importances(known, evaluator=evaluator, params=names)
    storage.write_bytes(study.path / IMPORTANCE, storage.json_text(found).encode())


def by_epoch(rows: Sequence[Row], objective: Objective, way: str) -> list[float]:
    """Return the best value of an objective up to each epoch, higher is better; -inf before there is a finite one."""
    sign = -1.0 if way == "min" else 1.0
    values = (sign * row.get(objective.name, math.nan) for row in rows)
    return list(accumulate((value if math.isfinite(value) else -math.inf for value in values), max))


def by_fold(member: Member, objective: Objective, way: str) -> list[float]:
    """Return the mean of a trial's objective over the first fold, the first two, and so on; higher is better.

    Without folds it is the value of the trial itself; -inf without a finite one.
    """
    rows = ([row for row in run.rows() if objective.name in row] for run in member.runs)  # validated epochs
    values = [[-math.inf, *by_epoch(each[-1 if objective.last else 0 :], objective, way)][-1] for each in rows]
    return [fmean(values[:count]) for count in range(1, len(values) + 1)]


def is_pruned(pruner: Pruner, own: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Return True if a trial is to be stopped, by its values so far and those of the other trials.

    They are those of `by_epoch`, or with folds of `by_fold`; higher is better. It is a function of what history.csv
    has: Optuna's own pruners keep their decisions in a storage.

    Asynchronous successive halving decides after `min_epochs * factor ** k` epochs: the best 1 / `factor` go on.
    """
    epochs = len(own)
    reached = [each[epochs - 1] for each in others if len(each) >= epochs]
    if isinstance(pruner, MedianPruner):
        enough = epochs > pruner.min_epochs and len(reached) >= pruner.min_trials
        return enough and own[-1] < median(reached)
    best = sorted([*reached, own[-1]], reverse=True)[: (len(reached) + 1) // pruner.factor]
    is_rung = epochs in [pruner.min_epochs * pruner.factor**rung for rung in range(epochs)]
    return is_rung and bool(best) and own[-1] < best[-1]
