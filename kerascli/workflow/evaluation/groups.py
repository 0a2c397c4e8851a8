"""Evaluate a trained run on groups of rows: those that have the same value of a column."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kerascli.data.batches.rows import Split, raw_table
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.storage.table import missing
from kerascli.foundation.errors import DataError, safe_text
from kerascli.training.evaluate import finished
from kerascli.workflow.evaluate import ClassScores, Compared, Evaluation, classify, evaluate_rows, evaluating
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.rows.command_rows import named_classes

MOST_GROUPS = 100
_MISSING = "(missing)"
"""Name of the group of rows whose value of the column of `--by` is missing."""


class Group(NamedTuple):
    """Evaluation of those rows that have one value of a column: number of rows, loss, and defined metrics."""

    name: str
    """Value of the column in all rows of the group, as text."""
    rows: int
    positives: dict[str, int]
    """Mapping from each output that predicts one of two classes to the number of rows of the second class."""
    logs: dict[str, float]
    """Losses and metrics by name."""
    in_units: dict[str, dict[str, float]]
    """Mapping from target to a mapping from metric to value in units of the raw column, as `Evaluation.in_units`."""
    shown: dict[str, float]
    """Losses and metrics to print: `logs`, with the values of `in_units` in place of metrics of the same name."""


@memory_for_batches()
def evaluate_groups(
    run: LoadedRun, rows: Split, name: str, columns: Sequence[str]
) -> tuple[Evaluation, dict[str, list[Group]]]:
    """Evaluate a trained model on rows, and on groups of them; return (evaluation, mapping from column to its groups).

    `name` names the rows in the results. For each column in `columns`, the rows with the same value form a group. The
    number of positive rows of each group is available only on process 0, which prints. Raises KerasCliError.
    """
    grouped = {column: _groups(run, rows, column) for column in columns}
    evaluation, groups = evaluate_rows(run, rows, name), dict[str, list[Group]]()
    for column, (names, numbers) in grouped.items():
        with run.sharing(rows):
            named = [(name, np.flatnonzero(numbers == number)) for number, name in enumerate(names)]
            groups[column] = [_group(run, rows, *each, evaluation.compared) for each in named]
    return evaluation, groups


def _group(run: LoadedRun, rows: Split, name: str, members: np.ndarray, compared: Compared) -> Group:
    """Return the evaluation of those of the rows whose numbers are `members`; `compared` is of all rows."""
    work = evaluating(run, rows.read(members), name, None, run.shared_batches, 0, only_defined=True)
    evaluation, pairs = finished(work), run.experiment.spec.pairs
    logs, in_units = dict(evaluation.result.logs), evaluation.in_units
    of_pairs = [(pair.prefix, in_units.get(pair.target, {})) for pair in pairs]
    shown = logs | {prefix + metric: value for prefix, metrics in of_pairs for metric, value in metrics.items()}
    own = [(pair, y_true[members], y_pred[members], None) for pair, y_true, y_pred, _ in compared]
    scores = [each for each in classify(run, own) if len(each.names) == 2]
    positives = {each.output: int(each.matrix[1].sum()) for each in scores}
    points = _metrics_at_thresholds(scores, {pair.output: pair.prefix for pair in pairs})
    return Group(name, len(members), positives, logs | points, in_units, shown | points)


def _metrics_at_thresholds(binary: Sequence[ClassScores], prefixes: Mapping[str, str]) -> dict[str, float]:
    """Return metrics of the outputs whose labels are those of a threshold, named like Keras's: `recall_0.25`.

    Those that are undefined for these rows are left out. `prefixes` maps outputs to the beginnings of their metrics.
    """
    metrics: dict[str, float] = {}
    for scores in binary:
        if scores.thresholds is not None and scores.threshold is not None:
            point, true = scores.thresholds.at(scores.threshold), scores.thresholds.truth.any()
            is_defined = {"precision": point.positives, "recall": true, "f1": point.positives or true, "accuracy": True}
            for name in filter(is_defined.get, is_defined):
                metrics[f"{prefixes[scores.output]}{name}_{scores.threshold:.4g}"] = getattr(point, name)
    return metrics


def _groups(run: LoadedRun, rows: Split, column: str) -> tuple[list[str], np.ndarray]:
    """Return (names of the groups, number of each row's group) for the values of a column. Raises DataError,
    ConfigError."""
    table, field = raw_table(rows, "--by"), run.raw_fields.get(column)
    values = table.column(column)
    if len(values.shape) != 1 or not isinstance(values, np.ndarray):
        raise DataError(f"--by {safe_text(column)}: expected a column of strings or integers")
    if values.dtype == bool or (field is not None and field.is_text):
        values = table.text(column)
    names, numbers = groups_of_values(values, named_classes(field, values), column)
    if len(names) > MOST_GROUPS:
        raise DataError(f"--by {safe_text(column)}: {len(names):,} values; at most {MOST_GROUPS} groups are evaluated")
    return names, numbers


def groups_of_values(values: np.ndarray, named: np.ndarray | None, column: str) -> tuple[list[str], np.ndarray]:
    """Return (names of the groups of rows with equal values of a column, index of each row's group).

    Missing values form a group of their own, the last. `named` are the values as names of classes; None if they are not
    classes. `column` is the column's name for errors. Raises DataError for numbers that are not integers.
    """
    gaps = missing(values)
    present = (values if named is None else named)[~gaps]
    if present.dtype.kind == "f":
        fraction = present[~np.isfinite(present) | (present != np.floor(present))]
        if len(fraction):
            text = f"expected a column of strings or integers, got numbers such as {fraction[0]:g}"
            raise DataError(f"--by {safe_text(column)}: {text}")
        if np.abs(present).max(initial=0) < 2.0**63:
            present = present.astype(np.int64)
    names, indices = unique_inverse(present)
    numbers = np.full(len(values), len(names), np.int64)
    numbers[~gaps] = indices
    return [*map(str, names.tolist()), *([_MISSING] if gaps.any() else [])], numbers
