"""Tables at the terminal about runs: the list of all runs, the facts of one run, and a comparison of runs."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.runs.history import is_metric
from kerascli.runs.record import RunRecord

_PIPE_WIDTH = 1000  # in a pipe no line is folded
_LISTED_METRICS = 3


@dataclass(frozen=True, slots=True)
class RunLine:
    """Row of `kerascli runs` about a run; `last` are the last epoch's metrics. Data from damaged files is left out."""

    run: str
    path: str
    status: str
    started: str | None
    seconds: float | None
    epochs: int
    last: Mapping[str, int | float]

    @classmethod
    def of(cls, run: RunRecord) -> "RunLine":
        status = run.status()
        facts: dict[str, Any] = {}
        rows: list[dict[str, int | float]] = []
        try:
            facts = run.facts()
            rows = run.history()
        except FileRefused:
            status = f"{status}, history damaged" if facts else status
        last = rows[-1] if rows else {}
        started, seconds = facts.get("started"), facts.get("seconds")
        return cls(run.folder_name, str(run.path), status, started, seconds, len(rows), last)

    def metrics(self) -> dict[str, int | float]:
        """Return the validation metrics of the last epoch or, without validation, its training metrics."""
        shown = {name: value for name, value in self.last.items() if is_metric(name)}
        return {name: value for name, value in shown.items() if name.startswith("val_")} or shown


def list_table(lines: Sequence[RunLine]) -> Table:
    """Return the table of `kerascli runs`, with a row for each run."""
    table = new_table("run", "status")
    table.add_column("epochs", justify="right")
    table.add_column("time", justify="right")
    table.add_column("last epoch", overflow="fold")
    for line in lines:
        metrics = list(line.metrics().items())[:_LISTED_METRICS]
        shown = ", ".join(f"{name} {number_text(value)}" for name, value in metrics)
        cells = line.run, line.status, str(line.epochs), duration_text(line.seconds), shown
        table.add_row(*map(safe_text, cells))
    return table


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Return a table (name, value) of the facts recorded in a run folder; each key of a mapping has its own row."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        entries = {f".{key}": entry for key, entry in value.items()} if isinstance(value, Mapping) else {"": value}
        for key, entry in entries.items():
            table.add_row(safe_text(f"{name}{key}"), value_text(entry))
    return table


def new_table(*columns: str) -> Table:
    """Return an empty table with the given column headings, in the style of all tables of runs."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(table: Table) -> None:
    """Print a table to stdout, without styles if stdout is no terminal."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def value_text(value: Any) -> str:
    """Return the value of a setting or result as text, like in a config, without control characters; `-` for None."""
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value)
        case list() | tuple():
            return f"[{', '.join(map(value_text, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{safe_text(str(key))}: {value_text(entry)}' for key, entry in value.items())}}}"
        case _:
            return safe_text(str(value))


def number_text(value: int | float) -> str:
    """Return a number as text: five significant digits for floats, all digits for integers."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def duration_text(seconds: Any) -> str:
    """Return a duration in seconds as text: 1:02:03, 4:05 or 6.7 s; `-` if it is not a number."""
    if not isinstance(seconds, (int, float)):
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


ABSENT = "absent"
"""Text shown for a setting that a run's config lacks; a setting of null is shown as a value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Settings and results of several runs; each list has one value per run, in the order of `runs`."""

    runs: list[str]
    settings: dict[str, list[Any]]
    results: dict[str, list[float | None]]
    best: dict[str, float]
    """Best value of each result on validation and test rows whose direction is known."""

    def tables(self) -> list[Table]:
        """Return two tables that compare the runs: the settings that differ, and the results."""
        settings, results = new_table("setting"), new_table("result (*: best)")
        for run in map(safe_text, self.runs):
            settings.add_column(run, overflow="fold")
            results.add_column(run, overflow="fold", justify="right")
        for key, values in self.settings.items():
            settings.add_row(safe_text(key), *("null" if value is None else value_text(value) for value in values))
        for key, values in self.results.items():
            marked = {self.best[key]} if key in self.best and len(set(values)) > 1 else set()
            cells = (f"* {value_text(value)}" if value in marked else value_text(value) for value in values)
            results.add_row(safe_text(key), *cells)
        return [settings, results]


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Return a comparison of runs: settings that differ between their resolved configs, and their recorded results.

    A seed is a setting only if no other differs. Results on validation and test rows come first.
    """
    settings = _by_key([dict(_flat(_resolved(run))) for run in runs], ABSENT)
    differing = {key: values for key, values in settings.items() if any(_differ(each, values[0]) for each in values)}
    if len(differing) > 1:
        differing.pop("seed", None)
    results = _by_key([_results(run) for run in runs], None)
    results = {key: results[key] for key in sorted(results, key=lambda key: not _is_of_other_rows(key))}
    directions = {name: each for run in runs for name, each in run.facts().get("directions", {}).items()}
    return Comparison([run.folder_name for run in runs], differing, results, _best_of_runs(results, directions))


def _best_of_runs(results: Mapping[str, Sequence[float | None]], directions: Mapping[str, str]) -> dict[str, float]:
    """Return the best value of each result on other rows than the training's."""
    evaluated = {key: values for key, values in results.items() if _is_of_other_rows(key)}
    best = {key: _best(key.partition(" ")[2], values, directions) for key, values in evaluated.items()}
    return {key: value for key, value in best.items() if value is not None}


def _is_of_other_rows(key: str) -> bool:
    """Return True for a result on other rows than the training's: `best val_loss`, `test loss`."""
    kind, _, name = key.partition(" ")
    return name.startswith("val_") or kind not in {"last", "best", "epochs", "seconds"}


def _best(name: str, values: Sequence[float | None], directions: Mapping[str, str]) -> float | None:
    """Return the best value of a metric; None if its direction is not known, or without a value."""
    default = "min" if name.endswith("loss") else ""
    best = {"min": min, "max": max}.get(directions.get(name.removeprefix("val_")) or default)
    numbers = [value for value in values if value is not None and value == value]
    return best(numbers) if best is not None and numbers else None


def _by_key(tables: Sequence[Mapping[str, Any]], default: str | None) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: [table.get(key, default) for table in tables] for key in keys}


def _resolved(run: RunRecord) -> dict[str | int, Any]:
    from kerascli.config.yaml.text import parse_document

    return parse_document(run.resolved(), str(run.resolved_path)).data


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) for each setting of a config (`model.layers[1].dense.units` ...); a plain list is one
    value."""
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flat(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(entry, (Mapping, list)) for entry in value):
        for index, entry in enumerate(value):
            yield from _flat(entry, f"{path}[{index}]")
    else:
        yield path, value


def _results(run: RunRecord) -> dict[str, float]:
    """Return a run's results by name: last and best value of each metric, evaluations, epochs, seconds."""
    facts, rows = run.facts(), run.history()
    directions = facts.get("directions", {})
    results: dict[str, float] = {"epochs": len(rows)}
    for name in dict.fromkeys(name for row in rows for name in row if is_metric(name)):
        values = [row[name] for row in rows if name in row]
        results[f"last {name}"] = values[-1]
        best = _best(name, values, directions)
        if best is not None:
            results[f"best {name}"] = best
    for split, metrics in (facts.get("results") or {}).items():
        results |= {f"{split} {name}": value for name, value in metrics.items()}
    return {**results, "seconds": facts.get("seconds", 0.0)}


def _differ(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or one != other
