"""Losses and metrics of the runs of all folds, with their mean and deviation, as JSON data and as tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kerascli.foundation.errors import safe_text
from kerascli.foundation.events import FoldsEnded, Logs
from kerascli.report.console import number_text
from kerascli.report.text_tables import text_table


def folds_json(event: FoldsEnded) -> dict[str, Any]:
    """Return the results of a study of folds: of each split those of the folds, mean and deviation; mean baselines."""
    results = {split: {"folds": list(map(dict, folds)), **_summary(folds)} for split, folds in event.results.items()}
    baselines = {"validation": dict(_baselines(event))}
    return {"run": event.study, "oof": event.predictions, "results": results, "baselines": baselines}


def folds_text(event: FoldsEnded) -> str:
    """Return a plain-text table for each split: a row for each fold, mean, deviation, and means of baselines; paths."""
    tables: list[str] = []
    for split, folds in event.results.items():
        rows = {f"fold-{number}": logs for number, logs in enumerate(folds, start=1)} | _summary(folds)
        if split == "validation":
            rows |= {f"baseline ({name})": logs for name, logs in _baselines(event)}
        columns = [[split, *map(safe_text, rows)]]
        for name in folds[0]:
            columns.append(
                [safe_text(name), *(number_text(logs[name]) if name in logs else "" for logs in rows.values())]
            )
        tables.append(text_table(columns))
    paths = f"study  {safe_text(event.study)}\noof    {safe_text(event.predictions)}\n"
    return "\n\n".join([*tables, paths])


def _summary(folds: Sequence[Logs]) -> dict[str, Logs]:
    """Return mean and standard deviation (of a sample: divided by n - 1) of each loss and metric."""
    values = {name: np.array([logs[name] for logs in folds]) for name in folds[0]}
    return {
        "mean": {name: float(each.mean()) for name, each in values.items()},
        "deviation": {name: float(each.std(ddof=1)) for name, each in values.items()},
    }


def _baselines(event: FoldsEnded) -> Iterator[tuple[str, Logs]]:
    """Yield (name, means of losses and metrics over the folds) of each baseline."""
    for each in zip(*(baselines.items() for baselines in event.baselines), strict=False):
        names = {name for name, _ in each}  # each fold may have its own majority class
        yield names.pop() if len(names) == 1 else "of each fold", _summary([logs for _, logs in each])["mean"]
