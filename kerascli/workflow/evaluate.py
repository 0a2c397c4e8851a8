"""Evaluate a trained run: loss and metrics over a split or a file, and the scores of each class."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.rows import Split
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import Evaluated, Tick
from kerascli.metrics.classification import ClassRow, Thresholds, class_rows, confusion_matrix
from kerascli.metrics.comparisons import MetricUse, OutputTarget
from kerascli.metrics.distances import MeanAbsoluteError
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.classes import class_numbers
from kerascli.training.evaluate import EvaluatedBatches, evaluate, finished
from kerascli.training.objectives.objective import full_precision, measured
from kerascli.workflow.baselines import Baseline, BaselineMetrics, baselines_of
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches


class ClassScores(NamedTuple):
    """Classification results of a model output: true and predicted classes of its rows, and scores of each class."""

    output: str
    label: str
    """Name of the output's target, for titles and file names."""
    names: tuple[str, ...]
    """Names of the classes, in the order of the matrix and of `rows`."""
    truth: np.ndarray
    """True class of each row, its index in `names`."""
    labels: np.ndarray
    """Predicted class of each row."""
    rows: tuple[ClassRow, ...]
    """Scores (precision, recall ...) of each class."""
    thresholds: Thresholds | None
    """Predicted probabilities of the second of two classes with the true classes, if all are finite; else None."""
    threshold: float | None = None
    """Threshold at which the second of two classes is predicted; None: the more probable class is predicted."""

    @property
    def matrix(self) -> np.ndarray:
        """Confusion matrix: numbers of rows by true class (first axis) and predicted class."""
        return confusion_matrix(self.truth, self.labels, len(self.names))

    @property
    def has_matrix(self) -> bool:
        """True if the classes are few enough for a confusion matrix of all to be written or drawn."""
        return len(self.names) <= _MOST_CLASSES


class Evaluation(NamedTuple):
    result: Evaluated
    class_scores: tuple[ClassScores, ...]
    in_units: dict[str, dict[str, float]]
    """Mapping from target to a mapping from metric to value in units of the raw column, for targets whose preprocessing
    can be inverted."""
    compared: "Compared"


_DEFAULT = (MetricUse("mean_absolute_error", MeanAbsoluteError(), weighted=False, columns=("mean_absolute_error",)),)
"""Metrics to report in the units of the raw column for an output without metrics in the config."""
_MOST_CLASSES = 1000
"""Maximum number of classes of a confusion matrix that is written or drawn."""
MOST_VALUES = 100_000_000
"""Maximum number of values of an output, over all rows, that `evaluate` holds in memory."""


@memory_for_batches()
def evaluate_rows(run: LoadedRun, rows: Split, name: str) -> Evaluation:
    """Evaluate a trained model on prepared rows, such as a split, and return loss, metrics and scores of classes.

    `name` names the rows in the results. Only process 0, which prints, has the scores of classes. Raises KerasCliError.
    """
    spec = run.experiment.spec
    with run.sharing(rows):
        if spec.training is None:
            raise ConfigError("the run has no 'compile' section: there is no loss to evaluate")
        check_values(spec.graphs, spec.compared(), {name: rows}, run.stages)
        return finished(evaluating(run, rows, name, run.record.facts().get("target_means", {}), run.shared_batches))


def evaluating(
    run: LoadedRun,
    rows: Split,
    name: str,
    means: Mapping[str, list[float]] | None,
    shared: Callable[[BatchSource], EvaluatedBatches],
    most_values: int = MOST_VALUES,
    *,
    only_defined: bool = False,
) -> Generator[Tick, None, Evaluation]:
    """Evaluate a model and its baselines on rows in one pass: yield a Tick after each batch, return the evaluation.

    `means` are the run's `target_means` (None: no baselines); `shared` returns the batches of a source that this
    process evaluates. Outputs with more than `most_values` values over all rows are not compared row by row. With
    `only_defined`, metrics that are undefined for the rows are left out.
    """
    started, spec = time.monotonic(), run.experiment.spec
    baselines, rows = ({}, rows) if means is None else baselines_of(spec, run.stages, run.learned, means, rows)
    source = rows_in_order(run.experiment, rows)
    further = _Further(run, source.rows, most_values, baselines)
    logs = yield from evaluate(
        run.experiment.module, shared(source), seed=spec.seed, only_defined=only_defined,
        further=further if spec.pairs else None,
    )  # fmt: skip
    sums = iter(further.sums)
    in_units = further.metrics_in_units(sums, only_defined=only_defined)
    compared = further.compared() if run.strategy.leads else []
    result = Evaluated(name, logs, rows.rows, time.monotonic() - started, further.baselines.results([*sums]))
    return Evaluation(result, tuple(classify(run, compared)), in_units, compared)


Compared = Sequence[tuple[OutputTarget, Tensor, Tensor, Tensor | None]]
"""Outputs that have a loss, each with its targets and predictions (rows, *), and its mask if it has one, on the CPU;
only process 0 has them."""


class _Further:
    """Further results of an evaluation: metrics in units of the raw columns and of baselines, and the targets and
    predictions of all rows, collected batch by batch, of the outputs that have a loss and few values."""

    def __init__(self, run: LoadedRun, rows: int, most_values: int, baselines: Mapping[str, Baseline]) -> None:
        self.sums: Sequence[Tensor] = ()
        spec, pairs = run.experiment.spec, run.experiment.spec.pairs
        self._in_units = [(pair, pair.metrics or _DEFAULT, undo) for pair in pairs if (undo := run.inverse(pair))]
        self.baselines = BaselineMetrics(run.experiment.module.objective, baselines)
        shapes = {pair.output: spec.built.specs[pair.output].shape for pair in pairs if pair.loss is not None}
        few = [name for name, shape in shapes.items() if rows * math.prod(size or 1 for size in shape) <= most_values]
        self._pairs = [pair for pair in pairs if pair.output in few]
        self._batch: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self._rows: list[tuple[list[Tensor], ...]] = [([], [], []) for _ in self._pairs]

    def states(self, outcome: GraphOutcome, targets: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return the states of metrics of a batch, which add up; its targets and predictions are taken."""
        self._batch = [(targets[pair.target], full_precision(outcome.outputs[pair.output]),
                        outcome.masks.get(pair.output)) for pair in self._pairs]  # fmt: skip
        states: list[Tensor] = []
        for pair, metrics, undo in self._in_units:
            values = (targets[pair.target], full_precision(outcome.outputs[pair.output]))
            y_true, y_pred = (torch.from_numpy(undo(each.cpu().numpy())) for each in values)
            factors = (batch.sample_weight.get(pair.target), outcome.masks.get(pair.output))
            weight, mask = (None if each is None else each.cpu() for each in factors)
            states += [measured(use.metric, y_true, y_pred, weight if use.weighted else None, mask) for use in metrics]
        return states + self.baselines.states(outcome, targets, batch)

    def metrics_in_units(self, sums: Iterator[Tensor], *, only_defined: bool) -> dict[str, dict[str, float]]:
        """Return a mapping from target to a mapping from metric to value, given the summed states, which are consumed.

        With `only_defined`, metrics that are undefined for the rows are left out.
        """
        results: dict[str, dict[str, float]] = {}
        for pair, metrics, _ in self._in_units:
            found = results[pair.target] = {}
            for use in metrics:
                elements = use.metric.elements(next(sums).double(), only_defined=only_defined)
                found |= {name: value for name, value in zip(use.columns, elements, strict=True) if value is not None}
        return results

    def collect(self, batches: EvaluatedBatches, number: int) -> None:
        """Add the rows of the current batches, this one's and those of others; a collective call."""
        for own, batch in zip(self._rows, self._batch, strict=True):
            for part, values in zip(own, batch, strict=True):
                part += [] if values is None else [each.cpu() for each in batches.rows(number, values)]

    def compared(self) -> Compared:
        """Return the targets, predictions and masks of all rows."""
        rows = zip(self._pairs, self._rows, strict=True)
        return [(pair, torch.cat(y_true), torch.cat(y_pred), torch.cat(mask) if mask else None)
                for pair, (y_true, y_pred, mask) in rows]  # fmt: skip


def classify(run: LoadedRun, compared: Compared) -> Iterator[ClassScores]:
    """Yield the confusion matrix and class scores of each output of a run that predicts classes.

    `compared` has a tuple for each output: (the output with its target, true values, predicted values, mask).
    """
    for pair, targets, output, _ in compared:
        reading = run.reading(pair, output)
        if reading is None:
            continue
        truth = class_numbers(targets)
        counted = pair.loss.counted(truth) if pair.loss is not None else None
        if counted is not None:  # a row that the loss masks out may hold a number that is no class
            truth, output = truth[counted], output[counted]
        probabilities, is_binary = reading.probabilities(output), len(reading.names) == 2
        classes = truth.numpy(), reading.labels(probabilities).numpy()
        rows = tuple(class_rows(*classes, reading.names))
        has_curve = is_binary and len(truth) > 0 and bool(torch.isfinite(probabilities[:, 1]).all())
        second = Thresholds(probabilities[:, 1].numpy(), truth.numpy()) if has_curve else None
        yield ClassScores(pair.output, pair.target, reading.names, *classes, rows, second, reading.threshold)
