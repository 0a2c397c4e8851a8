"""Values that a model would choke on in mid-training: class numbers and token ids out of range. Looked for before."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from kerascli.data.on_disk import Rows
from kerascli.data.pipeline import Stage
from kerascli.data.rows import MemorySplit, Split
from kerascli.errors import DataError, Fault
from kerascli.graph.model import Node
from kerascli.layers.core.embedding import Embedding
from kerascli.losses.base import Loss
from kerascli.spec.compile import Goal
from kerascli.spec.run import RunSpec


def check_values(spec: RunSpec, splits: Mapping[str, Split], input_stage: Stage, target_stage: Stage) -> None:
    """Raises DataError naming the value and its place in the file; without a file, the split and the row (from 1).

    Rows on disk are looked at when they are read. What a stage still changes in the batch is not judged.
    """
    for name, split in splits.items():
        split.watch(partial(_check, spec, name, (input_stage, target_stage)))


def _check(spec: RunSpec, name: str, stages: tuple[Stage, Stage], split: MemorySplit, rows: Rows) -> None:
    input_stage, target_stage = stages
    graphs = [spec.built, *(each.built for each in spec.steps.rounds)] if spec.steps is not None else [spec.built]
    for node in (node for graph in graphs for node in graph.model.nodes):
        if not isinstance(node.layer, Embedding):
            continue
        values = _final(split.inputs, node.inputs[0], input_stage)
        if values is not None and values.dtype.kind in "iu":
            _refuse_tokens(node, node.layer.input_dim, values, partial(_refusal, split, name, rows))
    for goal in spec.compile.goals if spec.compile is not None else ():
        values = _final(split.targets, goal.target, target_stage)
        if values is not None:
            _refuse_labels(spec, goal, values, partial(_refusal, split, name, rows))


def _final(values: Mapping[str, np.ndarray], name: str, stage: Stage) -> np.ndarray | None:
    """An input or target that reaches the model as it is."""
    return None if name in stage.names else values.get(name)


Refusal = Callable[..., DataError]
"""`_refusal` of a split."""


def _refusal(
    split: MemorySplit, named: str, rows: Rows, values: np.ndarray, at: tuple[str, str, int, int], text: str,
    *, hint: str | None = None,
) -> DataError:  # fmt: skip
    """The error for one value: `at` is its section, name, row and index in the row."""
    section, name, row, index = at
    if split.origin is None:
        return DataError(f"{named} row {_number(rows, row)}: {text}", hint=hint)
    place = split.origin.place(section, name, row, index, values[0].size)
    return DataError(Fault(text, place=place, hint=hint))


def _refuse_tokens(node: Node, entries: int, values: np.ndarray, refusal: Refusal) -> None:
    place = _outside(values, 0, entries - 1)
    if place is not None:
        row, index, value = place
        text = f"'{node.inputs[0]}' holds {value}; the embedding '{node.name}' has rows 0 to {entries - 1}"
        hint = f"input_dim: {int(values.max()) + 1}, or more, would take it"
        raise refusal(values, ("inputs", node.inputs[0], row, index), text, hint=hint)


def _refuse_labels(spec: RunSpec, goal: Goal, values: np.ndarray, refusal: Refusal) -> None:
    bounds = _bounds(goal.loss, spec.built.specs[goal.output].shape)
    if bounds is None:
        return
    low, high, words = bounds
    place = _outside(values, low, high)
    if place is not None:
        row, index, value = place
        raise refusal(values, ("targets", goal.target, row, index), f"target '{goal.target}' is {value}; {words}")


def _bounds(loss: Loss | None, output: tuple[int | None, ...]) -> tuple[int, int, str] | None:
    if loss is None or getattr(loss, "ignore_class", None) is not None:
        return None
    if loss.sparse_targets and output and output[-1] is not None:
        return 0, output[-1] - 1, f"the {output[-1]} units of the output stand for the classes 0 to {output[-1] - 1}"
    if loss.component_name in {"binary_crossentropy", "binary_focal_crossentropy"}:
        return 0, 1, "binary targets are 0 or 1"
    return None


def _outside(values: np.ndarray, low: int, high: int) -> tuple[int, int, object] | None:
    """The first row with a value outside the bounds, which of its values that is, and the value."""
    if values.size == 0 or (values.min() >= low and values.max() <= high):
        return None
    flat = values.reshape(len(values), -1)
    wrong = (flat < low) | (flat > high)
    row = int(wrong.any(axis=1).argmax())
    index = int(wrong[row].argmax())
    return row, index, flat[row][index].item()


def _number(rows: Rows, place: int) -> int:
    """Which row of the split stands at a place among `rows`, from 1."""
    return 1 + (rows.start + place if isinstance(rows, slice) else int(rows[place]))
