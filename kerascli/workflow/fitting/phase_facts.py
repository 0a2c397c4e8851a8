"""Facts about a run's training phases, to print or record: data, directions of metrics, columns of history.csv."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from kerascli.callbacks.base import rate_columns
from kerascli.callbacks.early_stopping import EarlyStopping
from kerascli.callbacks.model_checkpoint import ModelCheckpoint
from kerascli.data.batches.rows import DiskSplit
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.foundation.disk.files import digests_by_name
from kerascli.foundation.events import Event, Note
from kerascli.runs.history import ordered
from kerascli.workflow.fitting.phases import Phase

T = TypeVar("T")


def data_notes(phases: list[Phase]) -> Iterator[Event]:
    """Yield notes with the warnings about each training phase's data, the number of rows of its splits, and parts of
    the config that only other commands read."""
    reported: list[PreparedData] = []
    for number, phase in enumerate(phases, start=1):
        prepared = phase.prepared
        if any(prepared is each for each in reported):
            continue
        reported.append(prepared)
        for text in prepared.warnings:
            yield Note(text, "warning")
        rows = ", ".join(f"{name} {count:,}" for name, count in prepared.row_counts.items())
        on_disk = any(isinstance(split, DiskSplit) for split in prepared.splits.values())
        of = f" of phase {number}" if len(reported) > 1 else ""
        yield Note(f"data{of}: {rows} rows{', read from disk as they are used' if on_disk else ''}")
        if phase.config.data is not None and phase.config.data.has_unused_folds:
            yield Note("folds: not used, all their rows are trained on; --folds trains a run for each")
    if phases[-1].config.document.at(("tune",)) is not None:
        yield Note("tune: not read by train; kerascli tune searches")


def data_digests(phases: list[Phase]) -> dict[str, str]:
    """Return a mapping from each file of the training phases, of data or of initial weights, to its digest (SHA-256),
    for run.json."""
    return _by_name({**digests_by_name(phase.spec.initial_files), **phase.prepared.digests} for phase in phases)


def facts_of(phases: list[Phase]) -> dict[str, Any]:
    """Return the entries of run.json on the training phases: their data, rows of each split, and metrics."""
    rows = _by_name(phase.prepared.row_counts for phase in phases)
    return {
        "data": data_digests(phases), "rows": rows, "directions": directions(phases), "monitor": _monitor(phases),
        "skipped_images": _skipped(phases, rows=False), "skipped_rows": _skipped(phases, rows=True),
    }  # fmt: skip


def _skipped(phases: list[Phase], *, rows: bool) -> dict[str, Any]:
    """Return a mapping from folder to its damaged images (number, the first ones), or (`rows`) from file to bad rows.

    The mapping is for run.json. If a training phase uses other files of a folder, the folder has another key, with the
    number of the phase.
    """
    return _by_name(
        {
            each.name: {"skipped": each.count, "of": each.of, "first": [text for _, text in each.first]}
            for each in phase.prepared.skipped
            if rows == (each.noun == "rows")
        }
        for phase in phases
    )


def _by_name(facts_of_phases: Iterable[Mapping[str, T]]) -> dict[str, T]:
    """Return the facts of all phases by name; a fact that differs from that of an earlier phase has its number."""
    facts: dict[str, T] = {}
    for number, each in enumerate(facts_of_phases, start=1):
        for name, fact in each.items():
            facts[name if facts.get(name, fact) == fact else f"{name} of phase {number}"] = fact
    return facts


def directions(phases: list[Phase]) -> dict[str, str]:
    """Return a mapping from each value that the training phases log to its better direction (`min` or `max`)."""
    return {name: way for phase in phases for name, way in phase.spec.log_names().items()}


def _monitor(phases: list[Phase]) -> dict[str, str]:
    """Return the metric that early_stopping or model_checkpoint monitors, with its better direction; {} without one."""
    callbacks = [each for phase in phases for each in phase.spec.fit.callbacks]
    first = [each for each in callbacks if isinstance(each, EarlyStopping | ModelCheckpoint)][:1]
    ways = directions(phases) | {each.monitor: each.mode for each in first if each.mode != "auto"}
    return {each.monitor: ways[each.monitor] for each in first if each.monitor in ways}


def history_columns(phases: list[Phase]) -> list[str]:
    """Return the names of all columns of history.csv (a row per epoch), for all training phases of a run."""
    rates = {name: 0.0 for phase in phases if phase.spec.training for name in phase.spec.training.optimizers}
    numbers = ["epoch", *(["phase"] if len(phases) > 1 else []), "epoch_seconds"]
    return ordered([*numbers, *directions(phases), *rate_columns(rates)])
