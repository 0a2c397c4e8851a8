"""Baselines of a run: the mean of the training targets, the majority class, or an earlier value of a series.

They answer whether a model is any good. Outputs without a meaningful baseline have none.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kerascli.config.run import RunSpec
from kerascli.data.base import States
from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.dates import Dates, parsed_times
from kerascli.data.pipeline.prepare import PreparedData, Stages, fitted_pipelines
from kerascli.data.section import DataSpec
from kerascli.data.sources.timeseries import NEXT, Timeseries
from kerascli.data.storage.table import Table
from kerascli.data.text.oov import OovCounts
from kerascli.data.transforms.datetime import DateTime
from kerascli.foundation.errors import DataError, Fault
from kerascli.foundation.events import Evaluated
from kerascli.losses.base import same_shape
from kerascli.losses.crossentropy import EPSILON
from kerascli.losses.regression import RegressionLoss
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.baselines import Baseline
from kerascli.training.classes import is_classification_loss

_MOST_UNITS = 1000
"""Maximum number of output units: run.json holds a number for each."""
_MOST_BLOCKS = 64
"""Maximum number of blocks of training rows that are read from the disk for their targets."""
_DATED_ROWS = 1000
"""Number of rows whose dates show the step of a series."""


def target_means(spec: RunSpec, prepared: PreparedData, device: torch.device) -> dict[str, list[float]]:
    """Return a mapping from output to the mean of its target over the training rows: for classes, their frequencies.

    The mean is over all axes but that of the output's units, and weighted by sample weights. An output for which it is
    no meaningful prediction is left out. `device` is that of the targets' per-batch preprocessing.
    """
    return {pair.output: _mean(spec, pair, prepared, device) for pair in spec.pairs if _has_mean(spec, pair)}


def _has_mean(spec: RunSpec, pair: OutputTarget) -> bool:
    """Return True if the mean of an output's target is a meaningful prediction: of numbers, or of few classes."""
    loss = pair.loss
    if spec.data is None or not (is_classification_loss(loss) or isinstance(loss, RegressionLoss)):
        return False
    inputs = {column for pipeline in spec.data.inputs.values() for column in pipeline.columns}
    is_reconstruction = inputs.issuperset(spec.data.targets[pair.target].columns)
    return not is_reconstruction and getattr(loss, "axis", -1) == -1 and _units(spec, pair) in range(1, _MOST_UNITS + 1)


def _units(spec: RunSpec, pair: OutputTarget) -> int | None:
    output = spec.built.specs[pair.output].shape
    return output[-1] if output else 1


def _mean(spec: RunSpec, pair: OutputTarget, prepared: PreparedData, device: torch.device) -> list[float]:
    shape, units = spec.built.specs[pair.output].shape, _units(spec, pair) or 1
    is_sparse = units > 1 and not same_shape(prepared.facts.targets[pair.target].shape, shape)
    total, weights = torch.zeros(units, dtype=torch.float64), 0.0
    for values, sample_weight in prepared.splits["train"].targets_in_blocks(pair.target, _MOST_BLOCKS):
        target = prepared.target_stage({pair.target: torch.from_numpy(values).to(device)})[pair.target].cpu()
        samples = target.reshape(-1) if is_sparse else target.reshape(-1, units)
        weight = torch.ones(len(samples), dtype=torch.float64)
        if sample_weight is not None:
            each = torch.from_numpy(sample_weight).double().reshape(len(values), -1)
            weight = each.repeat_interleave(len(samples) // each.numel(), 1).reshape(-1)
        if pair.loss is not None and (counted := pair.loss.counted(samples)) is not None:
            samples, weight = samples[counted], weight[counted]
        total += torch.bincount(samples.long(), weight, units) if is_sparse else weight @ samples.double()
        weights += float(weight.sum())
    return (total / weights).tolist() if weights else [math.nan] * units


def baselines_of(
    spec: RunSpec, stages: Stages, learned: States, means: Mapping[str, list[float]], rows: Split
) -> tuple[list[Baseline], Split]:
    """Return a run's baselines for rows, and the rows with further targets: the values that the baselines predict.

    `means` are the run's `target_means`. For the values after windows of a series they are the last value of the
    window and, if the series has a season, the value a season before.
    """
    lagged: dict[str, list[tuple[str, Tensor | str]]] = {}
    further: dict[str, np.ndarray] = {}
    for pair, name, values in _earlier_values(spec, learned, rows):
        key = f"{pair.target}, {name}"  # no name of a target in a config
        lagged.setdefault(pair.output, []).append((name, key))
        further[key] = values
    choices: dict[str, list[tuple[str, Tensor | str]]] = {
        pair.output: [_constant(stages, pair, means[pair.output])] for pair in spec.pairs if pair.output in means
    }
    choices |= lagged
    chosen = [
        {output: each[min(number, len(each) - 1)] for output, each in choices.items()}
        for number in range(max(map(len, choices.values()), default=0))
    ]
    targets, columns = {pair.output: pair.target for pair in spec.pairs}, frozenset(_columns(spec, choices))
    baselines = [
        Baseline(
            ", ".join(dict.fromkeys(name for name, _ in each.values())),
            {output: predictions for output, (_, predictions) in each.items()}, targets, columns,
        )
        for each in chosen
    ]  # fmt: skip
    return baselines, replace(rows, targets={**rows.targets, **further}) if isinstance(rows, MemorySplit) else rows


def _columns(spec: RunSpec, outputs: Iterable[str]) -> Iterator[str]:
    """Yield the names of the losses and metrics that depend on no outputs but `outputs`."""
    compared = [pair for pair in spec.pairs if pair.loss is not None or pair.metrics]
    if all(pair.output in outputs for pair in compared):
        yield "loss"
    for pair in (pair for pair in compared if pair.output in outputs):
        yield f"{pair.output}_loss"
        yield from (pair.prefix + column for use in pair.metrics for column in use.columns)


def _constant(stages: Stages, pair: OutputTarget, mean: list[float]) -> tuple[str, Tensor]:
    """Return (name, constant prediction) made of the mean of an output's target; of logits, where the loss takes
    them."""
    values = torch.tensor(mean, dtype=torch.float64)
    if not is_classification_loss(pair.loss):
        return "training mean", values
    number = int(values.argmax()) if len(mean) > 1 else int(mean[0] > 0.5)
    names = stages.facts.targets[pair.target].classes or ()
    name = f"majority class {names[number] if len(names) == max(2, len(mean)) else number}"
    if pair.loss.predicts == "labels" and len(mean) > 1:
        name = "frequency of each label"
    if getattr(pair.loss, "from_logits", False):
        values = values.clamp(EPSILON, 1 - EPSILON)
        values = values.logit() if pair.loss.predicts == "labels" else values.log()
    return name, values


def _earlier_values(spec: RunSpec, learned: States, rows: Split) -> Iterator[tuple[OutputTarget, str, np.ndarray]]:
    """Yield (output and target, name, predictions) of each earlier value of a series that predicts a target of numbers,
    preprocessed as the target is."""
    data, origin = spec.data, rows.origin
    if data is None or not isinstance(data.source, Timeseries) or not isinstance(rows, MemorySplit) or origin is None:
        return
    season = _season(data, data.source, origin.table)
    names = {"last value": None} | ({} if season is None else {f"value {season[1]} before": season[0]})
    pipelines = {each.named.name: each for each in fitted_pipelines(data, learned) if each.named.section == "targets"}
    for pair in (pair for pair in spec.pairs if isinstance(pair.loss, RegressionLoss)):
        for name, lag in names.items():
            steps = data.source.earlier_steps(lag)
            columns = {each: _at(data.source, origin.table, each, steps) for each in pipelines[pair.target].columns}
            values = {each: found for each, found in columns.items() if found is not None}
            with suppress(DataError):  # a value that the target's preprocessing refuses, such as a missing one
                if len(values) == len(columns):
                    table = Table(values, rows.rows, name=origin.table.name)
                    yield pair, name, pipelines[pair.target].prepare(table, OovCounts())


def _at(source: Timeseries, table: Table, column: str, steps: list[int] | None) -> np.ndarray | None:
    """Return the values at time steps of the windows of a series, in the form of the column `NAME_next` of its next
    values; None if they are unknown."""
    own = column.removesuffix(NEXT)
    if steps is None or own == column or own not in table:
        return None
    values = [source.values_at(table.column(own), step) for step in steps]
    present = [each for each in values if each is not None]
    if len(present) < len(values):
        return None
    return present[0] if source.horizon == 1 else np.stack(present, 1)[..., None]


def _season(data: DataSpec, source: Timeseries, table: Table) -> tuple[int, str] | None:
    """Return the season of a series, as a number of rows and in words, if its dates have a step that suggests one."""
    formats: dict[str, str | None] = dict.fromkeys(data.split.columns() if data.split else ())
    for pipeline in data.inputs.values():
        if pipeline.steps and isinstance(first := pipeline.steps[0].transform, DateTime):
            formats[pipeline.columns[0]] = first.format
    for column, form in formats.items():
        values = table.column(column)
        texts = source.values_at(values) if values.shape[1:] else np.asarray(values)
        if texts is not None and texts.dtype == object:
            shown = texts[:_DATED_ROWS].tolist()
            step = Dates(shown, form, np.unique(parsed_times(shown, form))).step()
            if step is not None and (season := step.season()) is not None:
                return season
    return None


def worse_than_baselines(evaluated: Evaluated, directions: Mapping[str, str]) -> Iterator[Fault]:
    """Yield a warning if a model is better than a baseline in no loss or metric; `directions` are `min` or `max`."""

    def is_better(name: str, value: float) -> bool:
        own = evaluated.logs[name]
        return own > value if directions[name] == "max" else own < value

    names = [
        name for name, logs in evaluated.baselines.items() if logs and not any(map(is_better, logs, logs.values()))
    ]
    if names:
        text = f"on '{evaluated.split}' the model is no better than a baseline: {', '.join(names)}"
        yield Fault(text, level="warning", hint="docs/bad_model.md says what to look at, and with which commands")
