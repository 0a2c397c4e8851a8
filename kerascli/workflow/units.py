"""Convert predictions to the units of the raw columns, by inverting the preprocessing of targets."""

import math

import numpy as np

from kerascli.data.base import Inverse
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.classes import is_classification_loss
from kerascli.workflow.loaded import LoadedRun


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
    return lambda values: undo(values.reshape(len(values), *shape)).reshape(values.shape)


def significant(values: np.ndarray) -> np.ndarray:
    """Return values rounded to nine significant digits, the precision of the float32 numbers that they come from."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = 8 - np.floor(np.log10(np.abs(values)))
        factor = 10.0 ** np.abs(np.clip(digits, -300, 300))
        rounded = np.where(digits > 0, np.round(values * factor) / factor, np.round(values / factor) * factor)
    return np.where(np.isfinite(rounded), rounded, values)
