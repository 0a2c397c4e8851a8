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
from kerascli.foundation.errors import ConfigError
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


_MOST_VALUES = 100_000_000
"""Maximum number of values of an output, over all rows, that are held in memory."""


@memory_for_batches()
def evaluate_rows(run: LoadedRun, rows: Split, name: str, *, checked: bool = False) -> Evaluation:
    """Evaluate a trained model on prepared rows, such as a split, and return loss, metrics and scores of classes.

    `name` names the rows in the results. With `checked`, the values of the targets are known to fit the losses. Only
    process 0, which prints, has the scores of classes. Raises KerasCliError.
    """
    experiment, spec = run.experiment, run.experiment.spec
    with run.sharing(rows):
        if spec.training is None:
            raise ConfigError("the run has no 'compile' section: there is no loss to evaluate")
        if not checked:
            check_values(spec.graphs, spec.compared(), {name: rows}, run.stages)
        started, means = time.monotonic(), run.record.facts().get("target_means", {})
        baselines, rows = baselines_of(spec, run.stages, run.learned, means, rows)
        source = rows_in_order(experiment, rows)
        work = evaluate_with_baselines(experiment.module, run.shared_batches(source), baselines, seed=spec.seed)
        logs, beside = finished(work)
        result = Evaluated(name, logs, rows.rows, time.monotonic() - started, beside)
        compared = compared_rows(run, source)
        return Evaluation(result, tuple(classify(run, compared)), metrics_in_units(run, source), compared)


Compared = Sequence[tuple[OutputTarget, Tensor, Tensor]]
"""Outputs that have a loss, each with its targets and its predictions (rows, *) on the CPU; only process 0 has them."""


def compared_rows(run: LoadedRun, source: BatchSource) -> Compared:
    """Return the targets and predictions of a run, without outputs whose values do not fit into memory."""
    spec = run.experiment.spec
    sizes = {pair.output: math.prod(size or 1 for size in spec.built.specs[pair.output].shape) for pair in spec.pairs}
    pairs = [pair for pair in spec.pairs if pair.loss is not None and source.rows * sizes[pair.output] <= _MOST_VALUES]
    if not pairs:
        return []
    outputs = predict(run.experiment.module, run.shared_batches(source), seed=spec.seed)
    batches, targets = run.shared_batches(source), dict[str, Tensor]()
    parts: dict[str, list[Tensor]] = {pair.target: [] for pair in pairs}
    for number, batch in batches:
        targets = targets if batch is None else run.experiment.module.target_stage(batch.targets)
        for name, own in parts.items():
            own += [each.cpu() for each in batches.rows(number, targets[name])]
    if not run.strategy.leads:
        return []
    return [(pair, torch.cat(parts[pair.target]), outputs[pair.output]) for pair in pairs]


def classify(run: LoadedRun, compared: Compared) -> Iterator[ClassScores]:
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
