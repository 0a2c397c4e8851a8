"""Time series that a run was trained on: all rows in order of time, and which ones validation and test predict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from kerascli.data.base import SPLITS
from kerascli.data.batches.rows import Arrays
from kerascli.data.read import joined
from kerascli.data.sources.timeseries import Timeseries
from kerascli.data.storage.table import Table
from kerascli.workflow.forecasting.series import date_columns
from kerascli.workflow.forecasting.series_model import SeriesModel
from kerascli.workflow.rows.command_rows import load_again

HELD_OUT = ("test", "validation")
"""Splits whose rows a forecast is compared with: the first of them that a run has."""
SeriesId = str | int | None
"""Value of the column that identifies a series among several; None if it is the only one."""


@dataclass(frozen=True, slots=True)
class OwnSeries:
    """Time series of a run's data: the table of its rows in order of time, and the rows that each split predicts."""

    table: Table
    rows: Mapping[str, np.ndarray]
    """Mapping from split to the indices of the table rows that its windows predict (each window's first), ascending."""
    end: Mapping[str, int]
    """Mapping from split to the index after the last table row that the split predicts."""

    def first_held_out(self, split: str) -> int | None:
        """Return the index of the first row that a split predicts and that was no training target.

        None if there is none, or if the split's rows are not in sequence, or not after all training rows.
        """
        rows, trained = self.rows[split], self.rows.get("train", np.empty(0, np.int64))
        if len(np.unique(np.diff(rows))) > 1 or (len(trained) and int(trained.max()) >= int(rows[0])):
            return None
        first = max(int(rows[0]), self.end.get("train", 0))
        return first if first < self.end[split] else None


def own_series(model: SeriesModel) -> list[OwnSeries]:
    """Return the time series of a run's data, each with the rows that each split predicts.

    The tables of several splits are joined if their dates are in order; otherwise a series has only the rows of the
    first split in `HELD_OUT` that exists, or else of the first split. Raises DataError, ConfigError, FileRefused.
    """
    run, source = model.run, model.source
    splits, loaded = load_again(run).tables, source.source.load(replace(run.config.context, columns=None))
    tables = {name: source.filled(loaded[name], model.data.columns()) for name in SPLITS if name in loaded}
    parts = {name: source.series(table) for name, table in tables.items()}
    starts = {
        name: _starts(source, table, parts[part])
        for name, table in splits.items()
        if (part := name if name in tables else "train") in tables
    }
    series: list[OwnSeries] = []
    for value in dict.fromkeys(chain.from_iterable(parts.values())):
        own = {name: tables[name].take(rows[value]) for name, rows in parts.items() if value in rows}
        firsts = {name: each[value] for name, each in starts.items() if value in each}
        series.append(_own(model, own, firsts))
    return series


def _starts(source: Timeseries, windows: Table, series: Mapping[SeriesId, np.ndarray]) -> dict[SeriesId, np.ndarray]:
    """Return a mapping from each series to the first rows of a split's windows, counted within the series.

    `series` maps each series to its rows of the whole table.
    """
    whole, rows = windows.whole()
    chosen = np.zeros(whole.rows, bool)
    chosen[rows] = True
    starts = {value: source.starts(len(each), ahead=True) for value, each in series.items()}
    parts = np.split(chosen, np.cumsum([*map(len, starts.values())])[:-1])
    return {value: starts[value][part] for value, part in zip(starts, parts, strict=True)}


def _own(model: SeriesModel, tables: Mapping[str, Table], starts: Arrays) -> OwnSeries:
    """Return one series of a run, from its rows in each table and the first row of its windows in each split."""
    source, names = model.source, list(tables)
    whole = joined([tables[name] for name in names])
    dates = date_columns(model, whole) if len(names) > 1 else {}
    if len(names) > 1 and (len(dates) != 1 or next(iter(dates.values())).first_disorder() is not None):
        names = [next((name for name in HELD_OUT if name in tables), names[0])]
        whole = tables[names[0]]
    begins = dict(zip(names, np.cumsum([0, *(tables[name].rows for name in names)]).tolist(), strict=False))
    rows: Arrays = {}
    end: dict[str, int] = {}
    for name, first in starts.items():
        part = name if name in tables else "train"
        if part in begins and len(first):
            rows[name] = begins[part] + first + source.first_ahead()
            end[name] = int(rows[name][-1]) + (source.horizon - 1) * source.sampling_rate + 1
    return OwnSeries(whole, rows, end)
