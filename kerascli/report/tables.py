"""Tables at the terminal about runs: the list of all runs, and the facts of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.report.text_tables import text_table
from kerascli.runs.history import is_metric
from kerascli.runs.record import RunRecord
from kerascli.runs.tags import tags

_LISTED_METRICS = 3


@dataclass(frozen=True, slots=True)
class RunLine:
    """Row of `kerascli runs` about a run. Data from damaged files is left out."""

    run: str
    path: str
    status: str
    tags: Sequence[str]
    started: str | None
    seconds: float | None
    flags: Mapping[str, Any]
    results: Mapping[str, Mapping[str, float | None]]
    """Losses and metrics of the splits that were evaluated at the end, by split."""
    monitor: str
    """Metric by which the best epoch is the best."""
    epochs: int
    best: Mapping[str, int | float]
    """Row of history.csv of the best epoch."""
    last: Mapping[str, int | float]
    """Row of history.csv of the last epoch."""

    @classmethod
    def of(cls, run: RunRecord) -> "RunLine":
        facts: dict[str, Any] = {}
        status, labels, epochs = run.status(), [], ("", 0, {}, {})
        try:
            facts = run.facts()
            [(monitor, way)] = (facts.get("monitor") or {"val_loss": "min"}).items()
            epochs = (monitor, *run.epochs(monitor, way))
        except FileRefused:
            status = f"{status}, history damaged" if facts else status
        try:
            labels = tags(run)
        except FileRefused:
            status = f"{status}, tags damaged"
        return cls(
            run.folder_name, str(run.path), status, labels, facts.get("started"), facts.get("seconds"),
            facts.get("flags") or {}, facts.get("results") or {}, *epochs,
        )  # fmt: skip

    def metrics(self) -> dict[str, int | float]:
        """Return the validation metrics of the last epoch or, without validation, its training metrics; the one of the
        best epoch comes first."""
        shown = {name: value for name, value in self.last.items() if is_metric(name)}
        first = {self.monitor: shown[self.monitor]} if self.monitor in shown else {}
        return first | ({name: value for name, value in shown.items() if name.startswith("val_")} or shown)


def list_table(lines: Sequence[RunLine], width: int | None) -> str:
    """Return the table of `kerascli runs`, with a row for each run, at most `width` wide; no name is broken."""
    rows = [["run", "status", "tags", "epochs", "time", "best (epoch)", "last epoch"]]
    for line in lines:
        best = f"{line.monitor} {number_text(line.best[line.monitor])} ({line.best['epoch']})" if line.best else ""
        last = ", ".join([f"{name} {number_text(value)}" for name, value in line.metrics().items()][:_LISTED_METRICS])
        cells = line.run, line.status, ", ".join(line.tags), str(line.epochs), duration_text(line.seconds), best, last
        rows.append([*map(safe_text, cells)])
    columns = [each for each in zip(*rows, strict=True) if each[0] != "tags" or any(each[1:])]
    return text_table(columns, "<<>><<" if len(columns) == 6 else "<<<>><<", width)


def columns_text(columns: Mapping[str, Sequence[Any]], width: int | None) -> str:
    """Return a plain-text table of columns by their headings; None is an empty cell, `seconds` are durations."""
    shown = [
        [safe_text(name), *("" if each is None else value_text(each) for each in columns[name])] for name in columns
    ]
    if "seconds" in columns:
        shown[list(columns).index("seconds")] = ["time", *map(duration_text, columns["seconds"])]
    return text_table(shown, "<<", width)


def facts_table(facts: Mapping[str, Any]) -> str:
    """Return a table (name, value) of the facts recorded in a run folder; each key of a mapping has its own row."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        entries = {f".{key}": entry for key, entry in value.items()} if isinstance(value, Mapping) else {"": value}
        rows += [(safe_text(f"{name}{key}"), value_text(entry)) for key, entry in entries.items()]
    return text_table([*zip(*rows, strict=True)], "<<") if rows else ""


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
