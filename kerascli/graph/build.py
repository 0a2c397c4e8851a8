"""A Model becomes shapes and modules: each layer is built and tried on the meta device, nothing is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kerascli.component import Invalid
from kerascli.errors import Fault, Related
from kerascli.graph.model import Model, Node
from kerascli.layers.base import BaseLayer, Layer, MergeLayer, Outcome, ShapeMismatch
from kerascli.shapes import Shape, TensorSpec

_BATCH_SIZES = (2, 3)
_UNKNOWN_SIZES = (96, 97)
"""What an unknown dimension is taken for: two sizes, since what differs in the results is unknown too."""


@dataclass(frozen=True, slots=True)
class Built:
    """The modules of a model's nodes, on the meta device, and the shape of every tensor by name."""

    model: Model
    modules: Mapping[str, nn.Module]
    specs: Mapping[str, TensorSpec]


def build(model: Model) -> Built:
    """Build every node in order. Raises Invalid with a fault for each node that does not fit."""
    specs: dict[str, TensorSpec] = {given.name: given.spec for given in model.inputs}
    modules: dict[str, nn.Module] = {}
    faults: list[Fault] = []
    for node in model.nodes:
        if any(name not in specs for name in node.used_names()):
            continue  # what it needs has failed already
        try:
            modules[node.name], results = _build_node(node, specs)
        except ShapeMismatch as mismatch:
            faults.append(_fault(mismatch, node, model, specs))
            continue
        specs.update({n: spec for n, spec in zip(node.outputs, results, strict=True) if n != "_"})
    if faults:
        raise Invalid(faults)
    return Built(model, modules, specs)


def _build_node(node: Node, specs: Mapping[str, TensorSpec]) -> tuple[nn.Module, tuple[TensorSpec, ...]]:
    inputs = tuple(specs[name] for name in node.inputs)
    layer = node.layer
    seen = tuple(_as_seen(layer, spec) for spec in inputs)
    with torch.device("meta"):
        module = make_module(layer, seen)
        module.eval()
        stated = layer.output_spec(seen)
        results = stated if stated is not None else _try_out(node, module, seen, specs)
    if len(results) != layer.result_count():
        raise AssertionError(f"{layer.component_name} returned {len(results)} results")
    return module, results


def make_module(layer: BaseLayer, inputs: tuple[TensorSpec, ...]) -> nn.Module:
    """The module of a layer called on `inputs`; call it under the meta device."""
    if isinstance(layer, MergeLayer):
        return layer.build(inputs)
    assert isinstance(layer, Layer)
    return layer.build(inputs[0])


def _as_seen(layer: BaseLayer, spec: TensorSpec) -> TensorSpec:
    if spec.is_integer and not layer.takes_integers:
        return TensorSpec(spec.shape, _name(torch.get_default_dtype()))
    return spec


def _try_out(
    node: Node, module: nn.Module, inputs: tuple[TensorSpec, ...], specs: Mapping[str, TensorSpec]
) -> tuple[TensorSpec, ...]:
    """Run the module twice, with two sizes for every unknown dimension."""
    runs = []
    for batch, unknown in zip(_BATCH_SIZES, _UNKNOWN_SIZES, strict=True):
        tensors = [_stand_in(spec, batch, unknown) for spec in inputs]
        call = {key: _call_stand_in(value, specs, batch, unknown) for key, value in node.call.items()}
        call.pop("training", None)
        call.pop("mask", None)
        try:
            with torch.no_grad():
                result = module(*tensors, **call)
        except (RuntimeError, IndexError, ValueError) as error:
            if isinstance(error, ShapeMismatch):
                raise
            raise ShapeMismatch(f"cannot take {' and '.join(map(str, inputs))}: {_first_sentence(error)}") from error
        if isinstance(result, Outcome):
            result = result.value
        runs.append(result if isinstance(result, tuple) else (result,))
    return tuple(_compare(first, second) for first, second in zip(*runs, strict=True))


def _stand_in(spec: TensorSpec, batch: int, unknown: int) -> Tensor:
    sizes = [unknown if size is None else size for size in spec.shape]
    return torch.empty((batch, *sizes), dtype=getattr(torch, spec.dtype), device="meta")


def _call_stand_in(value: Any, specs: Mapping[str, TensorSpec], batch: int, unknown: int) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _stand_in(specs[value], batch, unknown)
    return [_stand_in(specs[name], batch, unknown) for name in value]


def _compare(first: Tensor, second: Tensor) -> TensorSpec:
    if first.dim() == 0 or (first.shape[0], second.shape[0]) != _BATCH_SIZES:
        raise ShapeMismatch("mixes up the samples of a batch: its result does not have the batch as first axis")
    pairs = zip(first.shape[1:], second.shape[1:], strict=True)
    shape: Shape = tuple(a if a == b else None for a, b in pairs)
    return TensorSpec(shape, _name(first.dtype))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first_sentence(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _fault(mismatch: ShapeMismatch, node: Node, model: Model, specs: Mapping[str, TensorSpec]) -> Fault:
    """Name the node, and where its input comes from."""
    givers = {output: other for other in model.nodes for output in other.outputs}
    related = []
    for name in node.inputs:
        path = givers[name].path if name in givers else next(i.path for i in model.inputs if i.name == name)
        related.append(Related(f"{specs[name]} comes from '{name}'", path))
    text = f"'{node.name}' {mismatch.fault.text}"
    path = (*node.path, *mismatch.fault.path)
    return Fault(text, path, "key", hint=mismatch.fault.hint, related=tuple(related))
