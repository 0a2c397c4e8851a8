"""Studies of folds for the commands `train` and `predict`: find one, train its runs, predict the mean of them."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerascli.cli import options
from kerascli.foundation.errors import ConfigError, Fault

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.foundation.events import Event
    from kerascli.runs.record import RunRecord
    from kerascli.studies.folder import Study
    from kerascli.workflow.fitting.options import Options
    from kerascli.workflow.loaded import LoadedRun
    from kerascli.workflow.predict import Predictions


def find_folds(selector: str | None, runs_dir: Path) -> "Study | None":
    """Return the study of `train --folds` with this path, name or prefix; None if there is none. Raises ConfigError."""
    study = None if selector is None else _study(selector, runs_dir)
    return study if study is not None and study.facts.tune is None else None


def _study(selector: str, runs_dir: Path) -> "Study | None":
    path = options.study_of(selector, runs_dir)
    if path is None:
        return None
    from kerascli.studies.folder import Study

    return Study(path)


def fold_events(
    document: "Document | None", study: "Study | None", chosen: "Options", sets: Sequence[str], flags: Sequence[str]
) -> "Iterator[Event]":
    """Start a study of the folds of a config, or go on with `study`, and return the events of its training."""
    idle = {"--profile": chosen.profile, "--set": study is not None and bool(sets), "--data": chosen.data is not None}
    options.refuse(idle, idle, "cannot be used with a study of folds")
    options.check_device(chosen.device)
    from kerascli.workflow.tuning.folds import resume_folds, start_folds

    if study is not None:
        return resume_folds(study, chosen, options.download_bar())
    assert document is not None
    return start_folds(document, sets, flags, chosen, options.download_bar())


def trained_runs(
    selector: str, runs_dir: Path, checkpoint: str | None, trust_plugins: bool | None
) -> "list[RunRecord]":
    """Return the run with this name, whose weights can be used; of a study those of all folds, or of the best trial.

    Raises ConfigError, also if a fold has no run yet.
    """
    study = _study(selector, runs_dir)
    if study is not None and study.facts.tune is not None and not study.has_folds:
        from kerascli.studies.values import best_trials

        best = [study.member(each.number).path for each in best_trials(study.trials(), study.facts.directions)[:1]]
        study = next((each for each in map(type(study), best) if each.has_folds), None)
    if study is None:
        return [options.trained_run(selector, runs_dir, checkpoint, trust_plugins)]
    paths = [member.path for member in study.members()]
    if len(paths) < study.facts.trials:
        text = f"only {len(paths)} of {study.facts.trials} folds of '{study.path}' have runs"
        raise ConfigError(text, hint=f"go on with it: kerascli train --resume {shlex.quote(str(study.path))}")
    options.note(f"the mean of {len(paths)} runs: {study.path}")
    return [options.trained_run(str(path), runs_dir, checkpoint) for path in paths]


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
