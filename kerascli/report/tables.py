"""Tables at the terminal about runs: the list of all runs, and the facts of one run."""

import sys
from collections.abc import Mapping, Sequence
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
    table.columns[0].no_wrap = True  # a name that is broken cannot be copied
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
