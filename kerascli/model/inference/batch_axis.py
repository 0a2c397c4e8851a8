"""Shape inference of tensors without a batch axis (weights, sums over the batch), and of the outputs of layers called
on them."""

from collections.abc import Mapping, Sequence
from itertools import compress

from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import ShapeMismatch
from kerascli.model.ir.nodes import Model, Node


def sample_specs(node: Node, specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs (shape, dtype) of a node's inputs. If a tensor has no batch axis, its first axis is treated as
    one.

    This lets an encoder be called on a weight of pseudo-inputs. Raises ShapeMismatch if a layer takes both tensors
    with and without a batch axis.
    """
    given = tuple(specs[name] for name in node.inputs)
    if node.layer.call_form == "names":
        return given
    free = _may_lack_batch(node)
    used = {name: specs[name] for name in node.used_names() if name not in free}
    without = [name for name, spec in used.items() if not spec.batched]
    if without and len(without) < len(used):
        hint = f'combine them in a formula: expr: "broadcast_to({without[0]}, [batch_size, ...])"'
        if node.layer.call_form == "several":
            hint = f'combine them in a formula, where shapes broadcast: expr: "... + {without[0]}"'
        raise ShapeMismatch(f"needs inputs with a batch axis: '{without[0]}' {used[without[0]]} has none", hint=hint)
    if any(not used[name].shape for name in without):
        raise ShapeMismatch(f"needs inputs with a batch axis: '{without[0]}' is a scalar", hint="use it in a formula")
    return tuple(
        spec if spec.batched or name in free else TensorSpec(spec.shape[1:], spec.dtype)
        for name, spec in zip(node.inputs, given, strict=True)
    )


def _may_lack_batch(node: Node) -> set[str]:
    free = [node.layer.may_lack_batch(index) for index in range(len(node.inputs))]
    return set(compress(node.inputs, free)) - {name for name, one in zip(node.inputs, free, strict=True) if not one}


def batch_axis_hint(node: Node, specs: Mapping[str, TensorSpec]) -> str | None:
    """Return a hint for a shape mismatch if none of the node's inputs has a batch axis; otherwise None."""
    used = [specs[name] for name in node.used_names()]
    if node.layer.call_form == "names" or not used or any(spec.batched for spec in used):
        return None
    return f"'{node.inputs[0]}' has no batch axis: its first axis is taken as the batch here"


def output_faults(
    outputs: Sequence[str], model: Model, specs: Mapping[str, TensorSpec], at: str = "model.outputs"
) -> list[Fault]:
    """Return a config error for each output of a model that lacks a batch axis; `at` is the config key that lists the
    outputs."""
    places = {given.name: given.path for given in model.inputs}
    places |= {output: node.path for node in model.nodes for output in node.outputs}
    return [
        Fault(
            f"'{name}' {specs[name]} is an output, but has no batch axis: an output has one row per sample",
            places[name], "key", hint=f"name other nodes under {at}",
        )
        for name in outputs
        if name in specs and not specs[name].batched
    ]  # fmt: skip
