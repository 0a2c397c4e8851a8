"""Values that a model would choke on in mid-training: class numbers and token ids out of range. Looked for before."""

from collections.abc import Iterator, Mapping

import numpy as np

from kerascli.data.prepare import Split
from kerascli.errors import DataError
from kerascli.graph.model import Node
from kerascli.layers.core.embedding import Embedding
from kerascli.losses.base import Loss
from kerascli.spec.compile import Goal
from kerascli.spec.run import RunSpec


def check_values(spec: RunSpec, splits: Mapping[str, Split]) -> None:
    """Raises DataError naming the split, the row (from 1) and the value. Data mapped from disk is not read for it."""
    for name, split in splits.items():
        for node in spec.model.nodes:
            for values in _token_ids(node, split):
                _refuse_tokens(node, values, name)
        for goal in spec.compile.goals if spec.compile is not None else ():
            if goal.target in split.targets and not isinstance(split.targets[goal.target], np.memmap):
                _refuse_labels(spec, goal, split.targets[goal.target], name)


def _token_ids(node: Node, split: Split) -> Iterator[np.ndarray]:
    """What an embedding looks up, where it looks up data as it is."""
    if isinstance(node.layer, Embedding):
        for name in node.inputs:
            values = split.inputs.get(name)
            if values is not None and values.dtype.kind in "iu" and not isinstance(values, np.memmap):
                yield values


def _refuse_tokens(node: Node, values: np.ndarray, split: str) -> None:
    assert isinstance(node.layer, Embedding)
    rows = node.layer.input_dim
    place = _outside(values, 0, rows - 1)
    if place is not None:
        row, value = place
        text = f"{split} row {row + 1}: '{node.inputs[0]}' holds {value}; the embedding '{node.name}' has rows 0 to {rows - 1}"
        raise DataError(text, hint=f"input_dim: {int(values.max()) + 1} would take every value of this split")


def _refuse_labels(spec: RunSpec, goal: Goal, values: np.ndarray, split: str) -> None:
    bounds = _bounds(goal.loss, spec.built.specs[goal.output].shape)
    if bounds is None:
        return
    low, high, words = bounds
    place = _outside(values, low, high)
    if place is not None:
        row, value = place
        raise DataError(f"{split} row {row + 1}: target '{goal.target}' is {value}; {words}")


def _bounds(loss: Loss | None, output: tuple[int | None, ...]) -> tuple[int, int, str] | None:
    if loss is None or getattr(loss, "ignore_class", None) is not None:
        return None
    if loss.sparse_targets and output and output[-1] is not None:
        return 0, output[-1] - 1, f"the {output[-1]} units of the output stand for the classes 0 to {output[-1] - 1}"
    if loss.component_name in {"binary_crossentropy", "binary_focal_crossentropy"}:
        return 0, 1, "binary targets are 0 or 1"
    return None


def _outside(values: np.ndarray, low: int, high: int) -> tuple[int, object] | None:
    """The first row with a value outside the bounds, and the value."""
    if values.size == 0 or (values.min() >= low and values.max() <= high):
        return None
    flat = values.reshape(len(values), -1)
    wrong = (flat < low) | (flat > high)
    row = int(wrong.any(axis=1).argmax())
    return row, flat[row][wrong[row]][0].item()
