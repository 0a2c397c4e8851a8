"""The commands `kerascli runs`: list, show, compare and remove runs."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import ConfigError
from kerascli.report import tables
from kerascli.report.comparison import compare
from kerascli.runs import index
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord
from kerascli.runs.thresholds import kept_thresholds

_HELP = "List, show, compare and remove runs; without a command: list them."
_SHOWN_LAST = ("versions", "machine")


def register(app: typer.Typer) -> None:
    """Add the command group `runs` to the typer program; `kerascli runs` alone lists the runs."""
    group = options.Commands(cls=options.OnceGroup, help=_HELP, rich_markup_mode=None)
    group.callback(invoke_without_command=True)(_runs)
    group.command("list", example="runs list")(_list)
    group.command("show", example="runs show latest")(_show)
    group.command("compare", example="runs compare latest other")(_compare)
    group.command("rm", example="runs rm other")(_remove)
    app.add_typer(group, name="runs")


def _runs(context: typer.Context, json: options.Json = False, runs_dir: options.RunsDir = options.RUNS_DIR) -> None:
    if context.invoked_subcommand is None:
        _list(json, runs_dir)
    elif json or runs_dir != options.RUNS_DIR:
        raise ConfigError(f"options of '{context.invoked_subcommand}' go after it, not before")


def _list(json: options.Json = False, runs_dir: options.RunsDir = options.RUNS_DIR) -> None:
    """List the runs, oldest first."""
    lines = [tables.RunLine.of(run) for run in index.list_runs(runs_dir)]
    if json:
        options.say_json([asdict(line) for line in lines])
    elif lines:
        tables.show(tables.list_table(lines))
    else:
        options.note(f"there are no runs in {quoted(runs_dir)}")


def _show(
    run: Annotated[str, argument("RUN", options.ABOUT_RUN, complete.runs)] = index.LATEST,
    json: options.Json = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Show the recorded facts of a run."""
    print_facts(options.find_run(run, runs_dir), as_json=json)


def _compare(
    runs: Annotated[list[str], argument("RUN", "Two or more runs.", complete.runs)],
    json: options.Json = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Compare runs: the settings that differ, and the results."""
    if len(runs) < 2:
        raise ConfigError("compare: expected at least two runs, got 1")
    comparison = compare([options.find_run(run, runs_dir) for run in runs])
    if json:
        options.say_json(asdict(comparison))
        return
    settings, results = comparison.tables()
    if comparison.settings:
        tables.show(settings)
        typer.echo()
    else:
        options.note("the settings do not differ")
    tables.show(results)


def _remove(
    runs: Annotated[list[str], argument("RUN", "The runs to remove.", complete.runs)],
    yes: Annotated[bool, option("--yes -y", "Remove without asking.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Remove runs with all their files."""
    records: dict[str, RunRecord] = {}
    for selector in dict.fromkeys(runs):  # one run may be named in several ways
        run = index.find_run(selector, runs_dir)  # not the best trial, where a study is named
        records.setdefault(os.path.abspath(run.path), run)
    if not yes and not _is_confirmed(records.values()):
        options.note("nothing was removed")
        return
    for run in records.values():
        index.remove(run)
        options.note(f"removed {run.path}")


def _is_confirmed(runs: Iterable[RunRecord]) -> bool:
    options.note("\n".join(str(run.path) for run in runs))
    try:
        return typer.confirm("Remove these runs with all their files?", err=True)
    except typer.Abort:
        raise ConfigError("no answer was given: nothing was removed", hint="--yes removes without asking") from None


def print_facts(run: RunRecord, *, as_json: bool = False) -> None:
    """Print what a run has recorded (run.json); as JSON also its history."""
    facts: dict[str, Any] = {"path": str(run.path), **run.facts(), "status": run.status()}
    facts["threshold"] = {output: dict(each) for output, each in kept_thresholds(run.path).items()}
    if as_json:
        options.say_json({**facts, "history": run.history()})
        return
    facts["seconds"] = tables.duration_text(facts.get("seconds"))
    facts["last_epoch"] = (run.history() or [{}])[-1]
    facts |= {name: facts.pop(name) for name in _SHOWN_LAST if name in facts}
    tables.show(tables.facts_table({name: value for name, value in facts.items() if value not in (None, [], {})}))
