"""Importance of a study's parameters by PED-ANOVA (Watanabe et al., 2023), kept in its folder."""

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError
from kerascli.studies.folder import IMPORTANCE, Study
from kerascli.studies.sampling import optuna, rebuilt

_FEWEST = 4
"""Number of completed trials below which no importance is computed."""


def write_importance(study: Study) -> str | None:
    """Write the importance of each parameter for the first objective; return a note if it cannot be computed.

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
