"""Studies of folds for the commands `train` and `predict`: find one, print its results, predict by its runs."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascli.cli import options
from kerascli.foundation.errors import ConfigError, Fault, safe_text

if TYPE_CHECKING:
    from kerascli.foundation.events import FoldsEnded
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


def folds_json(event: "FoldsEnded") -> dict[str, Any]:
    """Return the results of a study of folds: for each split those of the folds, their mean and deviation."""
    results = {split: _rows(event, split) for split in event.results}
    return {"run": event.study, "oof": event.predictions, "results": results}


def folds_text(event: "FoldsEnded") -> str:
    """Return the results as a plain-text table for each split, with a row for each fold; and the paths of the files."""
    from kerascli.report.console import number_text
    from kerascli.report.text_tables import text_table

    tables: list[str] = []
    for split in event.results:
        rows = _rows(event, split)
        columns = [[split, *rows]]
        for name in rows["mean"]:
            columns.append([safe_text(name), *(number_text(logs[name]) for logs in rows.values())])
        tables.append(text_table(columns))
    paths = f"study  {safe_text(event.study)}\noof    {safe_text(event.predictions)}\n"
    return "\n\n".join([*tables, paths])


def _rows(event: "FoldsEnded", split: str) -> dict[str, dict[str, float]]:
    """Return losses and metrics of each fold, their means, and standard deviations of a sample (divided by n - 1)."""
    import numpy as np

    folds = event.results[split]
    rows = {f"fold-{number}": dict(logs) for number, logs in enumerate(folds, start=1)}
    values = {name: np.array([logs[name] for logs in folds]) for name in folds[0]}
    rows["mean"] = {name: float(each.mean()) for name, each in values.items()}
    return rows | {"deviation": {name: float(each.std(ddof=1)) for name, each in values.items()}}
