"""Evaluate a trained run: loss and metrics over a split or a file, and the scores of each class."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import Split
from kerascli.data.storage.blocks import unique_inverse
from kerascli.foundation.errors import ConfigError, DataError, safe_text
from kerascli.foundation.events import Evaluated
from kerascli.metrics.classification import ClassRow, Thresholds, class_rows, confusion_matrix
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.baselines import evaluate_with_baselines
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.classes import class_numbers
from kerascli.training.evaluate import finished, predict
from kerascli.workflow.baselines import baselines_of
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.rows.command_rows import named_classes
from kerascli.workflow.units import metrics_in_units


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Classification results of a model output: confusion matrix [true, predicted] and scores of each class."""

    output: str
    label: str
    """Name of the output's target, for titles and file names."""
    names: tuple[str, ...]
    """Names of the classes, in the order of the matrix and of `rows`."""
    matrix: np.ndarray
    """Confusion matrix: numbers of rows by true class (first axis) and predicted class."""
    rows: tuple[ClassRow, ...]
    """Scores (precision, recall ...) of each class."""
    thresholds: Thresholds | None
    """Predicted probabilities of the second of two classes with the true classes, if all are finite; else None."""
    nan_rows: int = 0
    """Number of rows in which the probability of the second of two classes is not finite."""
    threshold: float | None = None
    """Threshold at which the second of two classes is predicted; None: the more probable class is predicted."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    result: Evaluated
    class_scores: tuple[ClassScores, ...]
    in_units: dict[str, dict[str, float]]
    """Mapping from target to a mapping from metric to value in units of the raw column, for targets whose preprocessing
    can be inverted."""
    compared: "Compared"


@dataclass(frozen=True, slots=True)
class Group:
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


MOST_GROUPS = 100
_MOST_VALUES = 100_000_000
"""Maximum number of values of an output, over all rows, that are held in memory."""
_MISSING = "(missing)"
"""Name of the group of rows whose value of the column of `--by` is missing."""


@memory_for_batches()
def evaluate_rows(run: LoadedRun, rows: Split, name: str) -> Evaluation:
    """Evaluate a trained model on prepared rows, such as a split, and return loss, metrics and scores of classes.

    `name` names the rows in the results. Only process 0, which prints, has the scores of classes. Raises KerasCliError.
    """
    with run.sharing(rows):
        result, source = _evaluated(run, rows, name)
        compared, in_units = _compared(run, source), metrics_in_units(run, run.shared_batches(source))
        return Evaluation(result, tuple(_classify(run, compared)), in_units, compared)


def _evaluated(run: LoadedRun, rows: Split, name: str, *, only_defined: bool = False) -> tuple[Evaluated, BatchSource]:
    """Return (loss and metrics of a run for the given rows, source of the batches of these rows)."""
    experiment, spec = run.experiment, run.experiment.spec
    if spec.training is None:
        raise ConfigError("the run has no 'compile' section: there is no loss to evaluate")
    check_values(spec.graphs, spec.compared(), {name: rows}, run.stages)
    started = time.monotonic()
    means, baselines = run.record.facts().get("target_means", {}), {}
    if not only_defined:
        baselines, rows = baselines_of(spec, run.stages, run.learned, means, rows)
    source = rows_in_order(experiment, rows)
    batches = run.shared_batches(source)
    work = evaluate_with_baselines(experiment.module, batches, baselines, seed=spec.seed, only_defined=only_defined)
    logs, beside = finished(work)
    return Evaluated(name, logs, rows.rows, time.monotonic() - started, beside), source


@memory_for_batches()
def evaluate_groups(run: LoadedRun, rows: Split, columns: Sequence[str]) -> dict[str, list[Group]]:
    """Evaluate a trained model on groups of rows; return a mapping from column to the results of its groups.

    For each column in `columns`, the rows with the same value form a group. The number of positive rows of each group
    is available only on process 0, which prints. Raises KerasCliError.
    """
    grouped = {column: _groups(run, rows, column) for column in columns}
    groups: dict[str, list[Group]] = {}
    with run.sharing(rows):
        for column, (names, numbers) in grouped.items():
            members = (np.flatnonzero(numbers == number) for number in range(len(names)))
            groups[column] = [_group(run, rows.read(each), name) for each, name in zip(members, names, strict=True)]
    return groups


def _group(run: LoadedRun, rows: Split, name: str) -> Group:
    result, source = _evaluated(run, rows, name, only_defined=True)
    in_units = metrics_in_units(run, run.shared_batches(source), only_defined=True)
    shown = dict(result.logs)
    for pair in run.experiment.spec.pairs:
        shown |= {pair.prefix + metric: value for metric, value in in_units.get(pair.target, {}).items()}
    points = _metrics_at_thresholds(run, source) if run.label_thresholds() or set(run.given.values()) - {None} else {}
    return Group(name, rows.rows, _positives(run, source), {**result.logs, **points}, in_units, shown | points)


def _metrics_at_thresholds(run: LoadedRun, source: BatchSource) -> dict[str, float]:
    """Return metrics of the outputs whose labels are those of a threshold, named like Keras's: `recall_0.25`.

    Those that are undefined for these rows are left out.
    """
    prefixes, metrics = {pair.output: pair.prefix for pair in run.experiment.spec.pairs}, dict[str, float]()
    for scores in _classify(run, _compared(run, source)):
        if scores.thresholds is not None and scores.threshold is not None:
            point, true = scores.thresholds.at(scores.threshold), scores.thresholds.truth.any()
            is_defined = {"precision": point.positives, "recall": true, "f1": point.positives or true, "accuracy": True}
            for name in filter(is_defined.get, is_defined):
                metrics[f"{prefixes[scores.output]}{name}_{scores.threshold:.4g}"] = getattr(point, name)
    return metrics


def _positives(run: LoadedRun, source: BatchSource) -> dict[str, int]:
    """Return a mapping from output that predicts one of two classes to its number of rows of the second; on process
    0."""
    pairs = {pair.output: pair.target for pair in run.experiment.spec.pairs if pair.output in run.binary_outputs}
    truth = _targets(run, source, list(pairs.values()))
    return {output: int((class_numbers(truth[name]) == 1).sum()) for output, name in pairs.items() if name in truth}


def _groups(run: LoadedRun, rows: Split, column: str) -> tuple[list[str], np.ndarray]:
    """Return (names of the groups, number of each row's group) for the values of a column. Raises DataError,
    ConfigError."""
    table = rows.origin.table if rows.origin is not None else None
    if table is None:
        raise ConfigError("--by: these rows have no columns")
    values = table.column(column)
    if len(values.shape) != 1 or not isinstance(values, np.ndarray):
        raise DataError(f"--by {safe_text(column)}: expected a column of strings or integers")
    names, numbers = groups_of_values(values, named_classes(run.raw_fields.get(column), values), column)
    if len(names) > MOST_GROUPS:
        raise DataError(f"--by {safe_text(column)}: {len(names):,} values; at most {MOST_GROUPS} groups are evaluated")
    return names, numbers


def groups_of_values(values: np.ndarray, named: np.ndarray | None, column: str) -> tuple[list[str], np.ndarray]:
    """Return (names of the groups of rows with equal values of a column, index of each row's group).

    Missing values form a group of their own, the last. `named` are the values as names of classes; None if they are not
    classes. `column` is the column's name for errors. Raises DataError for numbers that are not integers.
    """
    gaps = np.isnan(values) if values.dtype.kind == "f" else np.asarray(values == "", bool)
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


Compared = Sequence[tuple[OutputTarget, Tensor, Tensor]]
"""Outputs that have a loss, each with its targets and its predictions (rows, *) on the CPU; only process 0 has them."""


def _compared(run: LoadedRun, source: BatchSource) -> Compared:
    """Return the targets and predictions of a run, without outputs whose values do not fit into memory."""
    spec = run.experiment.spec
    sizes = {pair.output: math.prod(size or 1 for size in spec.built.specs[pair.output].shape) for pair in spec.pairs}
    pairs = [pair for pair in spec.pairs if pair.loss is not None and source.rows * sizes[pair.output] <= _MOST_VALUES]
    if not pairs:
        return []
    outputs = predict(run.experiment.module, run.shared_batches(source), seed=spec.seed)
    truth = _targets(run, source, [pair.target for pair in pairs])
    return [(pair, truth[pair.target], outputs[pair.output]) for pair in pairs] if run.strategy.leads else []


def _targets(run: LoadedRun, source: BatchSource, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the preprocessed targets (rows, *) of all rows by name, on the CPU of process 0."""
    batches, targets = run.shared_batches(source), dict[str, Tensor]()
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for number, batch in batches:
        targets = targets if batch is None else run.experiment.module.target_stage(batch.targets)
        for name, own in parts.items():
            own += [each.cpu() for each in batches.rows(number, targets[name])]
    return {name: torch.cat(own) for name, own in parts.items() if own}


def _classify(run: LoadedRun, compared: Compared) -> Iterator[ClassScores]:
    """Yield the confusion matrix and class scores of each output of a run that predicts classes."""
    for pair, targets, output in compared:
        reading = run.reading(pair, output)
        if reading is None:
            continue
        truth = class_numbers(targets)
        counted = pair.loss.counted(truth) if pair.loss is not None else None
        if counted is not None:  # a row that the loss masks out may hold a number that is no class
            truth, output = truth[counted], output[counted]
        probabilities, is_binary = reading.probabilities(output), len(reading.names) == 2
        matrix = confusion_matrix(truth.numpy(), reading.labels(probabilities).numpy(), len(reading.names))
        rows = tuple(class_rows(matrix, reading.names))
        nan_rows = int((~torch.isfinite(probabilities[:, 1])).sum()) if is_binary else 0
        has_curve = is_binary and len(truth) > 0 and not nan_rows
        second = Thresholds(probabilities[:, 1].numpy(), truth.numpy()) if has_curve else None
        yield ClassScores(pair.output, pair.target, reading.names, matrix, rows, second, nan_rows, reading.threshold)
