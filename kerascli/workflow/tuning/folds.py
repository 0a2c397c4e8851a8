"""Train a run for each fold of the data, in a study, and predict each fold by the run that has not seen it."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np

from kerascli.config.config import Config, Progress
from kerascli.config.yaml.document import Document
from kerascli.foundation.device import use_threads
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, DataError, Fault, Interrupted, KerasCliError, Paused
from kerascli.foundation.events import Event, FoldsEnded, Note
from kerascli.report.predictions import csv_text
from kerascli.runs.reading import quoted
from kerascli.studies.folder import Member, Study, TrialFacts
from kerascli.studies.table import fold_results
from kerascli.workflow.advice.advise import notes
from kerascli.workflow.bases import open_config
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.saver import interrupted_error
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_rows
from kerascli.workflow.rows.command_rows import load_again
from kerascli.workflow.train import resume, start
from kerascli.workflow.tuning.study_config import begin_study, reopened


def start_folds(
    document: Document, sets: Sequence[str], flags: Sequence[str], options: Options, progress: Progress | None
) -> Iterator[Event]:
    """Train a run for each fold of the data of a config, in a new study, and yield events. Raises KerasCliError.

    `sets` and `flags` are the arguments of `--set`, which `document` has applied, and of `--flag`.
    """
    config = open_config(document, flags=flags, progress=progress, runs_dir=options.runs_dir)
    if (folds := number_of_folds(config)) is None:
        hint = "write data: {split: {folds: 5}}, without 'fold'"
        raise config.error([Fault("--folds: data.split has no 'folds'", ("data", "split"), "key", hint=hint)])
    options = replace(options, threads=use_threads(options.threads).count)
    study, document = begin_study(config, document, options, sets, flags, trials=folds)
    try:
        yield from _train_folds(study, document, options, progress)
    except KerasCliError:
        if not study.member("fold-1").has_begun:  # nothing that could be resumed
            storage.remove_folder(study.path)
        raise


def resume_folds(study: Study, options: Options, progress: Progress | None) -> Iterator[Event]:
    """Go on with a study of folds, and yield events. Raises KerasCliError, also if config or data have changed."""
    if study.facts.tune is not None or Member(study.path).trial() is not None:
        text = f"{quoted(study.path)} is {'a study of trials' if study.facts.tune else 'a trial'}"
        raise ConfigError(text, hint="kerascli tune --resume STUDY goes on with it")
    yield from _train_folds(study, reopened(study), options, progress)


def number_of_folds(config: Config) -> int | None:
    """Return the number of folds of a config; None without folds, and for one of them.

    Raises ConfigError if the phases of the training have different rows.
    """
    if config.data is None or config.data.split is None or not config.data.has_unused_folds:
        return None
    rows = [phase.data and (phase.data.split, phase.data.where, phase.data.source) for phase in config.phases]
    if any(each != rows[0] for each in rows):
        raise config.error([Fault("folds: the phases have different rows", ("fit", "phases"), "key")])
    return config.data.split.folds


def train_member(member: Member, config: Config, options: Options) -> Iterator[Event]:
    """Start the run of a member of a study, or go on with it unless it has ended, and yield its events."""
    if not member.has_begun:
        yield from start(config, options, member)
    elif member.status() not in {"completed", "stopped"}:
        yield from resume(member, options, [])


def train_folds(study: Study, document: Document, options: Options, progress: Progress | None) -> Iterator[Event]:
    """Train the runs of the folds that have not ended, and yield events.

    Raises Paused if the option `pause` gives a reason after a fold that is not the last.
    """
    for number in range(1, study.facts.trials + 1):
        yield Note(f"fold {number} of {study.facts.trials}")
        member = study.member(f"fold-{number}")
        with member.claimed():
            config = open_config(document, fold=number, progress=progress, runs_dir=options.runs_dir)
            yield from train_member(member, config, replace(options, mode=study.facts.mode))
            if study.facts.mode is None:  # that of the first fold is that of all
                study.write(study.facts.model_copy(update={"mode": member.facts()["execution_mode"]}))
            if member.trial() is None:
                member.write_trial(TrialFacts(number=number, status="completed"))
        if number < study.facts.trials and (reason := options.pause(f"fold {number}")) is not None:
            raise Paused(reason)


def _train_folds(study: Study, document: Document, options: Options, progress: Progress | None) -> Iterator[Event]:
    """Train the runs that have not ended, evaluate all folds, write their predictions by row, and yield events."""
    options = replace(options, threads=options.threads or study.facts.threads, runs_dir=study.path.parent)
    tables, file = list[dict[str, np.ndarray]](), study.path / "oof.csv"
    try:
        yield from train_folds(study, document, options, progress)
        for number, member in enumerate(study.members(), 1):
            tables.append((yield from _predicted(member, number, options)))
    except Interrupted as error:
        raise interrupted_error(error.faults[0].text, study.path, error.signal_number) from None
    if any(table.keys() != tables[0].keys() for table in tables):
        text = "the runs of the folds predict different columns or classes"
        raise DataError(text, path=("data", "split", "folds"), hint="stratify the folds by the classes")
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order = np.argsort(columns["row"], kind="stable")
    storage.write_bytes(file, csv_text({name: values[order] for name, values in columns.items()}).encode())
    yield FoldsEnded(str(study.path), fold_results(study), str(file))


def _predicted(member: Member, number: int, options: Options) -> Generator[Event, None, dict[str, np.ndarray]]:
    """Evaluate a fold by its run, write the results, and return its predictions as columns; warnings are yielded."""
    run = open_run(member, device=options.device, threads=options.threads)
    rows = load_again(run).splits["validation"]
    yield from notes(run.warnings)
    evaluated, tested = evaluate_rows(run, rows, "validation").result, member.facts()["results"].get("test")
    results = {"validation": evaluated.logs, "baseline": next(iter(evaluated.baselines.values()), None), "test": tested}
    kept = {f"{split} {name}": value for split, logs in results.items() for name, value in (logs or {}).items()}
    member.write_trial(TrialFacts(number=number, status="completed", results=kept))
    predictions = predict_rows(run, rows)
    assert rows.origin is not None  # it has been split
    whole, chosen = rows.origin.table.whole()
    own = {"row": np.arange(1, whole.rows + 1)[chosen], "fold": np.full(rows.rows, number)}
    return replace(predictions, kept=own | predictions.kept | own).table()
