"""Permutation importance: how much worse a model becomes if the values of a column are shuffled (Breiman, 2001)."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.rows import Split
from kerascli.foundation.errors import ConfigError, safe_text, suggestion
from kerascli.metrics.comparisons import MetricUse, OutputTarget
from kerascli.report.reasons import Importance
from kerascli.training.evaluate import predict
from kerascli.training.objectives.objective import measured
from kerascli.workflow.evaluate import Compared
from kerascli.workflow.evaluation.facts import row_losses
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.why.column_groups import ColumnGroup, prepared, table_of

_BLOCKS, _RESAMPLES = 200, 500


def permutation_importance(
    run: LoadedRun, rows: Split, compared: Compared, groups: list[ColumnGroup], *, metric: str, repeats: int
) -> Iterator[Importance]:
    """Yield the importance of each group of columns.

    `compared` are the rows' targets and predictions, `metric` is `loss` or the name of a metric. The interval covers
    shuffles and rows: it is that of resamples of blocks of rows. Raises ConfigError.
    """
    measure, sign = _measure(compared, metric)
    table, count = table_of(rows), rows.rows
    blocks = np.array_split(np.arange(count), min(_BLOCKS, count))
    random = np.random.default_rng([run.experiment.spec.seed, 1])
    drawn = random.multinomial(len(blocks), [1 / len(blocks)] * len(blocks), _RESAMPLES)
    weights = np.concatenate([np.ones((1, len(blocks))), drawn])
    before = measure([y_pred for _, _, y_pred in compared], blocks, weights)
    for number, group in enumerate(groups):
        worse = np.zeros(len(weights))
        for repeat in range(repeats):
            order = np.random.default_rng([run.experiment.spec.seed, number, repeat]).permutation(count)
            shuffled = prepared(run, table.replaced(group.columns, order))
            source = rows_in_order(run.experiment, shuffled, metrics=False)
            outputs = predict(run.experiment.module, run.shared_batches(source), seed=run.experiment.spec.seed)
            after = measure([outputs[pair.output] for pair, _, _ in compared], blocks, weights)
            worse += sign * (after - before) / repeats
        yield Importance(group.name, float(worse[0]), *np.nanquantile(worse[1:], [0.025, 0.975]).tolist())


Measure = Callable[[list[Tensor], list[np.ndarray], np.ndarray], np.ndarray]
"""Function (predictions of each output, blocks of rows, weights (resamples, blocks)) -> value of each resample."""


def _measure(compared: Compared, metric: str) -> tuple[Measure, int]:
    """Return (function that measures predictions, 1 if a larger value is worse, else -1). Raises ConfigError."""
    if metric == "loss":
        return _loss(compared), 1
    uses = {pair.prefix + name: (number, use, at) for number, (pair, _, _) in enumerate(compared)
            for use in pair.metrics for at, name in enumerate(use.columns)}  # fmt: skip
    if metric not in uses:
        text = f"--metric: the run has no metric '{safe_text(metric)}'{suggestion(metric, ['loss', *uses])}"
        raise ConfigError(text, hint=f"it has loss, {', '.join(uses)}")
    number, use, at = uses[metric]
    pair, y_true, _ = compared[number]
    return _of_metric(number, pair, use, at, y_true), -1 if use.metric.direction == "max" else 1


def _loss(compared: Compared) -> Measure:
    if len(list(row_losses(compared))) < len(compared) or not compared:
        raise ConfigError("permutation: a loss has no value for each row", hint="--metric NAME takes a metric")

    def measure(predictions: list[Tensor], blocks: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
        own = [(pair, y_true, each) for (pair, y_true, _), each in zip(compared, predictions, strict=True)]
        total = torch.stack(list(row_losses(own))).sum(0).numpy()
        sums = np.array([total[block].sum() for block in blocks])
        return weights @ sums / (weights @ np.array([len(block) for block in blocks]))

    return measure


def _of_metric(number: int, pair: OutputTarget, use: MetricUse, at: int, y_true: Tensor) -> Measure:
    def measure(predictions: list[Tensor], blocks: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
        parts = (torch.from_numpy(block) for block in blocks)
        y_pred = predictions[number]
        states = [measured(use.metric, y_true[part], y_pred[part], None, None).double() for part in parts]
        sums = torch.from_numpy(weights).double() @ torch.stack(states).reshape(len(blocks), -1)
        values = (use.metric.elements(each.reshape(states[0].shape), only_defined=True)[at] for each in sums)
        return np.array([np.nan if value is None else value for value in values])

    return measure
