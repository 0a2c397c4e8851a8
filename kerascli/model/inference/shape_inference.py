"""Infer the shapes of a node's outputs by running its module on the meta device, which computes no values."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kerascli.foundation.errors import Fault, first_line
from kerascli.foundation.shapes import Specs, TensorSpec, is_compatible
from kerascli.layers.base import BaseLayer, Outcome, ShapeMismatch
from kerascli.layers.trial import BATCH_SIZES, MIXED, compared, dtype_name, stand_in, unknown_sizes
from kerascli.model.ir.nodes import Model, Node


def module_inputs(node: Node, specs: Specs) -> tuple[TensorSpec, ...]:
    """Return the specs (shape without the batch axis, dtype) of a node's inputs as its module gets them.

    `specs` maps names of tensors to their specs. If no input has a batch axis, the first axis of each is treated as the
    batch axis, which lets an encoder be called on a trainable tensor. Inputs of formulas, and those that the layer
    accepts without a batch axis, keep their specs. Raises ShapeMismatch if a layer takes tensors both with and without
    a batch axis, or a scalar without one.
    """
    if node.layer.call_form == "names":
        return tuple(specs[name] for name in node.inputs)
    free = _may_lack_batch(node)
    used = {name: specs[name] for name in node.used_names() if name not in free}
    without = [name for name, spec in used.items() if not spec.batched]
    if without and len(without) < len(used):
        hint = f'combine them in a formula, where shapes broadcast: expr: "... + {without[0]}"'
        raise ShapeMismatch(f"needs inputs with a batch axis: '{without[0]}' {used[without[0]]} has none", hint=hint)
    if any(not used[name].shape for name in without):
        raise ShapeMismatch(f"needs inputs with a batch axis: '{without[0]}' is a scalar", hint="use it in a formula")
    samples = {name: TensorSpec(used[name].shape[1:], used[name].dtype) for name in without}
    return tuple(_as_module_input(node.layer, samples.get(name, specs[name])) for name in node.inputs)


def _may_lack_batch(node: Node) -> set[str]:
    bound = {name for index, name in enumerate(node.inputs) if not node.layer.may_lack_batch(index)}
    return {*node.inputs} - bound


def output_faults(outputs: Sequence[str], model: Model, specs: Specs, at: str = "model.outputs") -> Iterator[Fault]:
    """Yield a config error for each name in `outputs`, a model's outputs, whose tensor has no batch axis.

    `specs` maps tensor names to specs (shape, dtype), `at` is the config key that lists the outputs.
    """
    for name in outputs:
        if name in specs and not specs[name].batched:
            text = f"'{name}' {specs[name]} is an output, but has no batch axis: an output has one row per sample"
            yield Fault(text, model.places[name], "key", hint=f"name other nodes under {at}")


def fits(declared: TensorSpec, spec: TensorSpec) -> bool:
    """Return True if a tensor of the spec `spec` (shape, dtype) is allowed for an input declared as `declared`."""
    return is_compatible(declared.shape, spec.shape) and declared.is_integer == spec.is_integer


def _as_module_input(layer: BaseLayer, spec: TensorSpec) -> TensorSpec:
    """Return the spec (shape, dtype) of an input as a layer's module gets it: floats if it takes no integers."""
    if spec.is_integer and not layer.takes_integers:
        return TensorSpec(spec.shape, dtype_name(torch.get_default_dtype()), spec.batched)
    return spec


def declared_outputs(stated: tuple[TensorSpec, ...], node: Node, specs: Specs) -> tuple[TensorSpec, ...]:
    """Return the specs (shape, dtype) of a node's outputs, from those that its layer declares (`stated`).

    The layer declares them for inputs with a batch axis. If the node's input has, by its spec in `specs`, no batch
    axis, the input's first axis is added to each shape, and the spec is marked as one without a batch axis.
    """
    of = specs[node.inputs[0]] if node.inputs else None
    if of is None or of.batched:
        return stated
    return tuple(TensorSpec((of.shape[0], *spec.shape), spec.dtype, batched=False) for spec in stated)


SpecCache = dict[Any, tuple[TensorSpec, ...]]
"""Type of the cache of output specs: of several equal layers called on tensors of equal specs, only the first one is
run."""


def infer_outputs(node: Node, module: nn.Module, specs: Specs, cache: SpecCache) -> tuple[TensorSpec, ...]:
    """Infer the specs (shape, dtype) of a node's outputs by two runs, with different sizes of unknown dimensions.

    `specs` maps tensor names to specs. `cache` has the results of equal layers on equal inputs, and gets this node's.
    """
    if (key := _key(node, specs)) not in cache or key is None:
        cache[key] = _infer_outputs(node, module, specs)
    return cache[key]


def _key(node: Node, specs: Specs) -> Any:
    """Return a node's key in the cache of output specs: layer, input specs, call arguments; None for user code and
    formulas."""
    if type(node.layer).__module__.partition(".")[0] != "kerascli" or node.layer.call_form == "names":
        return None
    tensors = tuple((key, tuple(specs[name] for name in names)) for key, names in node.call_names.items())
    key = (node.layer, tuple(specs[name] for name in node.inputs), tensors, tuple(node.call_flags.items()))
    try:
        hash(key)
    except TypeError:  # a setting is a mapping
        return None
    return key


def _infer_outputs(node: Node, module: nn.Module, specs: Specs) -> tuple[TensorSpec, ...]:
    inputs = [_as_module_input(node.layer, specs[name]) for name in node.inputs]
    sizes = unknown_sizes(inputs)
    runs = [_run_on_meta(node, module, inputs, specs, *pair) for pair in zip(BATCH_SIZES, sizes, strict=True)]
    free = node.layer.call_form == "names" or not any(spec.batched for spec in inputs)
    outputs = tuple(compared(first, second, may_lack_batch=free) for first, second in zip(*runs, strict=True))
    if any(not spec.batched and None in spec.shape for spec in outputs):  # an unknown size, or that of the batch?
        again = _run_on_meta(node, module, inputs, specs, BATCH_SIZES[1], sizes[0])
        if any(a.shape != b.shape for a, b, spec in zip(runs[0], again, outputs, strict=True) if not spec.batched):
            raise ShapeMismatch(MIXED)
    return outputs


def _run_on_meta(
    node: Node, module: nn.Module, inputs: Sequence[TensorSpec], specs: Specs, batch: int, unknown: int
) -> tuple[Tensor, ...]:
    """Return a node's outputs on the meta device for `batch` samples; unknown dimensions have size `unknown`."""
    tensors = [stand_in(spec, batch, unknown) for spec in inputs]
    call: dict[str, Any] = {key: value for key, value in node.call_flags.items() if key not in node.unseen_masks}
    for key, names in node.call_names.items():
        made = [stand_in(specs[name], batch, unknown) for name in names]
        call[key] = made[0] if isinstance(node.call[key], str) else made
    for key in ("training", "mask"):
        call.pop(key, None)
    try:
        with torch.no_grad():
            result = module(*tensors, **call)
    except ShapeMismatch:
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        if "multiplication overflow" in str(error):
            raise ShapeMismatch(f"needs more memory than any machine has for {show_inputs(node, specs)}") from error
        raise ShapeMismatch(f"cannot take {show_inputs(node, specs)}: {first_line(error).rstrip('.')}") from error
    result = result.value if isinstance(result, Outcome) else result
    return result if isinstance(result, tuple) else (result,)


def show_inputs(node: Node, specs: Specs) -> str:
    """Return the shapes of a node's inputs and call arguments as text: `(None, 5, 3) with initial_state (None, 4)`.

    `specs` maps the name of each tensor of the graph to its spec (shape, dtype).
    """
    words = " and ".join(str(specs[name]) for name in node.inputs)
    for key, names in node.call_names.items():
        words += f" with {key} {' and '.join(str(specs[name]) for name in names)}" if names else ""
    return words
