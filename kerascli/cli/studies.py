"""The commands `kerascli studies`: list, show, stop and remove studies, and write the config of the best trial."""

from pathlib import Path
from typing import Annotated

from kerascli.cli import options, program
from kerascli.cli.options import argument, option
from kerascli.cli.runs import remove_confirmed
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import LATEST, quoted

_HELP = "List, show, stop and remove studies of tune; without a command: list them."
Name = Annotated[str, argument("STUDY", "latest, a study's name, a prefix of it, or its path.")]


_group = program.group("studies", _HELP)


@_group.add("studies list")
def _list(json: options.Json = False, runs_dir: options.RunsDir = options.RUNS_DIR) -> None:
    """List the studies, oldest first."""
    from kerascli.report.tables import rows_text
    from kerascli.runs.index import is_study, list_runs
    from kerascli.studies.table import study_line

    rows = [study_line(each.path) for each in list_runs(runs_dir, is_study)]
    if json:
        options.say_json(rows)
    elif rows:
        options.say(f"{rows_text(rows, options.terminal_width())}\n")
    else:
        options.note(f"there are no studies in {quoted(runs_dir)}")


@_group.add("studies show latest")
def _show(
    study: Name = LATEST,
    sort: Annotated[str | None, option("--sort NAME", "Sort by a column of the table; default: the trials.")] = None,
    json: options.Json = False,
    as_csv: Annotated[bool, option("--csv", "Print the table as CSV.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Show the trials of a study, and the importance of its parameters; or the results of its folds."""
    from kerascli.report.tables import facts_table, rows_text
    from kerascli.studies.sampling import write_importance
    from kerascli.studies.table import facts_of, rows_of, study_table

    options.refuse({"--csv": json and as_csv}, "cannot be used with --json")
    opened = options.find_study(study, runs_dir)
    write_importance(opened)
    table = study_table(opened)
    rows = rows_of(table, sort)
    if json:
        options.say_json(table)
    elif as_csv:
        options.say(storage.csv_text([*rows[:1], *(row.values() for row in rows)]))
    else:
        options.say(f"{rows_text(rows, options.terminal_width())}\n\n{facts_table(facts_of(table))}\n")


@_group.add("studies best latest -o best.yaml")
def _best(
    study: Name = LATEST,
    output: Annotated[Path | None, option("--output -o FILE", "File of the config; default: print it.")] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Write the study's config with the values of the best trial in place, and with its comments."""
    from kerascli.studies.table import best_config
    from kerascli.workflow.outputs import CONFIG, writable

    opened = options.find_study(study, runs_dir)
    number, text = best_config(opened)
    options.note(f"trial {number} of {opened.path}")
    if output is None:
        options.say(text)
        return
    config = Path(opened.facts.config)
    storage.write_text(writable(output, CONFIG, reads=[config]), text)
    if output.parent.resolve() != config.parent.resolve():
        options.note(f"its relative paths are those of {config.parent}: write it there, or change them")


@_group.add("studies stop latest")
def _stop(study: Name = LATEST, runs_dir: options.RunsDir = options.RUNS_DIR) -> None:
    """Stop a study: trials are saved after their epoch, no further one is started; `tune --resume` goes on."""
    opened = options.find_study(study, runs_dir)
    if opened.facts.tune is None:
        raise ConfigError(f"{quoted(opened.path)} is a study of folds", hint="Ctrl-C, or a signal, ends its training")
    opened.stop("by the command studies stop")
    options.note(f"stopped {opened.path}")


@_group.add("studies rm other")
def _remove(
    studies: Annotated[list[str], argument("STUDY", "The studies to remove.")],
    yes: Annotated[bool, option("--yes -y", "Remove without asking.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Remove studies with all their trials."""
    remove_confirmed([options.find_study(each, runs_dir) for each in studies], lambda study: study.remove(), yes=yes)
