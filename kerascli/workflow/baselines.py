"""Baselines of a run: the mean of the training targets, the majority class, or an earlier value of a series.

A model should be better than its baselines. A model with an output that has no meaningful baseline has no baselines.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kerascli.config.run import RunSpec
from kerascli.data.base import States
from kerascli.data.batches.loader import Batch
from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.dates import Dates
from kerascli.data.pipeline.prepare import PreparedData, Stages, fitted_pipelines
from kerascli.data.section import DataSpec
from kerascli.data.sources.timeseries import Timeseries
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.table import Table
from kerascli.data.text.oov import OovCounts
from kerascli.data.transforms.datetime import date_formats
from kerascli.foundation.errors import DataError, Fault
from kerascli.foundation.events import Evaluated, Logs
from kerascli.losses.base import same_shape
from kerascli.losses.crossentropy import EPSILON
from kerascli.losses.regression import RegressionLoss
from kerascli.metrics.comparisons import OutputTarget
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.training.classes import is_classification_loss
from kerascli.training.objectives.objective import BaseObjective, full_precision

Baseline = Mapping[str, Tensor | str]
"""Mapping from output to a constant prediction (units,), or to the name of a target that holds one for each row."""
_MOST_UNITS = 1000
"""Maximum number of output units: run.json holds a number for each."""
_MOST_BLOCKS = 64
"""Maximum number of blocks of training rows that are read from the disk for their targets."""
_SEASONS = {"1 hour": ("day", 24), "1 day": ("week", 7), "1 month": ("year", 12), "3 months": ("year", 4)}
"""Mapping from the step of a series to its usual season: its name, and its length in steps."""
_DATED_ROWS = 1000
"""Number of rows whose dates show the step of a series."""


def target_means(spec: RunSpec, prepared: PreparedData, device: torch.device) -> dict[str, list[float]]:
    """Return a mapping from output to the mean of its target over the training rows; for classes, their frequencies.

    The mean is over all axes but that of the output's units, and weighted by sample weights. An output for which the
    mean is no meaningful prediction is left out. `device` is that of the targets' per-batch preprocessing.
    """
    return {pair.output: _mean(spec, pair, prepared, device) for pair in spec.pairs if _has_mean(spec, pair)}


def _has_mean(spec: RunSpec, pair: OutputTarget) -> bool:
    """Return True if a constant is a meaningful prediction of a target: of numbers or classes that are no inputs."""
    if spec.data is None or not (is_classification_loss(pair.loss) or isinstance(pair.loss, RegressionLoss)):
        return False
    is_input = set(spec.data.targets[pair.target].columns).issubset(spec.data.columns_of("inputs"))
    if is_input or getattr(pair.loss, "axis", -1) != -1:
        return False
    return (spec.built.specs[pair.output].shape or (1,))[-1] in range(1, _MOST_UNITS + 1)


def _mean(spec: RunSpec, pair: OutputTarget, prepared: PreparedData, device: torch.device) -> list[float]:
    shape = spec.built.specs[pair.output].shape or (1,)
    units = shape[-1] or 1
    is_sparse = units > 1 and not same_shape(prepared.facts.targets[pair.target].shape, shape)
    total, weights = torch.zeros(units, dtype=torch.float64), 0.0
    for values, sample_weight in prepared.splits["train"].targets_in_blocks(pair.target, _MOST_BLOCKS):
        target = prepared.target_stage({pair.target: torch.from_numpy(values).to(device)})[pair.target].cpu()
        samples = target.reshape(-1) if is_sparse else target.reshape(-1, units)
        weight = torch.from_numpy(np.ones(len(values)) if sample_weight is None else sample_weight).double().reshape(-1)
        weight = weight.repeat_interleave(len(samples) // len(weight))
        if pair.loss is not None and (counted := pair.loss.counted(samples)) is not None:
            weight, samples = weight[counted], samples[counted]
        total += torch.bincount(samples.long(), weight, units) if is_sparse else weight @ samples.double()
        weights += float(weight.sum())
    return (total / (weights or 1.0)).tolist()


def baselines_of(
    spec: RunSpec, stages: Stages, learned: States, means: Mapping[str, list[float]], rows: Split
) -> tuple[dict[str, Baseline], Split]:
    """Return (baselines of a run by name, rows with further targets: the values that some baselines predict).

    `rows` are the rows to evaluate, `stages` and `learned` have the fitted preprocessing, `means` are the run's
    `target_means`. If a model predicts the values after a window of a series, the baselines are the last value of the
    window and, if the series has a season, the value a season before.
    """
    if spec.compile is None or spec.compile.logged:  # losses of layers depend on the model
        return {}, rows
    choices: dict[str, list[tuple[str, Tensor | str]]] = {}
    for pair in (pair for pair in spec.pairs if pair.loss is not None or pair.metrics):
        choices[pair.output] = own = []
        if isinstance(rows, MemorySplit):
            for name, values in _earlier(spec, learned, pair, rows):
                own.append((name, f"{pair.target}, {name}"))  # no name that another target can have
                rows = replace(rows, targets={**rows.targets, own[-1][1]: values})
        if not own and pair.output in means:
            own.append(_constant(stages, pair, means[pair.output]))
    baselines: dict[str, Baseline] = {}
    for chosen in zip(*choices.values(), strict=False):
        name = ", ".join(dict.fromkeys(name for name, _ in chosen))
        baselines[name] = {output: values for output, (_, values) in zip(choices, chosen, strict=True)}
    return baselines, rows


def _constant(stages: Stages, pair: OutputTarget, mean: list[float]) -> tuple[str, Tensor]:
    """Return (name, constant prediction), from the mean of an output's target; logits, where the loss takes them."""
    values, loss = torch.tensor(mean, dtype=torch.float64), pair.loss
    if not is_classification_loss(loss):
        return "training mean", values
    number = int(values.argmax()) if len(mean) > 1 else int(mean[0] > 0.5)
    classes = stages.facts.targets[pair.target].classes or ()
    name = f"majority class {classes[number] if len(classes) == max(2, len(mean)) else number}"
    if getattr(loss, "from_logits", False):
        values = values.clamp(EPSILON, 1 - EPSILON)
        values = values.logit() if loss.predicts == "labels" else values.log()
    return "frequency of each label" if loss.predicts == "labels" and len(mean) > 1 else name, values


def _earlier(spec: RunSpec, learned: States, pair: OutputTarget, rows: MemorySplit) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, predictions) of each earlier value of a series that predicts a target of numbers, preprocessed as
    the target is."""
    data, origin, is_regression = spec.data, rows.origin, isinstance(pair.loss, RegressionLoss)
    if data is None or not isinstance(data.source, Timeseries) or origin is None or not is_regression:
        return
    pipeline = fitted_pipelines(data, learned)["targets", pair.target]
    for name, season in {"last value": None, **dict(_seasons(data, origin.table))}.items():
        earlier = ((column, data.source.earlier_values(origin.table, column, season)) for column in pipeline.columns)
        values = {column: each for column, each in earlier if each is not None}
        with suppress(DataError):  # a value that the target's preprocessing refuses, such as a missing one
            if len(values) == len(pipeline.columns):
                made = pipeline.prepare(Table(values, rows.rows, name=origin.table.name), OovCounts())
                module = pipeline.per_batch()
                yield name, made if module is None else module(torch.from_numpy(made)).numpy()


def _seasons(data: DataSpec, table: Table) -> Iterator[tuple[str, int]]:
    """Yield (name of the value a season before, season in rows) for a series whose dates have a step that suggests
    one."""
    by_split = dict.fromkeys(data.split.columns() if data.split else ())
    for column, form in {**by_split, **date_formats(data.inputs.values())}.items():
        values = in_memory(table.take(slice(0, _DATED_ROWS)).column(column))
        if (dates := Dates.of(values.reshape(len(values), -1)[:, 0], form)) is not None:
            step = str(replace(dates, times=np.unique(dates.times)).step())
            if step in _SEASONS:
                yield f"value a {_SEASONS[step][0]} before", _SEASONS[step][1]


def no_better(evaluated: Evaluated, directions: Mapping[str, str]) -> Iterator[Fault]:
    """Yield a warning for each baseline than which a model is better in no loss or metric.

    `directions` maps the names of losses and metrics to their better direction, `min` or `max`.
    """
    sign = {"max": 1, "min": -1}
    for name, logs in evaluated.baselines.items():
        if not any(sign[directions[key]] * (evaluated.logs[key] - value) > 0 for key, value in logs.items()):
            text = f"on '{evaluated.split}' the model is no better than a baseline: {name}"
            yield Fault(text, level="warning", hint="docs/bad_model.md says what to look at, and with which commands")


class BaselineMetrics:
    """Losses and metrics of baselines, computed with the same targets, weights and masks as those of the model."""

    def __init__(self, objective: BaseObjective, baselines: Mapping[str, Baseline]) -> None:
        self._objective = objective
        self._baselines = dict(baselines)

    def states(self, outcome: GraphOutcome, targets: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return the states of all baselines for a batch, which add up; `outcome` is that of the model's forward pass.

        Outputs with a mask have no constant as a baseline: the mean of the training targets is computed without it.
        """
        for name, each in list(self._baselines.items()):
            if any(isinstance(each.get(output), Tensor) for output in outcome.masks):
                del self._baselines[name]
        outcomes = [_predicted(outcome, each, batch) for each in self._baselines.values()]
        losses = [self._objective(each, targets, batch.sample_weight, batch.rows) for each in outcomes]
        return [state for loss in losses for state in loss.states]

    def results(self, sums: Sequence[Tensor]) -> dict[str, Logs]:
        """Return a mapping from baseline to its losses and metrics by name, given the summed states."""
        count = len(self._objective.metrics)
        starts = zip(self._baselines, range(0, len(sums), count), strict=False)
        return {name: self._objective.logged_values(sums[start : start + count]) for name, start in starts}


def _predicted(outcome: GraphOutcome, baseline: Baseline, batch: Batch) -> GraphOutcome:
    """Return the outcome of a forward pass with a baseline's predictions in place of the model's outputs."""
    outputs = dict(outcome.outputs)
    for output, values in baseline.items():
        like = full_precision(outputs[output])
        values = batch.targets[values].reshape(like.shape) if isinstance(values, str) else values
        outputs[output] = torch.zeros_like(like) + values.to(like)
    return replace(outcome, outputs=outputs)
