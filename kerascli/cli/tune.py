"""The command `kerascli tune [CONFIG]`: search hyperparameters, each trial a run in the folder of a study."""

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import ConfigError, TrainingStopped, safe_text

if TYPE_CHECKING:
    from kerascli.studies.folder import Study

_SHOWN = 12
"""Number of trials in the live table: the last ones that have begun."""
_CONFIG = "Config with a section tune; default: the only one here."


@program.app.add("tune churn.yaml --workers 2")
def tune(
    config: Annotated[Path | None, argument("CONFIG", _CONFIG, complete.configs)] = None,
    workers: Annotated[int, option("--workers N", "Trials at a time; 0 creates the study alone.", min=0, max=1024)] = 1,
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
        from kerascli.workflow.tuning.worker import run_worker

        raise typer.Exit(run_worker(join, worker))
    if (selector := join if resume is None else resume) is not None:
        values = {
            "--flag": flags, "--set": sets, "--threads": threads, "--device": device != "auto",
            "--trials": trials and resume is None, "--join": join and resume,
        }  # fmt: skip
        options.refuse(values, "cannot be used with a study, which keeps its settings")
        from kerascli.workflow.tuning.study_config import plan, reopened

        study = options.find_study(selector, runs_dir)
        assert study.tune  # raises ConfigError for a study of folds
        document = reopened(study, config)
        if trials is not None:
            plan(study, document, trials)
        if resume is not None:
            study.go_on()
        study.refuse_stopped(ConfigError)
    else:
        from kerascli.config.misspelt import refuse_misspelt
        from kerascli.foundation.cpus import cpu_limit
        from kerascli.workflow.fitting.options import Options
        from kerascli.workflow.tuning.study_config import new_study

        document = options.read_config(options.config_or_only(config), sets, flags)
        refuse_misspelt(document)
        chosen = Options(runs_dir, device, threads or max(1, cpu_limit().count // max(1, workers)))
        study, warnings = new_study(chosen, document, sets, flags, trials, options.download_bar())
        options.warn(warnings)
    options.note(f"study: {study.path}")
    if code := _run(study, workers):
        raise typer.Exit(code)
    study.refuse_stopped(TrainingStopped)


def _run(study: "Study", workers: int) -> int:
    """Train the trials of a study, show them, and print the best ones; return the exit code of a worker that failed,
    else 0.

    At a terminal the last trials are a table that is redrawn, else each trial that ended has a line.
    """
    from rich.live import Live

    from kerascli.report.console import console_on
    from kerascli.report.tables import rows_text
    from kerascli.studies.sampling import write_importance
    from kerascli.studies.table import best_texts, rows_of, study_table, trial_text
    from kerascli.workflow.tuning.worker import run_study

    console, printed = console_on(sys.stderr), set[int]()
    live = Live(console=console, auto_refresh=False, transient=True)

    def show() -> None:
        table = study_table(study)
        if console.is_terminal:
            best = "; ".join([": ".join(each) for each in best_texts(table).items()][:3])
            summary = f"{table['trials_done']}{study.facts.of} trials; best: {safe_text(best) or '-'}"
            live.update(f"{rows_text(rows_of(table)[-_SHOWN:], console.width)}\n{summary}", refresh=True)
            return
        for row in table["trials"]:
            if row["status"] not in ("running", "interrupted") and row["trial"] not in printed:
                printed.add(row["trial"])
                console.print(safe_text(f"trial {row['trial']}{study.facts.of}: {trial_text(row)}"))

    gc.enable()
    with live:
        code = run_study(study, workers, show) if workers else 0
    write_importance(study)
    for trial, text in best_texts(study_table(study)).items():
        typer.echo(safe_text(f"best   {trial}: {text}"))
    typer.echo(f"study  {safe_text(str(study.path))}")
    return code
