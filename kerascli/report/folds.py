"""Losses and metrics of the runs of all folds, with their mean and deviation, as JSON data and as tables."""

from typing import Any

import numpy as np

from kerascli.foundation.errors import safe_text
from kerascli.foundation.events import FoldsEnded
from kerascli.report.console import number_text
from kerascli.report.text_tables import text_table


def folds_json(event: FoldsEnded) -> dict[str, Any]:
    """Return the results of a study of folds: for each split those of the folds, their mean and deviation."""
    results = {split: _rows(event, split) for split in event.results}
    return {"run": event.study, "oof": event.predictions, "results": results}


def folds_text(event: FoldsEnded) -> str:
    """Return the results as a plain-text table for each split, with a row for each fold; and the paths of the files."""
    tables: list[str] = []
    for split in event.results:
        rows = _rows(event, split)
        columns = [[split, *rows]]
        for name in rows["mean"]:
            columns.append([safe_text(name), *(number_text(logs[name]) for logs in rows.values())])
        tables.append(text_table(columns))
    paths = f"study  {safe_text(event.study)}\noof    {safe_text(event.predictions)}\n"
    return "\n\n".join([*tables, paths])


def _rows(event: FoldsEnded, split: str) -> dict[str, dict[str, float]]:
    """Return losses and metrics of each fold, their means, and standard deviations of a sample (divided by n - 1)."""
    folds = event.results[split]
    rows = {f"fold-{number}": dict(logs) for number, logs in enumerate(folds, start=1)}
    values = {name: np.array([logs[name] for logs in folds]) for name in folds[0]}
    rows["mean"] = {name: float(each.mean()) for name, each in values.items()}
    return rows | {"deviation": {name: float(each.std(ddof=1)) for name, each in values.items()}}
