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
        status = run.status()
        facts: dict[str, Any] = {}
        labels, epochs = [], ("", 0, {}, {})
        try:
            facts = run.facts()
            epochs = run.epochs()
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

    @property
    def best_text(self) -> str:
        """Value of the best epoch, with its number: `val_loss 0.0471 (37)`."""
        best = self.best
        return f"{self.monitor} {number_text(best[self.monitor])} ({best['epoch']})" if best else ""

    @property
    def last_text(self) -> str:
        """The first metrics of the last epoch: `val_loss 0.0512, val_accuracy 0.98`."""
        metrics = [f"{name} {number_text(value)}" for name, value in self.metrics().items()]
        return ", ".join(metrics[:_LISTED_METRICS])


def list_table(lines: Sequence[RunLine], width: int | None) -> str:
    """Return the table of `kerascli runs`, with a row for each run, at most `width` wide; no name is broken."""
    columns: dict[str, list[str]] = {
        "run": [line.run for line in lines],
        "status": [line.status for line in lines],
        "tags": [", ".join(line.tags) for line in lines],
        "epochs": [str(line.epochs) for line in lines],
        "time": [duration_text(line.seconds) for line in lines],
        "best (epoch)": [line.best_text for line in lines],
        "last epoch": [line.last_text for line in lines],
    }
    shown = {name: cells for name, cells in columns.items() if name != "tags" or any(cells)}
    sides = "".join(">" if name in {"epochs", "time"} else "<" for name in shown)
    return text_table([[name, *map(safe_text, cells)] for name, cells in shown.items()], sides, width)


def facts_table(facts: Mapping[str, Any]) -> str:
    """Return a table (name, value) of the facts recorded in a run folder; each key of a mapping has its own row."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        entries = {f".{key}": entry for key, entry in value.items()} if isinstance(value, Mapping) else {"": value}
        rows += [(safe_text(f"{name}{key}"), value_text(entry)) for key, entry in entries.items()]
    return text_table([*zip(*rows, strict=True)], "<<")


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
