"""Tables of runs: their list, the facts of one, and the comparison of several, the best results marked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kerascli.foundation.errors import FileRefused, dotted, leaves, safe_text
from kerascli.report.text_tables import duration_text, text_table
from kerascli.runs.annotations import tags
from kerascli.runs.history import is_metric
from kerascli.runs.record import RunRecord

_LISTED_METRICS = 3
ABSENT = "absent"
"""Text shown for a setting that a run's config lacks; a setting of null is shown as a value."""


class RunLine(NamedTuple):
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
        name = f"{run.path.parent.parent.name}/{run.folder_name}" if run.is_member else run.folder_name
        return cls(
            name, str(run.path), status, labels, facts.get("started"), facts.get("seconds"),
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
    rows, have_tags = list[dict[str, Any]](), any(line.tags for line in lines)
    for line in lines:
        best = f"{line.monitor} {number_text(line.best[line.monitor])} ({line.best['epoch']})" if line.best else ""
        last = ", ".join([f"{name} {number_text(value)}" for name, value in line.metrics().items()][:_LISTED_METRICS])
        labels = {"tags": ", ".join(line.tags)} if have_tags else {}
        results = {"epochs": line.epochs, "seconds": line.seconds, "best (epoch)": best, "last epoch": last}
        rows.append({"run": line.run, "status": line.status, **labels, **results})
    return rows_text(rows, width)


def rows_text(rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    """Return a plain-text table of rows by heading; None is an empty cell, `seconds` are durations."""
    columns, sides = list[list[str]](), ""
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        texts = ["" if each is None else value_text(each) for each in values]
        sides += "<" if any(isinstance(each, str) for each in values) else ">"
        columns.append(["time", *map(duration_text, values)] if name == "seconds" else [safe_text(name), *texts])
    return text_table(columns, sides, width) if columns else ""


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
    """Return a number as text: five significant digits for floats, all digits for integers, and of floats from 1e5 to
    1e9 those before the point."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e5 <= abs(value) < 1e9 else f"{value:.5g}"


class Comparison(NamedTuple):
    """Settings and results of several runs; each list has one value per run, in the order of `runs`."""

    runs: list[str]
    settings: dict[str, list[Any]]
    results: dict[str, list[float | None]]
    best: dict[str, float]
    """Best value of each result on validation and test rows whose direction is known."""

    def text(self, width: int | None) -> str:
        """Return two tables as text, at most `width` wide: the settings that differ, if any, and the results."""
        settings = [["null" if each is None else value_text(each) for each in row] for row in self.settings.values()]
        runs, results = [safe_text(run) for run in self.runs], [self._marked(key) for key in self.results]
        first = [["setting", *map(safe_text, self.settings)], *zip(runs, *settings, strict=True)]
        second = [["result (*: best)", *map(safe_text, self.results)], *zip(runs, *results, strict=True)]
        shown = [text_table(first, "<" * len(first), width), ""] if settings else []
        return "\n".join([*shown, text_table(second, width=width), ""])

    def _marked(self, key: str) -> list[str]:
        """Return the values of a result as text, the best ones with a star if they differ."""
        values = self.results[key]
        best = self.best.get(key) if len(set(values)) > 1 else None
        return [f"* {value_text(value)}" if value == best is not None else value_text(value) for value in values]


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Return a comparison of runs: settings that differ between their resolved configs, and their recorded results.

    A seed is a setting only if no other differs. Results on validation and test rows come first.
    """
    by_key = _by_key([settings(run) for run in runs], ABSENT)
    differing = {key: values for key, values in by_key.items() if len({repr(each) for each in values}) > 1}
    if len(differing) > 1:
        differing.pop("seed", None)
    results = _by_key([_results(run) for run in runs], None)
    results = {key: results[key] for key in sorted(results, key=lambda key: not _is_of_other_rows(key))}
    directions = {name: each for run in runs for name, each in run.facts().get("directions", {}).items()}
    names = {key: key.partition(" ")[2] for key in filter(_is_of_other_rows, results)}
    best = {key: value for key in names if (value := _best(names[key], results[key], directions)) is not None}
    return Comparison([run.folder_name for run in runs], differing, results, best)


def _is_of_other_rows(key: str) -> bool:
    """Return True for a result on other rows than the training's: `best val_loss`, `test loss`."""
    kind, _, name = key.partition(" ")
    return name.startswith("val_") or kind not in {"last", "best", "epochs", "seconds"}


def _best(name: str, values: Sequence[float | None], directions: Mapping[str, str]) -> float | None:
    """Return the best value of a metric; None if its direction is not known, or without a value."""
    way = direction(name, directions)
    numbers = [value for value in values if value is not None and value == value]
    return (min if way == "min" else max)(numbers) if way is not None and numbers else None


def direction(name: str, directions: Mapping[str, str]) -> str | None:
    """Return the better direction of a loss or metric, `min` or `max`; None if it is not known."""
    default = "min" if name.endswith("loss") else None
    return directions.get(name) or directions.get(name.partition("_")[2]) or default  # of `test_accuracy`


def _by_key(tables: Sequence[Mapping[str, Any]], default: str | None) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: [table.get(key, default) for table in tables] for key in keys}


def settings(run: RunRecord) -> dict[str, Any]:
    """Return the values of a run's resolved config by their paths, such as `model.layers[1].dense.units`; a plain list
    is one value."""
    from kerascli.config.yaml.text import parse_document

    data = parse_document(run.resolved(), str(run.resolved_path)).data
    values = leaves(data, lambda entries: any(isinstance(each, dict | list) for each in entries))
    return {dotted(path): value for path, value in values}


def _results(run: RunRecord) -> dict[str, float]:
    """Return a run's results by name: last and best value of each metric, evaluations, epochs, seconds."""
    facts, rows = run.facts(), run.history()
    directions = facts.get("directions", {})
    results: dict[str, float] = {"epochs": len(rows)}
    for name in dict.fromkeys(name for row in rows for name in row if is_metric(name)):
        values = [row[name] for row in rows if name in row]
        results[f"last {name}"] = values[-1]
        if (best := _best(name, values, directions)) is not None:
            results[f"best {name}"] = best
    for split, metrics in (facts.get("results") or {}).items():
        results |= {f"{split} {name}": value for name, value in metrics.items()}
    return {**results, "seconds": facts.get("seconds", 0.0)}
