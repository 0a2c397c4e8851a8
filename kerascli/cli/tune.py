"""The command `kerascli tune [CONFIG]`: search hyperparameters, each trial a run in the folder of a study."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import ConfigError, Interrupted, KerasCliError, TrainingStopped, safe_text

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.studies.folder import Study

_SHOWN = 12
"""Number of trials in the live table: the last ones that have begun."""


def tune(
    config: Annotated[
        Path | None, argument("CONFIG", "Config with a section tune; default: the only one here.", complete.configs)
    ] = None,
    workers: Annotated[
        int, option("--workers N", "Trials to train at a time; 0 creates the study alone.", min=0, max=1024)
    ] = 1,
    resume: Annotated[str | None, option("--resume STUDY", "Go on with a study: latest, a name or a path.")] = None,
    join: Annotated[str | None, option("--join STUDY", "Help with a study that others train, or will.")] = None,
    trials: Annotated[int | None, option("--trials N", "As tune.trials; with --resume, the new number.", min=1)] = None,
    device: options.Device = "auto",
    threads: Annotated[
        int | None, option("--threads N", "CPU threads of each trial; default: cores / workers.", min=1, max=4096)
    ] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    worker: Annotated[str | None, typer.Option("--worker", hidden=True, help="A worker of the command.")] = None,
) -> None:
    """Search hyperparameters as the section tune of a config says; each trial is a run in the folder of a study."""
    if worker is not None and join is not None:
        raise typer.Exit(_work(join, worker))
    if resume is not None or join is not None:
        values = {
            "--flag": flags, "--set": sets, "--threads": threads, "--device": device != "auto",
            "--trials": trials and resume is None, "--join": join and resume,
        }  # fmt: skip
        options.refuse(values, values, "cannot be used with a study, which keeps its settings")
        study = _study(resume, join, config, runs_dir, trials)
    else:
        from kerascli.workflow.tuning.study_config import new_study

        document = options.read_config(options.config_or_only(config), sets, flags)
        study = new_study(
            runs_dir, document, sets, flags, directions=_checked(document, flags), workers=workers, trials=trials,
            threads=threads, device=device,
        )  # fmt: skip
    options.note(f"study: {study.path}")
    code = _run(study, workers) if workers else 0
    _say_best(study)
    if code:
        raise typer.Exit(code)
    _refuse_stopped(study, TrainingStopped)


def _study(resume: str | None, join: str | None, config: Path | None, runs_dir: Path, trials: int | None) -> "Study":
    """Return the study to go on with, or to help with, if its config is as it was when it began."""
    from kerascli.studies.folder import find_study
    from kerascli.workflow.tuning.study_config import plan, reopened

    study = find_study(resume or join or "", runs_dir)
    document = reopened(study, config)
    if resume is None:
        _refuse_stopped(study, ConfigError)
    else:
        study.go_on()
    if trials is not None:
        plan(study, document, trials)
    return study


def _refuse_stopped(study: "Study", kind: type[KerasCliError]) -> None:
    if (reason := study.stopped()) is not None:
        raise kind(f"the study was stopped: {reason}", hint=f"go on: kerascli tune --resume {study.path}")


def _checked(document: "Document", flags: Sequence[str]) -> Sequence[str]:
    """Return the directions of a config's objectives, after the check that `validate` does.

    Weights that the config needs are downloaded, once for all workers.
    """
    from kerascli.config.misspelt import refuse_misspelt
    from kerascli.workflow.check import check, spec_of
    from kerascli.workflow.interchange.networks import fetch_published

    refuse_misspelt(document)
    result = check(document, sets=(), flags=flags, progress=options.download_bar())
    options.warn(result.warnings)
    if document.at(("model", "init_from")) or document.at(("model", "shared")):
        fetch_published(spec_of(document, sets=(), flags=flags), options.download_bar())
    return result.directions


def _run(study: "Study", workers: int) -> int:
    """Train the trials of a study and show them; return the exit code of a worker that failed, else 0.

    At a terminal the last trials are a table that is redrawn, else each trial that ended has a line.
    """
    from rich.live import Live

    from kerascli.report.console import console_on
    from kerascli.report.tables import rows_text
    from kerascli.studies.folder import FINISHED
    from kerascli.studies.table import rows_of, study_table, trial_text
    from kerascli.workflow.tuning.command import run_study

    console, printed = console_on(sys.stderr), set[int]()
    live = Live(console=console, auto_refresh=False, transient=True)

    def show() -> None:
        table = study_table(study)
        rows = {each["trial"]: each for each in table["trials"]}
        if console.is_terminal:
            best = "; ".join(f"trial {number}: {trial_text(rows[number])}" for number in table["best"][:3])
            summary = f"{table['trials_done']}{study.facts.of} trials; best: {safe_text(best) or '-'}"
            live.update(f"{rows_text(rows_of(table)[-_SHOWN:], console.width)}\n{summary}", refresh=True)
            return
        for number in [each for each in rows if rows[each]["status"] in FINISHED and each not in printed]:
            printed.add(number)
            console.print(safe_text(f"trial {number}{study.facts.of}: {trial_text(rows[number])}"))

    with live if console.is_terminal else nullcontext():
        return run_study(study, workers, show)


def _work(path: str, worker: str) -> int:
    """Train trials of a study in this process, as a worker of a command; return its exit code."""
    from kerascli.foundation.interrupts import end_with_parent
    from kerascli.studies.folder import Study
    from kerascli.workflow.tuning.command import GO_ON
    from kerascli.workflow.tuning.worker import Worker

    end_with_parent(at_once=True)  # a trial that went on beside those of a resumed command would change their points
    index, deadline, parent = worker.split(",")
    if os.getppid() != int(parent):  # the command was killed while this process began
        return 0
    try:
        return GO_ON if Worker(Study(Path(path)), int(index), float(deadline) if deadline else None).work() else 0
    except Interrupted as error:  # the command says so
        return error.exit_code


def _say_best(study: "Study") -> None:
    """Print the best trials and the folder of a study, and write the importance of its parameters."""
    from kerascli.studies.sampling import write_importance
    from kerascli.studies.table import study_table, trial_text

    write_importance(study)
    table = study_table(study)
    for row in (row for row in table["trials"] if row["trial"] in table["best"]):
        typer.echo(safe_text(f"best   trial {row['trial']}: {trial_text(row)}"))
    typer.echo(f"study  {safe_text(str(study.path))}")
