"""Convert predictions and metrics to the units of the raw columns, by inverting the preprocessing of targets."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from kerascli.data.base import Inverse
from kerascli.data.batches.loader import Batch
from kerascli.metrics.comparisons import MetricUse, OutputTarget
from kerascli.metrics.distances import MeanAbsoluteError
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.training.classes import is_classification_loss
from kerascli.training.objectives.objective import full_precision, measured
from kerascli.workflow.loaded import LoadedRun

_DEFAULT = (MetricUse("mean_absolute_error", MeanAbsoluteError(), weighted=False, columns=("mean_absolute_error",)),)
"""Metrics to report in the units of the raw column for an output without metrics in the config."""


def inverse_of(run: LoadedRun, pair: OutputTarget) -> Inverse | None:
    """Return the function that converts a model output to its target's units (undoes normalization ...), or None.

    `pair` names the output and its target. None is returned if the output has no such units: it predicts classes, the
    preprocessing cannot be inverted, or the output has not the shape of its target (such as the parameters of a
    distribution).
    """
    undo = run.stages.inverses.get(pair.target)
    if undo is None or pair.loss is None or is_classification_loss(pair.loss):
        return None
    shape = [size for size in run.stages.facts.targets[pair.target].shape if size is not None]
    if math.prod(shape) != math.prod(size or 0 for size in run.experiment.spec.built.specs[pair.output].shape):
        return None

    def inverse(values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # exp of what a bad model predicts: infinite, and reported as such
            return undo(values.reshape(len(values), *shape)).reshape(values.shape)

    return inverse


def significant(values: np.ndarray) -> np.ndarray:
    """Return values rounded to nine significant digits, the precision of the float32 numbers that they come from."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = 8 - np.floor(np.log10(np.abs(values)))
        factor = 10.0 ** np.abs(np.clip(digits, -300, 300))
        rounded = np.where(digits > 0, np.round(values * factor) / factor, np.round(values / factor) * factor)
    return np.where(np.isfinite(rounded), rounded, values)


class MetricsInUnits:
    """Metrics in units of the raw columns, of the targets whose preprocessing can be inverted."""

    def __init__(self, run: LoadedRun) -> None:
        pairs = run.experiment.spec.pairs
        self._outputs = [(pair, pair.metrics or _DEFAULT, undo) for pair in pairs if (undo := inverse_of(run, pair))]

    def states(self, outcome: GraphOutcome, targets: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return the metric states of a batch, which add up; `outcome` and `targets` are those of its forward pass."""
        states: list[Tensor] = []
        for pair, metrics, undo in self._outputs:
            values = (targets[pair.target], full_precision(outcome.outputs[pair.output]))
            y_true, y_pred = (torch.from_numpy(undo(each.cpu().numpy())) for each in values)
            factors = (batch.sample_weight.get(pair.target), outcome.masks.get(pair.output))
            weight, mask = (None if each is None else each.cpu() for each in factors)
            states += [measured(use.metric, y_true, y_pred, weight if use.weighted else None, mask) for use in metrics]
        return states

    def results(self, sums: Iterator[Tensor], *, only_defined: bool = False) -> dict[str, dict[str, float]]:
        """Return a mapping from target to a mapping from metric to value, given the summed states, which are consumed.

        With `only_defined`, metrics that are undefined for the rows are left out.
        """
        results: dict[str, dict[str, float]] = {}
        for pair, metrics, _ in self._outputs:
            results[pair.target] = {}
            for use in metrics:
                values = zip(
                    use.columns, use.metric.elements(next(sums).double(), only_defined=only_defined), strict=True
                )
                results[pair.target] |= {name: value for name, value in values if value is not None}
        return results
