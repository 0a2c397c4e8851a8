"""Train a run for each fold of the data, in a study, and predict each fold by the run that has not seen it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from kerascli.config.config import Config, Progress
from kerascli.config.yaml.document import Document
from kerascli.foundation.device import use_threads
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, DataError, Fault, Interrupted, KerasCliError, StorageError
from kerascli.foundation.events import Began, Event, FoldsEnded, Logs, Note
from kerascli.report.predictions import csv_text
from kerascli.runs.reading import quoted
from kerascli.runs.record import is_study
from kerascli.studies.facts import StudyFacts
from kerascli.studies.folder import Member, Study
from kerascli.workflow.advice.advise import notes
from kerascli.workflow.bases import open_config
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.run_loop import interrupted_error
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_rows
from kerascli.workflow.rows.command_rows import load_again
from kerascli.workflow.train import resume, start
from kerascli.workflow.tuning.study_config import plugins_of, reopened, seed_of, settings_of

PREDICTIONS = "oof.csv"
"""Name of the file of out-of-fold predictions in the folder of a study of folds."""
OpenFold = Callable[..., Config]
"""Function that returns the config of the run of the fold whose number is the argument `fold`."""


def start_folds(
    document: Document, sets: Sequence[str], flags: Sequence[str], options: Options, progress: Progress | None
) -> Iterator[Event]:
    """Train a run for each fold of the data of a config, in a new study, and yield events. Raises KerasCliError.

    `sets` and `flags` are the arguments of `--set`, which `document` has applied, and of `--flag`.
    """
    facts = StudyFacts(
        config=str(Path(document.name).resolve()), sets=list(sets), flags=list(flags), seed=seed_of(document),
        threads=use_threads(options.threads).count, device=options.device, mode=options.mode, trials=1,
        plugins=plugins_of(document), settings=settings_of(document),
        text=document.text,
    )  # fmt: skip
    opened = _opening(document, facts, progress)
    config = opened(fold=1)
    folds = number_of_folds(config, document)
    if folds is None:
        hint = "write data: {split: {folds: 5}}, without 'fold'"
        raise config.error([Fault("--folds: data.split has no 'folds'", ("data", "split"), "key", hint=hint)])
    facts = facts.model_copy(update={"trials": folds, "data": _digests(config)})
    study = Study.create(options.runs_dir, options.name or config.name, facts)
    try:
        yield from _train_folds(study, opened, options)
    except KerasCliError:
        if not study.member("fold-1").record.has_begun:  # nothing that could be resumed
            storage.remove_folder(study.path)
        raise


def resume_folds(study: Study, options: Options, sets: Sequence[str], progress: Progress | None) -> Iterator[Event]:
    """Go on with a study of folds, and yield events. Raises KerasCliError, also if config or data have changed."""
    facts = study.facts
    idle = {"--set": sets, "--data": options.data, "--profile": options.profile}
    for option in (option for option, value in idle.items() if value):
        raise ConfigError(f"{option} cannot be used with a study of folds", hint="start a new study")
    if facts.tune is not None:
        raise ConfigError(f"{quoted(study.path)} is a trial", hint="kerascli tune --resume STUDY goes on with it")
    opened = _opening(reopened(study), facts, progress)
    if changed := dict(_digests(opened(fold=1)).items() - facts.data.items()):
        raise DataError(f"the data has changed since the study began: {', '.join(changed)}", hint="start a new study")
    yield from _train_folds(study, opened, options)


def number_of_folds(config: Config, document: Document) -> int | None:
    """Return the number of folds of a config, which is opened with the first one from `document`; None without folds.

    Raises ConfigError if the phases of the training have different rows.
    """
    split = None if config.data is None else config.data.split
    if split is None or split.folds is None or document.at(("data", "split", "fold")) is not None:
        return None
    rows = [phase.data and (phase.data.split, phase.data.where, phase.data.source) for phase in config.phases]
    if any(each != rows[0] for each in rows):
        raise config.error([Fault("folds: the phases have different rows", ("fit", "phases"), "key")])
    return split.folds


def trial_folds(
    study: Study, member: Member, folds: int, opened: OpenFold, options: Options, after_fold: Callable[[], None]
) -> Iterator[Event]:
    """Train the runs of the folds of a trial, as a study within its folder, and yield events.

    `after_fold` is called after each fold but the last; it raises Paused to stop the trial.
    """
    inner = Study(member.path)
    if not is_study(member.path):
        inner.write(study.facts.model_copy(update={"trials": folds}))
    for number in range(1, folds + 1):
        yield from _train_fold(inner, number, opened, options)
        if number < folds:
            after_fold()


def _opening(document: Document, facts: StudyFacts, progress: Progress | None) -> OpenFold:
    seeded = replace(document, data={**document.data, "seed": facts.seed})
    return partial(open_config, seeded, flags=facts.flags, progress=progress)


def _digests(config: Config) -> dict[str, str]:
    """Return the SHA-256 of each file of the data by its name."""
    return {} if config.data is None else config.data.source.digests(config.context)


def _train_folds(study: Study, opened: OpenFold, options: Options) -> Iterator[Event]:
    """Train the runs that have not ended, then predict and evaluate all folds, and yield events."""
    options = replace(options, threads=options.threads or study.facts.threads)
    try:
        for number in range(1, study.facts.trials + 1):
            yield Note(f"fold {number} of {study.facts.trials}")
            yield from _train_fold(study, number, opened, options)
        yield from _ended(study, options)
    except Interrupted as error:
        raise interrupted_error(error.faults[0].text, study.path, error.signal_number) from None


def _train_fold(study: Study, number: int, opened: OpenFold, options: Options) -> Iterator[Event]:
    """Start the run of a fold, or go on with it unless it has ended, and yield its events."""
    member, mode = study.member(f"fold-{number}"), study.facts.mode
    member.create()
    with member.claimed() as is_mine:
        if not is_mine:
            raise StorageError(f"{quoted(member.path)} is in use by another process")
        if member.record.has_begun:
            if member.record.status() not in {"completed", "stopped"}:
                yield from resume(member.record, options, [])
            return
        for event in start(opened(fold=number), replace(options, folder=member.path, mode=mode)):
            yield event
            if isinstance(event, Began) and mode is None:  # that of the first fold is that of all
                mode = member.record.facts()["execution_mode"]
                study.write(study.facts.model_copy(update={"mode": mode}))


def _ended(study: Study, options: Options) -> Iterator[Event]:
    """Evaluate and predict each fold by its run, write the predictions, and yield an event with the results."""
    results: dict[str, list[Logs]] = {"validation": [], "baseline": [], "test": []}
    tables: list[dict[str, np.ndarray]] = []
    for number in range(1, study.facts.trials + 1):
        record = study.member(f"fold-{number}").record
        run = open_run(record, device=options.device, threads=options.threads)
        rows = load_again(run).splits["validation"]
        yield from notes(run.warnings)
        evaluated = evaluate_rows(run, rows, "validation").result
        results["validation"].append(evaluated.logs)
        results["baseline"] += list(evaluated.baselines.values())[:1]
        results["test"] += filter(None, [record.facts()["results"].get("test")])
        predictions = predict_rows(run, rows)
        assert rows.origin is not None  # it has been split
        whole, chosen = rows.origin.table.whole()
        own = {"row": np.arange(1, whole.rows + 1)[chosen], "fold": np.full(rows.rows, number)}
        tables.append(replace(predictions, kept=own | predictions.kept | own).table())
    shown = {split: logs for split, logs in results.items() if len(logs) == study.facts.trials}
    yield FoldsEnded(str(study.path), _write_predictions(study, tables), shown)


def _write_predictions(study: Study, tables: Sequence[dict[str, np.ndarray]]) -> str:
    """Write the predictions for the rows of all folds, in the order of the rows, and return the path of the file."""
    if any(table.keys() != tables[0].keys() for table in tables):
        text = "the runs of the folds predict different columns or classes"
        raise DataError(text, path=("data", "split", "folds"), hint="stratify the folds by the classes")
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order, path = np.argsort(columns["row"], kind="stable"), study.path / PREDICTIONS
    storage.write_bytes(path, csv_text({name: values[order] for name, values in columns.items()}).encode())
    return str(path)
