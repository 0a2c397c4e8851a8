"""The command `kerascli tune [CONFIG]`: search hyperparameters, each trial a run in the folder of a study."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import ConfigError, TrainingStopped, safe_text

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.studies.folder import Study


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
    name: Annotated[str | None, option("--name NAME", "Name of the study; default: the config's name.")] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    quiet: Annotated[bool, option("--quiet -q", "No progress: results and errors.")] = False,
    worker: Annotated[str | None, typer.Option("--worker", hidden=True, help="A worker of the command.")] = None,
) -> None:
    """Search hyperparameters as the section tune of a config says; each trial is a run in the folder of a study."""
    if worker is not None and join is not None:
        raise typer.Exit(_work(join, worker))
    values = {
        "--join": join is not None, "--flag": bool(flags), "--set": bool(sets), "--name": name is not None,
        "--threads": threads is not None, "--device": device != "auto", "--trials": trials is not None,
    }  # fmt: skip
    if resume is not None or join is not None:
        kept = ["--flag", "--set", "--name", "--threads", "--device", *(["--trials"] if resume is None else ["--join"])]
        options.refuse(values, kept, "cannot be used with a study, which keeps its settings")
    study = _study(resume, join, config, runs_dir, trials) if resume or join else None
    if study is None:
        from kerascli.workflow.tuning.study_config import new_study

        document = options.read_config(options.config_or_only(config), sets, flags)
        directions = _checked(document, flags)
        study = new_study(
            runs_dir, document, sets, flags, directions=directions, workers=workers, trials=trials, threads=threads,
            device=device, name=name,
        )  # fmt: skip
    options.note(f"study: {study.path} ({study.facts.trials} trials)")
    code = _run(study, workers, quiet=quiet) if workers else 0
    _say_best(study)
    if code:
        raise typer.Exit(code)
    if (reason := study.stopped()) is not None:
        raise TrainingStopped(f"the study was stopped: {reason}", hint=f"go on: kerascli tune --resume {study.path}")


def _study(resume: str | None, join: str | None, config: Path | None, runs_dir: Path, trials: int | None) -> "Study":
    """Return the study to go on with, or to help with, if its config is as it was when it began."""
    from kerascli.studies.folder import find_study
    from kerascli.workflow.tuning.study_config import reopened

    study = find_study(resume or join or "", runs_dir)
    reopened(study, config)
    if resume is not None:
        study.go_on(trials)
    elif (reason := study.stopped()) is not None:
        raise ConfigError(f"the study was stopped: {reason}", hint=f"go on: kerascli tune --resume {study.path}")
    return study


def _checked(document: "Document", flags: Sequence[str]) -> Sequence[str]:
    """Return the directions of a config's objectives, after the check that `validate` does."""
    from kerascli.config.misspelt import refuse_misspelt
    from kerascli.workflow.check import check

    refuse_misspelt(document)
    result = check(document, sets=(), flags=flags, progress=options.download_bar())
    options.warn(result.warnings)
    return result.directions


def _run(study: "Study", workers: int, *, quiet: bool) -> int:
    """Train the trials of a study and show them; return the exit code of a worker that failed, else 0."""
    from kerascli.cli.study_view import StudyView
    from kerascli.workflow.tuning.command import run_study

    view = StudyView(study, sys.stderr, quiet=quiet)
    try:
        return run_study(study, workers, view.show)
    finally:
        view.close()


def _work(path: str, worker: str) -> int:
    """Train trials of a study in this process, as a worker of a command; return its exit code."""
    from kerascli.foundation.interrupts import end_with_parent
    from kerascli.studies.folder import Study
    from kerascli.workflow.tuning.command import GO_ON
    from kerascli.workflow.tuning.worker import Worker

    end_with_parent()
    index, _, deadline = worker.partition(",")
    return GO_ON if Worker(Study(Path(path)), int(index), float(deadline) if deadline else None).work() else 0


def _say_best(study: "Study") -> None:
    """Print the best trials and the folder of a study, and write the importance of its parameters."""
    from kerascli.studies.importance import write_importance
    from kerascli.studies.table import parameters_text
    from kerascli.studies.values import best_trials

    write_importance(study)
    names = [each.name for each in study.tune.objective]
    for each in best_trials(study.trials(), study.facts.directions):
        values = ", ".join(f"{name} {value:.5g}" for name, value in zip(names, each.values, strict=True))
        typer.echo(f"best   trial {each.number}: {values} ({parameters_text(study, each)})")
    typer.echo(f"study  {safe_text(str(study.path))}")
