"""Points of a study's trials: each is a pure function of the study, of the trials before it, and of its number.

Nothing is stored between two points: a sampler is seeded by (seed, number), and Optuna's is made anew, in memory.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

from kerascli.config.sections.space import Parameter, Point, Space
from kerascli.config.sections.tune import TuneSection
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError
from kerascli.studies.folder import IMPORTANCE, Study, TrialFacts

Directions = Sequence[str]
"""Better direction, `min` or `max`, of each objective."""
_FEWEST = 4
"""Number of completed trials below which no importance is computed."""
_STATES = {"completed": "COMPLETE", "running": "RUNNING", "pruned": "PRUNED", "failed": "FAIL"}


def next_point(
    tune: TuneSection, seed: int, number: int, written: Point, earlier: Sequence[TrialFacts], directions: Directions
) -> Point:
    """Return the point of the trial of a number, from 2 on; trial 1 is the config as it is written, at `written`.

    `earlier` are trials with smaller numbers, sorted by number; only `tpe` takes them into account.
    """
    if tune.sampler == "grid":
        others = (point for point in grid(tune.space) if point != written)
        return next(islice(others, number - 2, None))
    if tune.sampler == "random":
        return tune.space.active(lambda each: _uniform(each, f"{seed}/{number}/{each.name}"))
    sampler = optuna().samplers.TPESampler(seed=_hash(f"{seed}/{number}") % 2**32)
    distributions = {each.name: _distribution(each) for each in tune.space.parameters}
    suggested = rebuilt(tune.space, earlier, directions, sampler).ask(distributions).params
    return tune.space.active(lambda each: _rounded(each, suggested[each.name]))


def grid_size(tune: TuneSection, written: Point, most: int) -> int:
    """Return the number of trials of a grid with at most `most` points: a config that is on none is one trial more."""
    points = sum(1 for _ in islice(grid(tune.space), most))
    parameters = [each for each in tune.space.parameters if each.is_active(written)]
    return points + (not all(written.get(each.name) in each.grid() for each in parameters))


def grid(space: Space) -> Iterator[Point]:
    """Yield the points of a grid; the last parameter varies fastest."""
    values = {each.name: each.grid() for each in space.parameters}
    for numbers in product(*values.values()):
        chosen = dict(zip(values, numbers, strict=True))
        point = space.active(lambda each, chosen=chosen: chosen[each.name])
        if all(name in point or number == values[name][0] for name, number in chosen.items()):  # each point once
            yield point


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _uniform(parameter: Parameter, key: str) -> int | float:
    """Return a number of a parameter's range, drawn uniformly (on its scale) by a key."""
    share, (low, high) = _hash(key) / 2**64, parameter.domain.range
    if parameter.is_integer:
        low, high = low - 0.5, high + 0.5
    if parameter.domain.log:
        return _rounded(parameter, math.exp(math.log(low) + (math.log(high) - math.log(low)) * share))
    return _rounded(parameter, low + (high - low) * share)


def _rounded(parameter: Parameter, value: float) -> int | float:
    """Return a number of a parameter's range: an integer, or a number of five significant digits."""
    lowest, highest = parameter.domain.range
    return min(max(round(value) if parameter.is_integer else float(f"{value:.5g}"), lowest), highest)


def optuna() -> Any:
    """Return the module Optuna, without its messages. Raises ConfigError if it is not installed."""
    try:
        import optuna
    except ImportError:
        hint = "pip install 'kerascli[tune]', or write sampler: random"
        raise ConfigError("the sampler tpe needs Optuna, which is not installed", hint=hint) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def rebuilt(space: Space, trials: Sequence[TrialFacts], directions: Directions, sampler: Any = None) -> Any:
    """Return a study of Optuna in memory with the trials of a study; those outside of its space are left out."""
    library = optuna()
    ways = ["minimize" if each == "min" else "maximize" for each in directions]
    study = library.create_study(directions=ways, sampler=sampler)
    distributions = {each.name: _distribution(each) for each in space.parameters}
    for each in trials:
        point = {name: value for name, value in each.point.items() if name in distributions}
        study.add_trial(
            library.trial.create_trial(
                state=library.trial.TrialState[_STATES[each.status]], params=point,
                values=each.values if each.status == "completed" else None,
                distributions={name: distributions[name] for name in point},
                intermediate_values={each.epochs: each.values[0]} if each.status == "pruned" and each.values else {},
            )
        )  # fmt: skip
    return study


def _distribution(parameter: Parameter) -> Any:
    """Return a parameter's distribution in Optuna."""
    kinds, low, high = optuna().distributions, *parameter.domain.range
    if parameter.items:
        return kinds.CategoricalDistribution(range(len(parameter.items)))
    kind = kinds.IntDistribution if parameter.is_integer else kinds.FloatDistribution
    return kind(low, high, log=parameter.domain.log)


def write_importance(study: Study) -> str | None:
    """Write the importance of each parameter for the first objective, by PED-ANOVA (Watanabe et al., 2023); return a
    note if it cannot be computed.

    Only parameters that are part of every point have one.
    """
    trials = [each for each in study.trials() if each.status == "completed"]
    space, ways = study.tune.space, study.facts.directions
    names = [each.name for each in space.parameters if each.condition is None]
    trials = [each for each in trials if each.point.keys() >= set(names)]
    if len(trials) < _FEWEST:
        return f"importance of the parameters: there are less than {_FEWEST} completed trials"
    try:
        library = optuna()
    except ConfigError:
        return "importance of the parameters: Optuna is not installed (pip install 'kerascli[tune]')"
    target = (lambda trial: trial.values[0]) if len(ways) > 1 else None
    evaluator = library.importance.PedAnovaImportanceEvaluator()
    found = library.importance.get_param_importances(
        rebuilt(space, trials, ways), evaluator=evaluator, params=names, target=target
    )
    data = {name: float(found[name]) for name in sorted(names, key=lambda name: -found[name])}
    storage.write_bytes(study.path / IMPORTANCE, storage.json_text(data).encode())
    return None
