"""Results of an evaluation as JSON data, stored in the folder evaluations/ of a run's folder.

The command `report` shows them in an HTML page on the run.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.rows import Split
from kerascli.data.sources.timeseries import Timeseries
from kerascli.metrics.classification import Thresholds
from kerascli.metrics.comparisons import MetricUse, OutputTarget
from kerascli.runs.outputs import MOST_WORST
from kerascli.training.classes import class_numbers
from kerascli.training.objectives.objective import measured
from kerascli.workflow.evaluate import ClassScores, Compared, Evaluation
from kerascli.workflow.evaluation.groups import Group
from kerascli.workflow.loaded import LoadedRun, rows_digest

_MOST_CLASSES, _MOST_CONFUSIONS = 100, 200
"""Maximum sizes: of a confusion matrix, and of a list of confusions in its place."""
_CUTS, _POINTS, _BINS, _SERIES = 513, 512, 30, 256
_RESAMPLES, _BLOCKS = 200, 200
"""Number of resamples of an interval, and of the blocks of rows that they draw."""


@torch.inference_mode()
def evaluation_facts(
    run: LoadedRun, rows: Split, evaluation: Evaluation, groups: dict[str, list[Group]], checkpoint: str | None = None
) -> dict[str, Any]:
    """Return the results of an evaluation of rows as JSON data.

    `groups` maps columns to the evaluations of groups of rows. `checkpoint` is the name of the checkpoint that has the
    weights; None: they are the run's final weights.
    """
    scores = {each.output: each for each in evaluation.class_scores}
    compared = evaluation.compared
    outputs = {name: _of_classes(each) for name, each in scores.items()}
    outputs |= {pair.output: made for pair, *both, _ in compared if pair.output not in scores
                and (made := _of_values(run, pair, *both))}  # fmt: skip
    result = evaluation.result
    return {
        **identity(run, rows, checkpoint), "split": result.split, "rows": result.rows, "logs": dict(result.logs),
        "intervals": _intervals(run, compared), "in_units": evaluation.in_units, "baselines": result.baselines,
        "outputs": outputs, "worst": _worst(run, compared, scores),
        "groups": {column: {group.name: {"rows": group.rows, "logs": group.shown} for group in values}
                   for column, values in groups.items()},
    }  # fmt: skip


def identity(run: LoadedRun, rows: Split, checkpoint: str | None) -> dict[str, str | None]:
    """Return what tells the evaluation of rows from all others: digests of weights and rows, and the checkpoint."""
    weights = run.weights_digest if checkpoint else run.record.facts()["files"].get("model.safetensors")
    return {"checkpoint": checkpoint, "weights_sha256": weights, "rows_sha256": rows_digest(rows)}


def _of_classes(scores: ClassScores) -> dict[str, Any]:
    """Return the scores of an output that predicts classes: of each class, confusions, thresholds of two classes."""
    facts: dict[str, Any] = {"label": scores.label, "classes": [asdict(row) for row in scores.rows]}
    names, wrong = scores.names, scores.truth != scores.labels
    if len(names) <= _MOST_CLASSES:
        facts["matrix"] = scores.matrix.tolist()
    else:
        pairs, counts = np.unique(np.stack([scores.truth[wrong], scores.labels[wrong]]), axis=1, return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:_MOST_CONFUSIONS]
        found = zip(*pairs[:, largest].tolist(), counts[largest].tolist(), strict=True)
        facts["confusions"] = [[names[true], names[other], count] for true, other, count in found]
    if scores.thresholds is not None:
        facts |= {"positive": names[1], "threshold": scores.threshold, **_of_thresholds(scores.thresholds)}
    return facts


def _of_thresholds(scores: Thresholds) -> dict[str, Any]:
    """Return what becomes of the rows at thresholds that are quantiles of the predicted probabilities."""
    probability, truth = scores.probability, scores.truth.astype(bool)
    cuts = np.unique(np.quantile(probability.astype(np.float64), np.linspace(0, 1, _CUTS), method="lower"))
    above, total = np.sort(probability[truth]), int(truth.sum())
    others = np.sort(probability[~truth])
    hits = total - np.searchsorted(above, cuts.astype(probability.dtype), side="right")
    alarms = len(others) - np.searchsorted(others, cuts.astype(probability.dtype), side="right")
    return {
        "roc_auc": scores.roc_auc, "average_precision": scores.average_precision,
        "cuts": [list(cut) for cut in zip(cuts.tolist(), hits.tolist(), alarms.tolist(), strict=True)],
        "negatives_positives": [len(others), total], "calibration": scores.calibration(),
    }  # fmt: skip


def _of_values(run: LoadedRun, pair: OutputTarget, y_true: Tensor, y_pred: Tensor) -> dict[str, Any]:
    """Return true and predicted values of an output of numbers, and its residuals, in the units of the data."""
    if y_true.numel() != y_pred.numel() or math.prod(y_pred.shape[2:]) > 1 or not y_true.numel():
        return {}
    undo = run.inverse(pair) or (lambda values: values)
    rows = [undo(each.reshape(y_pred.shape).numpy()).astype(np.float64) for each in (y_true, y_pred)]
    true, predicted = (each.reshape(-1) for each in rows)
    finite = np.isfinite(true) & np.isfinite(predicted)
    if not finite.any():
        return {}
    true, predicted = true[finite], predicted[finite]
    residuals = predicted - true
    low, high, size = residuals.min(), residuals.max(), np.abs(residuals).max()
    margin = 0 if high - low > 1e-12 * size else 0.5 + 1e-6 * size  # bins wider than the rounding of their edges
    counts, edges = np.histogram(residuals, bins=_BINS, range=(low - margin, high + margin))
    drawn = np.sort(_random(run).choice(len(true), min(_POINTS, len(true)), replace=False))
    points = np.stack([true[drawn], predicted[drawn]], axis=1)
    bins = {"edges": edges.tolist(), "counts": counts.tolist()}
    facts: dict[str, Any] = {"points": points.tolist(), "residuals": bins}
    if run.data is not None and isinstance(run.data.source, Timeseries):
        facts["forecast"] = _forecast(rows[0], rows[1], run.data.source.horizon)
    return facts


def _forecast(true: np.ndarray, predicted: np.ndarray, horizon: int) -> dict[str, Any]:
    """Return what a model of a series predicts beside the truth, of its first column: one step ahead in the last rows
    or, if it predicts several steps, those of the last row; as points (number of the row or step, true, predicted)."""
    both = np.stack([each.reshape(len(true), horizon, -1)[:, :, 0] for each in (true, predicted)], axis=-1)
    shown = both[-_SERIES:, 0] if horizon == 1 else both[-1]
    first = 1 + (len(both) - len(shown) if horizon == 1 else 0)
    points = [[first + at, *pair] for at, pair in enumerate(shown.tolist()) if np.isfinite(pair).all()]
    return {"axis": "row" if horizon == 1 else "step", "points": points}


def row_losses(compared: Compared) -> Iterator[Tensor]:
    """Yield the weighted loss of each row, the mean of what its mask keeps, for the outputs whose loss has values of
    rows."""
    for pair, y_true, y_pred, mask in compared:
        if pair.loss is not None and len(y_true):
            values = pair.loss.model_copy(update={"reduction": "none"})(y_true, y_pred, mask=mask).detach()
            if values.dim() and len(values) == len(y_true):
                means = values.reshape(len(values), -1).double().mean(1) * pair.weight
                yield means if mask is None else means / mask.reshape(len(mask), -1).double().mean(1).clamp(1e-12)


def _worst(run: LoadedRun, compared: Compared, scores: Mapping[str, ClassScores]) -> list[dict[str, Any]]:
    """Return the rows with the largest losses, with what was predicted for them in place of the truth."""
    if not (losses := list(row_losses(compared))):
        return []
    total = torch.stack(losses).sum(0)
    worst = total.nan_to_num(torch.inf).argsort(descending=True, stable=True)[:MOST_WORST]
    columns: dict[str, list[Any]] = {"row": (worst + 1).tolist(), "loss": total[worst].tolist()}
    for pair, y_true, y_pred, _ in compared:
        prefix = f"{pair.output}: " if len(compared) > 1 else ""
        for kind, values in (("true", y_true), ("predicted", y_pred)):
            texts = _texts(run, pair, values[worst], scores.get(pair.output), is_true=kind == "true")
            columns |= {prefix + kind: texts} if texts else {}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _texts(
    run: LoadedRun, pair: OutputTarget, values: Tensor, scores: ClassScores | None, *, is_true: bool
) -> list[Any]:
    """Return targets or predictions of rows as names of classes or numbers; [] if they are more than one a row."""
    if scores is not None and (reading := run.reading(pair, values)) is not None:
        numbers = class_numbers(values) if is_true else reading.labels(reading.probabilities(values))
        names = dict(enumerate(scores.names))
        return [names.get(number, str(number)) for number in numbers.tolist()]  # a label that the loss ignores
    if values.numel() != len(values):
        return []
    undo = run.inverse(pair) or (lambda values: values)
    return undo(values.numpy()).reshape(-1).tolist()


def _intervals(run: LoadedRun, compared: Compared) -> dict[str, list[float]]:
    """Return a mapping from metric to the 95 % interval of its value over resamples of blocks of rows.

    The states of a metric add up over rows, so that a resample is a weighted sum of those of blocks. Weighted metrics
    of targets with sample weights, and outputs with axes that may be masked, are left out.
    """
    weighted, intervals = {} if run.data is None else run.data.sample_weight, dict[str, list[float]]()
    for pair, y_true, y_pred, _ in compared:
        if y_pred.dim() > 2 or len(y_true) < 2:
            continue
        blocks = torch.arange(len(y_true)).tensor_split(min(_BLOCKS, len(y_true)))
        drawn = _random(run).multinomial(len(blocks), [1 / len(blocks)] * len(blocks), _RESAMPLES)
        for use in (use for use in pair.metrics if not (use.weighted and pair.target in weighted)):
            for name, column in zip(use.columns, resampled(use, y_true, y_pred, blocks, drawn).T, strict=True):
                defined = column[~np.isnan(column)]
                if len(defined) > _RESAMPLES // 2:
                    intervals[pair.prefix + name] = np.quantile(defined, [0.025, 0.975]).tolist()
    return intervals


def resampled(
    use: MetricUse, y_true: Tensor, y_pred: Tensor, blocks: Sequence[Tensor], weights: np.ndarray
) -> np.ndarray:
    """Return the values (resamples, numbers of the metric) of a metric over resamples of rows, NaN where undefined.

    `y_true` and `y_pred` (rows, *) are of all rows, `blocks` the row indices of each block that is drawn as one, and
    `weights` (resamples, blocks) are the numbers of times that a resample has a block.
    """
    states = [measured(use.metric, y_true[block], y_pred[block], None, None).double() for block in blocks]
    sums = torch.from_numpy(weights).double() @ torch.stack(states).reshape(len(blocks), -1)
    return np.array([use.metric.elements(each.reshape(states[0].shape), only_defined=True) for each in sums], float)


def _random(run: LoadedRun) -> np.random.Generator:
    return np.random.default_rng(run.experiment.spec.seed or 0)
