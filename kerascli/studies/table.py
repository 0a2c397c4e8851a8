"""Table of a study as plain data: its trials with their parameters and values, and the best of them."""

from statistics import fmean
from typing import Any

from kerascli.foundation.errors import FileRefused, in_yaml
from kerascli.runs.reading import TEXT_LIMIT_BYTES, json_object, must_read
from kerascli.studies.facts import TrialFacts
from kerascli.studies.folder import IMPORTANCE, Study
from kerascli.studies.values import best_trials


def study_table(study: Study) -> dict[str, Any]:
    """Return a study as data for JSON: objectives, trials by number, numbers of the best ones, importance.

    Results on the test split are those of the best trials alone.
    """
    tune, facts, trials = study.tune, study.facts, study.trials()
    names = [each.name for each in tune.objective]
    best = [each.number for each in best_trials(trials, facts.directions)]
    path = study.path / IMPORTANCE
    kinds = {key: sorted({getattr(each, key) for each in trials} - {""}) for key in ("processor", "mode")}
    return {
        "study": study.path.name, "path": str(study.path),
        "objectives": dict(zip(names, facts.directions, strict=True)),
        "sampler": tune.sampler, "trials_planned": facts.trials, "stopped": study.stopped(),
        "parameters": [each.name for each in tune.space.parameters],
        "trials": [_row(study, each, names) for each in trials], "best": best,
        "test": {number: _test(study, number) for number in best},
        "importance": json_object(must_read(path, TEXT_LIMIT_BYTES), path) if path.exists() else None,
        "differs": {key: each for key, each in kinds.items() if len(each) > 1},
    }  # fmt: skip


def parameters_text(study: Study, facts: TrialFacts) -> str:
    """Return the parameters of a trial as text: `units 64, cell lstm`."""
    return ", ".join(f"{name} {in_yaml(value)}" for name, value in parameters_of(study, facts).items())


def parameters_of(study: Study, facts: TrialFacts) -> dict[str, Any]:
    """Return the values of a trial's parameters; of a choice within which others are, only the name of the item."""
    shown = study.tune.space.shown(facts.point)
    inner = {each.condition[0] for each in study.tune.space.parameters if each.condition is not None}
    return {
        name: next(iter(value)) if name in inner and isinstance(value, dict) and len(value) == 1 else value
        for name, value in shown.items()
    }


def _row(study: Study, facts: TrialFacts, names: list[str]) -> dict[str, Any]:
    running = facts.status == "running" and not study.member(facts.number).is_claimed()
    return {
        "trial": facts.number, "status": "interrupted" if running else facts.status,
        "values": dict(zip(names, facts.values, strict=False)), "parameters": parameters_of(study, facts),
        "epochs": facts.epochs, "seconds": facts.seconds, "reason": facts.reason, "seen": facts.seen,
        "host": facts.host, "processor": facts.processor, "mode": facts.mode,
    }  # fmt: skip


def _test(study: Study, number: int) -> dict[str, Any]:
    """Return the losses and metrics of a trial on the test split; of folds their means."""
    try:
        runs = [(run.record.facts().get("results") or {}).get("test", {}) for run in study.member(number).runs]
    except FileRefused:
        return {}
    return {name: fmean(logs[name] for logs in runs) for name in runs[0]}
