"""The commands `kerascli runs`: list, show, compare, tag, archive, send and remove runs."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import LATEST, quoted

if TYPE_CHECKING:
    from kerascli.runs.record import RunRecord

_HELP = "List, show, compare, tag, archive, send and remove runs; without a command: list them, by the options of list."
_SHOWN_LAST = ("versions", "machine")


_group = program.group("runs", _HELP)


@_group.add("runs list --sort -val_accuracy --limit 5")
def _list(
    where: Annotated[str | None, option("--where CONDITION", "Runs for which it is true: 'val_loss < 1'.")] = None,
    tag: Annotated[list[str] | None, option("--tag TAG", "Runs with this tag; may be repeated.")] = None,
    sort: Annotated[str | None, option("--sort VALUE", "Order by a value; by -VALUE, the highest first.")] = None,
    best: Annotated[str | None, option("--best METRIC", "Print only the name of the run that has the best.")] = None,
    limit: Annotated[int | None, option("--limit N", "The first N of an order, else the latest N.", min=1)] = None,
    json: options.Json = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """List the runs, oldest first; metrics of --where, --sort and --best are those of the best epoch."""
    from kerascli.cli import run_query
    from kerascli.report.tables import RunLine, list_table, rows_text
    from kerascli.runs.index import list_runs
    from kerascli.runs.record import MEMBERS, is_study

    studies = list_runs(runs_dir, is_study)
    folders = [runs_dir, *(study.path / MEMBERS for study in studies if tag)]
    everything = [(run, RunLine.of(run)) for folder in folders for run in list_runs(folder)]
    runs = run_query.select(everything, where, tag or (), sort, limit)
    lines = [line for _, line in runs]
    none = f"{'no run is selected' if everything else 'there are no runs'} in {quoted(runs_dir)}"
    if best is not None:
        others = {"--sort": sort, "--limit": limit, "--json": json}
        options.refuse(others, "does not go with --best, which prints a name")
        if not runs:
            raise ConfigError(f"--best: {none}")
        options.say(f"{run_query.best(runs, best).run}\n")
    elif json:
        options.say_json([*map(RunLine._asdict, lines)])
    elif runs:
        options.say(f"{list_table(lines, options.terminal_width())}\n")
    else:
        options.note(none)
    if studies and not any([where, tag, sort, best, limit, json]):
        from kerascli.studies.table import study_line

        options.note(rows_text([study_line(study.path) for study in studies], options.terminal_width()))


@_group.add("runs show latest")
def _show(
    run: Annotated[str, argument("RUN", options.ABOUT_RUN, complete.runs)] = LATEST,
    json: options.Json = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Show the recorded facts of a run."""
    print_facts(options.find_run(run, runs_dir), as_json=json)


@_group.add("runs compare latest other")
def _compare(
    runs: Annotated[list[str], argument("RUN", "Two or more runs.", complete.runs)],
    json: options.Json = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Compare runs: the settings that differ, and the results."""
    if len(runs) < 2:
        raise ConfigError("compare: expected at least two runs, got 1")
    from kerascli.report.tables import compare

    comparison = compare([options.find_run(run, runs_dir) for run in runs])
    if json:
        options.say_json(comparison._asdict())
        return
    if not comparison.settings:
        options.note("the settings do not differ")
    options.say(comparison.text(options.terminal_width()))


@_group.add("runs tag latest baseline")
def _tag(
    run: options.Run,
    names: Annotated[list[str], argument("TAG", "Words such as baseline, paper or v1.2.")],
    remove: Annotated[bool, option("--remove", "Remove these tags.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Tag a run, for the list and its option --tag."""
    from kerascli.runs.annotations import change_tags

    record = options.find_run(run, runs_dir)
    options.note(f"{record.path}: {', '.join(change_tags(record, names, remove=remove)) or 'no tags'}")


@_group.add("runs archive latest -o run.zip")
def _archive(
    run: options.Run,
    output: Annotated[Path | None, option("--output -o FILE", "A .zip file; default: named after the run.")] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Write a run to a zip file, which evaluate, predict, why, report, export and summary take in place of a run."""
    record = options.find_run(run, runs_dir)
    from kerascli.runs.archives import write_archive
    from kerascli.workflow.outputs import writable

    file = output or Path(f"{record.folder_name}.zip")
    if file.suffix.lower() != ".zip":
        raise ConfigError(f"expected a file that ends in .zip, got {quoted(file.name)}")
    size = write_archive(record, writable(file, run=record))
    options.say(f"{file}\n")
    options.note(f"{size_text(size)}, holds all files of the run")


@_group.add("runs send latest --to mlflow")
def _send(
    runs: Annotated[list[str], argument("RUN", "The runs to send.", complete.runs)],
    to: Annotated[str, option("--to TRACKER", "The kind of server: mlflow, at the address MLFLOW_TRACKING_URI.")],
    artifacts: Annotated[bool, option("--artifacts", "Also send the runs' files: configs, weights, history.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Send runs to a tracking server: what it does not have of their parameters, metrics and status."""
    from kerascli.workflow.tracking.client import Client
    from kerascli.workflow.tracking.sending import Sender

    if to != "mlflow":
        raise ConfigError(f"--to: expected mlflow, got '{to}'")
    client = Client()
    for run in [options.find_run(selector, runs_dir) for selector in dict.fromkeys(runs)]:
        with run.locked():
            sent = Sender(client, run).send(run.history(), artifacts=artifacts)
        options.note(f"{run.folder_name}: sent {sent}")


@_group.add("runs rm other")
def _remove(
    runs: Annotated[list[str], argument("RUN", "The runs to remove.", complete.runs)],
    yes: Annotated[bool, option("--yes -y", "Remove without asking.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Remove runs with all their files."""
    from kerascli.runs import index

    named = [index.find_run(run, runs_dir) for run in runs]  # not the best trial, where a study is named
    remove_confirmed(named, index.remove, yes=yes)


def remove_confirmed(named: Iterable[Any], remove: Callable[[Any], None], *, yes: bool) -> None:
    """Remove runs or studies by a function if the user confirms it or `yes` is True.

    Raises ConfigError without an answer.
    """
    unique = dict[str, Any]()
    for each in named:  # one may be named in several ways
        unique.setdefault(os.path.abspath(each.path), each)
    try:
        if not yes:
            options.note("\n".join(str(each.path) for each in unique.values()))
            yes = typer.confirm("Remove these runs with all their files?", err=True)
    except typer.Abort:
        options.note("")  # the question has no end of line
        raise ConfigError("no answer was given: nothing was removed", hint="--yes removes without asking") from None
    for each in unique.values() if yes else ():
        remove(each)
        options.note(f"removed {each.path}")
    if not yes:
        options.note("nothing was removed")


def print_facts(run: "RunRecord", *, as_json: bool = False) -> None:
    """Print what a run has recorded (run.json); as JSON also its history."""
    from kerascli.report.tables import facts_table
    from kerascli.report.text_tables import duration_text
    from kerascli.runs.annotations import kept_thresholds, tags

    thresholds = {output: dict(each) for output, each in kept_thresholds(run.path).items()}
    facts: dict[str, Any] = {"path": str(run.path), **run.facts(), "status": run.status()}
    facts |= {"tags": tags(run), "threshold": thresholds}
    if as_json:
        options.say_json({**facts, "history": run.history()})
        return
    facts["seconds"] = duration_text(facts.get("seconds"))
    facts["last_epoch"] = (run.history() or [{}])[-1]
    facts |= {name: facts.pop(name) for name in _SHOWN_LAST if name in facts}
    shown = {name: value for name, value in facts.items() if value not in (None, [], {})}
    options.say(f"{facts_table(shown)}\n")
