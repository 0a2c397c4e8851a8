"""Comparison of runs: the settings in which they differ, and their results, the best ones marked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from kerascli.foundation.errors import safe_text
from kerascli.report.tables import new_table, value_text
from kerascli.runs.history import is_metric
from kerascli.runs.record import RunRecord

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
    settings = _by_key([settings_of(run) for run in runs], ABSENT)
    differing = {key: values for key, values in settings.items() if any(_differ(each, values[0]) for each in values)}
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
    default = "min" if name.endswith("loss") else ""
    best = {"min": min, "max": max}.get(directions.get(name.removeprefix("val_")) or default)
    numbers = [value for value in values if value is not None and value == value]
    return best(numbers) if best is not None and numbers else None


def _by_key(tables: Sequence[Mapping[str, Any]], default: str | None) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: [table.get(key, default) for table in tables] for key in keys}


def settings_of(run: RunRecord) -> dict[str, Any]:
    """Return a run's settings by path (`model.layers[1].dense.units`), from its config with all defaults."""
    from kerascli.config.yaml.text import parse_document

    return dict(_flat(parse_document(run.resolved(), str(run.resolved_path)).data))


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
