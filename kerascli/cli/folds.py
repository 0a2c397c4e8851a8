"""Studies of folds for the commands `train` and `predict`: find one, and predict the mean of its runs."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerascli.cli import options
from kerascli.foundation.errors import ConfigError, Fault

if TYPE_CHECKING:
    from kerascli.runs.record import RunRecord
    from kerascli.studies.folder import Study
    from kerascli.workflow.loaded import LoadedRun
    from kerascli.workflow.predict import Predictions


def find_folds(selector: str | None, runs_dir: Path) -> "Study | None":
    """Return the study of folds with this path, name or prefix, which may be the best trial of a search; None if a run
    is meant, or there is none. Raises ConfigError."""
    path = None if selector is None else options.study_of(selector, runs_dir)
    if path is None:
        return None
    from kerascli.runs.record import is_study
    from kerascli.studies.folder import Study
    from kerascli.studies.values import best_trials

    study = Study(path)
    if study.has_folds:
        return study
    best = [study.member(each.number).path for each in best_trials(study.trials(), study.facts.directions)[:1]]
    return next(map(Study, filter(is_study, best)), None)


def trained_runs(
    selector: str, runs_dir: Path, checkpoint: str | None, trust_plugins: bool | None
) -> "list[RunRecord]":
    """Return the run with this name, whose weights can be used; of a study those of all folds, or of the best trial.

    Raises ConfigError, also if a fold has no run yet.
    """
    study = find_folds(selector, runs_dir)
    if study is None:
        return [options.trained_run(selector, runs_dir, checkpoint, trust_plugins)]
    members = study.members()
    if len(members) < study.facts.trials:
        text = f"only {len(members)} of {study.facts.trials} folds of '{study.path}' have runs"
        raise ConfigError(text, hint=f"go on with it: kerascli train --resume {shlex.quote(str(study.path))}")
    options.note(f"the mean of {len(members)} runs: {study.path}")
    return [options.trained_run(str(member.path), runs_dir, checkpoint) for member in members]


def mean_of_runs(
    records: "Sequence[RunRecord]",
    opened: "Callable[[RunRecord], LoadedRun]",
    predicted: "Callable[[LoadedRun], Predictions]",
) -> "tuple[Predictions, list[Fault]]":
    """Return the mean of the predictions of runs, or the predictions of a single run, and the warnings about them."""
    from kerascli.workflow.predict import mean_predictions

    each, warnings = list["Predictions"](), list[Fault]()
    for record in records:
        run = opened(record)
        if len(records) > 1 and None in run.given.values():
            options.note(f"{record.path}: its kept threshold is not used for the mean")
        each.append(predicted(run))
        warnings += [fault for fault in run.warnings if fault not in warnings]
    return each[0] if len(each) == 1 else mean_predictions(each), warnings
