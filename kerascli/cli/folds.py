"""Studies of folds for the commands `train` and `predict`: find one, print its results, predict by its runs."""

import shlex
from collections.abc import Callable, Mapping, Sequence
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
    """Return the study of folds that a selector names; None if it names another study, a run or nothing."""
    path = None if selector is None else options.study_of(selector, runs_dir)
    if path is None:
        return None
    from kerascli.studies.folder import Study

    return Study(path) if Study(path).facts.tune is None else None


def trained_runs(
    selector: str, runs_dir: Path, checkpoint: str | None, trust_plugins: bool | None
) -> "list[RunRecord]":
    """Return the run with this name, whose weights can be used; of a study those of all folds, or of the best trial.

    Raises ConfigError, also if a fold has no run yet.
    """
    path = options.study_of(selector, runs_dir)
    if path is None:
        return [options.trained_run(selector, runs_dir, checkpoint, trust_plugins)]
    from kerascli.studies.folder import Study, runs_of

    study, runs = Study(path), runs_of(Study(path))
    if study.facts.tune is None and len(runs) < study.facts.trials:
        text = f"only {len(runs)} of {study.facts.trials} folds of '{path}' have runs"
        raise ConfigError(text, hint=f"go on with it: kerascli train --resume {shlex.quote(str(path))}")
    if len(runs) < 2:
        return [options.trained_run(selector, runs_dir, checkpoint)]
    options.note(f"the mean of {len(runs)} runs: {runs[0].path.parent.parent}")
    return [options.trained_run(str(run.path), runs_dir, checkpoint) for run in runs]


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
    from kerascli.studies.folder import Study
    from kerascli.studies.table import fold_results

    return {"run": event.study, "oof": event.predictions, "results": fold_results(Study(Path(event.study)).trials())}


def folds_text(facts: Mapping[str, Any]) -> str:
    """Return these results as a plain-text table for each split, with a row for each fold; and the paths of files."""
    from kerascli.report.console import number_text
    from kerascli.report.text_tables import text_table

    tables: list[str] = []
    for split, rows in facts["results"].items():
        columns = [[safe_text(name), *(number_text(logs[name]) for logs in rows.values())] for name in rows["mean"]]
        tables.append(text_table([[split, *rows], *columns]))
    return "\n\n".join([*tables, f"study  {safe_text(facts['run'])}\noof    {safe_text(facts['oof'])}\n"])
