"""Time series that a run was trained on: its rows in order of time, and the rows that validation and test hold out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerascli.data.base import SPLITS
from kerascli.data.joined import joined
from kerascli.data.storage.table import Table
from kerascli.errors import DataError
from kerascli.workflow.changed_data import load_again
from kerascli.workflow.forecasting.series import date_columns
from kerascli.workflow.forecasting.series_model import SeriesModel


@dataclass(frozen=True, slots=True)
class OwnSeries:
    """Time series that a run was trained on, with the rows that are predicted in each split."""

    table: Table
    rows: Mapping[str, np.ndarray]
    """Mapping from split to the table rows that its windows predict (of each window the first), in ascending order."""
    end: Mapping[str, int]
    """Mapping from split to the index after the last table row that the split predicts."""

    def first_held_out(self, split: str) -> int | None:
        """Return the first row of a split that was no target in training; None if the split's rows are not in
        sequence."""
        rows, trained = self.rows[split], self.rows.get("train", np.empty(0, np.int64))
        if len(np.unique(np.diff(rows))) > 1 or (len(trained) and int(trained.max()) >= int(rows[0])):
            return None
        first = max(int(rows[0]), self.end.get("train", 0))
        return first if first < self.end[split] else None


def own_series(model: SeriesModel, preferred: Sequence[str] = ()) -> OwnSeries:
    """Return the time series that a run was trained on, with the rows that each split predicts.

    Tables of several splits follow each other if their dates do, else the series is that of the first `preferred` split
    that there is. Raises DataError, ConfigError, FileRefused.
    """
    run, source = model.run, model.source
    splits = load_again(run).splits
    context = replace(run.config.context, columns=None)
    tables = dict(source.source.load(context))
    names = [name for name in SPLITS if name in tables]
    whole = joined([tables[name] for name in names])
    dates = date_columns(model, whole) if len(names) > 1 else {}
    if len(names) > 1 and (len(dates) != 1 or next(iter(dates.values())).first_disorder() is not None):
        names = [next((name for name in preferred if name in tables), names[0])]
        whole = tables[names[0]]
    begins = dict(zip(names, np.cumsum([0, *(tables[name].rows for name in names)]).tolist(), strict=False))
    rows: dict[str, np.ndarray] = {}
    end: dict[str, int] = {}
    for name, split in splits.items():
        part = name if name in tables else "train"
        if part not in begins or split.origin is None:
            continue
        windows = np.arange(split.origin.table.whole()[0].rows)[split.origin.table.whole()[1]]
        starts = source.start_index + np.sort(windows) * source.sequence_stride
        rows[name] = begins[part] + starts + source.first_ahead()
        end[name] = int(rows[name][-1]) + (source.horizon - 1) * source.sampling_rate + 1
    return OwnSeries(whole, rows, end)


def history_of(model: SeriesModel, split: str) -> Table:
    """Return the table of the series a run was trained on, up to the last row of a split. Raises DataError if there is
    no such split."""
    own = own_series(model, [split])
    if split not in own.rows:
        raise DataError(f"the run's data has no '{split}' split", hint=f"it has {', '.join(own.rows)}")
    return own.table.take(slice(0, own.end[split]))
