"""Compare runs (trained models): settings in their configs that differ, and their results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from kerascli.foundation.errors import safe_text
from kerascli.report.tables import new_table, value_text
from kerascli.runs.history import is_figure
from kerascli.runs.record import RunRecord

ABSENT = "absent"
"""Text shown for a setting that a run's config lacks; a setting of null is shown as a value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Settings and results of several runs; each list has one value per run, in the order of `runs`."""

    runs: list[str]
    settings: dict[str, list[Any]]
    results: dict[str, list[float | None]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def tables(self) -> list[Table]:
        """Return two tables that compare the runs: the settings that differ, and the results."""
        settings, results = new_table("setting"), new_table("result")
        for run in map(safe_text, self.runs):
            settings.add_column(run, overflow="fold")
            results.add_column(run, overflow="fold", justify="right")
        for key, values in self.settings.items():
            settings.add_row(safe_text(key), *("null" if value is None else value_text(value) for value in values))
        for key, values in self.results.items():
            results.add_row(safe_text(key), *map(value_text, values))
        return [settings, results]


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Return a comparison of runs: settings that differ between their resolved configs, and their recorded results."""
    settings = [dict(_flat(_resolved(run))) for run in runs]
    results = [_results(run) for run in runs]
    all_settings = [[each.get(key, ABSENT) for each in settings] for key in _keys(settings)]
    differing = {
        key: values
        for key, values in zip(_keys(settings), all_settings, strict=True)
        if any(_differ(value, values[0]) for value in values)
    }
    figures = {key: [each.get(key) for each in results] for key in _keys(results)}
    return Comparison([run.folder_name for run in runs], differing, figures)


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
    found: dict[str, float] = {"epochs": len(rows)}
    for name in dict.fromkeys(name for row in rows for name in row if is_figure(name)):
        values = [row[name] for row in rows if name in row]
        found[f"last {name}"] = values[-1]
        direction = directions.get(name.removeprefix("val_")) or ("min" if name.endswith("loss") else None)
        numbers = [value for value in values if value == value]
        if direction and numbers:
            found[f"best {name}"] = min(numbers) if direction == "min" else max(numbers)
    for split, figures in (facts.get("results") or {}).items():
        found.update({f"{split} {name}": value for name, value in figures.items()})
    return {**found, "seconds": facts.get("seconds", 0.0)}


def _keys(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for table in tables for key in table))


def _differ(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or one != other
