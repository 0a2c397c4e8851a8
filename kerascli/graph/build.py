"""A Model becomes shapes and modules: each layer is built and tried on the meta device, nothing is allocated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related, first_line
from kerascli.graph.cells import DescribedRNN
from kerascli.graph.faults import used_here
from kerascli.graph.inputs import fits
from kerascli.graph.loop import build_loop
from kerascli.graph.model import Call, Model, Node
from kerascli.graph.weights import Made, weights_of
from kerascli.layers.base import (
    MAX_PARAMETERS,
    BaseLayer,
    Layer,
    MergeLayer,
    NamingLayer,
    Outcome,
    ShapeMismatch,
    WeightedModule,
)
from kerascli.layers.recurrent.base import SequenceModule
from kerascli.shapes import Shape, TensorSpec, show_shape

_BATCH_SIZES = (2, 3)
_UNKNOWN_SIZES = (720, 2160)
"""What an unknown dimension is taken for: two sizes, since what differs in the results is unknown too.

Far apart, so that strides do not make one of them; with many divisors, so that they can be reshaped.
"""
_UNKNOWN_STEPS = (96, 288)
"""The same for sequences, which recurrent layers go through step by step."""


@dataclass(frozen=True, slots=True)
class Built:
    """The modules of a model's nodes, on the meta device, and the shape of every tensor by name."""

    model: Model
    modules: Mapping[str, nn.Module]
    specs: Mapping[str, TensorSpec]


def build(model: Model, batch_size: int | None = None) -> Built:
    """Build every node in order. Raises Invalid with a fault for each node that does not fit.

    Layers that keep states from batch to batch do so for `batch_size` rows.
    """
    specs: dict[str, TensorSpec] = {given.name: given.spec for given in model.inputs}
    modules, faults = _build_nodes(
        model.nodes, specs, {given.name: given.path for given in model.inputs}, Made(batch_size)
    )
    faults = _with_refused_calls(model, specs, faults) + _too_many(model, modules)
    if faults:
        raise Invalid(faults)
    return Built(model, modules, specs)


def _build_nodes(
    nodes: Sequence[Node], specs: dict[str, TensorSpec], places: Mapping[str, Path], made: Made
) -> tuple[dict[str, nn.Module], list[Fault]]:
    """Build nodes in order, and add their results to `specs`; `places` says where what is in there is written."""
    modules: dict[str, nn.Module] = {}
    faults: list[Fault] = []
    failed: set[tuple[str, Path]] = set()
    places = {**places, **{output: node.path for node in nodes for output in node.outputs}}
    for node in nodes:
        if any(name not in specs for name in node.used_names()):
            continue  # what it needs has failed already
        try:
            if isinstance(node.layer, DescribedRNN):
                modules[node.name], results = build_loop(node, node.layer, specs, made, _build_nodes)
                if (first := made.owners.get(node.weights_name)) is not None:
                    _share_weights(modules[node.name], first, _taken(node, specs))
            else:
                modules[node.name], results = _build_node(node, specs, made)
        except ShapeMismatch as mismatch:
            if (mismatch.fault.text, node.path) not in failed:  # the same in another use of a block is told once
                faults.append(_fault(mismatch, node, places, specs))
            failed.add((mismatch.fault.text, node.path))
            continue
        except Invalid as invalid:
            faults += invalid.faults
            continue
        made.owners.setdefault(node.weights_name, modules[node.name])
        specs.update({n: spec for n, spec in zip(node.outputs, results, strict=True) if n != "_"})
    return modules, faults


def _with_refused_calls(model: Model, specs: Mapping[str, TensorSpec], faults: list[Fault]) -> list[Fault]:
    """Calls of shared models on what those say they do not take; what fails inside of such a call follows from it."""
    refused: list[Fault] = []
    for call in (entry for entry in model.entries if isinstance(entry, Call)):
        for (name, wanted), given in zip(call.of.inputs.items(), call.inputs, strict=False):
            spec = specs.get(given)
            if wanted is None or spec is None:
                continue
            if not fits(wanted.shape, spec.shape) or wanted.is_integer != spec.is_integer:
                text = f"'{call.of.name}' wants {wanted} of {wanted.dtype} as its input '{name}', got {spec}"
                text += f" of {spec.dtype}"
                refused.append(Fault(text, call.path, "key", related=(Related(f"'{call.of.name}'", call.of.path),)))
    paths = {fault.path for fault in refused}
    return refused + [fault for fault in faults if not paths.intersection(r.path for r in fault.related)]


def _too_many(model: Model, modules: Mapping[str, nn.Module]) -> list[Fault]:
    """A typing error in `units` must not take the machine down: nothing has been allocated yet."""
    counts = {
        node.name: {w.name: w.count for w in weights_of(modules[node.name], node.weights_name, trainable=True)}
        for node in model.nodes
        if node.name in modules
    }
    total = sum({name: count for own in counts.values() for name, count in own.items()}.values())
    if total <= MAX_PARAMETERS:
        return []
    largest = max(model.nodes, key=lambda node: sum(counts.get(node.name, {}).values()))
    most = sum(counts[largest.name].values())
    text = f"the model has {total:,} parameters, {most:,} of them in '{largest.name}'"
    return [Fault(f"{text}; the limit is {MAX_PARAMETERS:,}", largest.path, "key")]


def _build_node(node: Node, specs: Mapping[str, TensorSpec], made: Made) -> tuple[nn.Module, tuple[TensorSpec, ...]]:
    """The module and its results."""
    inputs = tuple(specs[name] for name in node.inputs)
    layer = node.layer
    _check_mask(node, specs)
    seen = tuple(_as_seen(layer, spec) for spec in inputs)
    with torch.device("meta"):
        module = make_module(layer, seen)
        module.eval()
        if layer.keeps_states():
            _keep_states(module, seen[0], made.batch_size)
        if (first := made.owners.get(node.weights_name)) is not None:  # of an earlier call
            _share_weights(module, first, _taken(node, specs))
        stated = layer.output_spec(seen)
        results = stated if stated is not None else _try_out(node, module, seen, specs)
    _refuse_undeclared(module)
    count = layer.results_of(node.call)
    if count is None and len(results) != len(node.outputs):
        is_one = len(node.outputs) == 1
        hint = None if is_one else "name every result; '_' drops one"
        wanted = "one tensor" if is_one else f"the {len(node.outputs)} tensors that 'outputs' names"
        raise ShapeMismatch(f"expected {wanted}, got {len(results)}", hint=hint)
    if len(results) != (len(node.outputs) if count is None else count):
        raise AssertionError(f"{layer.component_name} returned {len(results)} results")
    return module, results


def _keep_states(module: nn.Module, x: TensorSpec, rows: int | None) -> None:
    if rows is None:
        raise ShapeMismatch("cannot be stateful: there is no batch size that it could go by")
    for part in module.modules():
        if isinstance(part, SequenceModule) and part.sequence.stateful:
            part.keep_states(rows, tuple(size for size in x.shape[1:] if size is not None))


def _share_weights(module: nn.Module, first: nn.Module, taken: str) -> None:
    """Let a module, made for what this call is on, have the very weights of the first call's.

    They hold one dictionary of weights between them: what fills, moves or converts those of one does it for both.
    """
    for mine, theirs in zip(module.modules(), first.modules(), strict=True):
        if isinstance(mine, WeightedModule) and isinstance(theirs, WeightedModule):
            for name, spec in mine.weight_specs.items():
                known = theirs.weight_specs[name].shape
                if spec.shape != known:
                    text = f"has a {name} {show_shape(known)} from its first call, for {taken} it would be"
                    raise ShapeMismatch(f"{text} {show_shape(spec.shape)}", hint="call it on tensors of one shape")
        mine._parameters, mine._buffers = theirs._parameters, theirs._buffers


def _refuse_undeclared(module: nn.Module) -> None:
    """Weights that `add_weight` did not declare would be filled by nobody, named by nobody and saved by nobody."""
    declared = {
        id(getattr(m, name)) for m in module.modules() if isinstance(m, WeightedModule) for name in m.weight_specs
    }
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if id(tensor) not in declared:
            hint = "derive the module from WeightedModule and declare its weights by add_weight"
            raise ShapeMismatch(f"has a weight '{name}' that it does not declare", hint=hint)


def make_module(layer: BaseLayer, inputs: tuple[TensorSpec, ...]) -> nn.Module:
    """The module of a layer called on `inputs`; call it under the meta device."""
    if isinstance(layer, (MergeLayer, NamingLayer)):
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
    sizes = _UNKNOWN_SIZES if any(spec.rank > 2 for spec in inputs) else _UNKNOWN_STEPS
    for batch, unknown in zip(_BATCH_SIZES, sizes, strict=True):
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
            raise ShapeMismatch(f"cannot take {_taken(node, specs)}: {first_line(error).rstrip('.')}") from error
        if isinstance(result, Outcome):
            result = result.value
        runs.append(result if isinstance(result, tuple) else (result,))
    return tuple(_compare(first, second) for first, second in zip(*runs, strict=True))


def _check_mask(node: Node, specs: Mapping[str, TensorSpec]) -> None:
    """A mask given by hand has a value for each step of its input."""
    given = node.call.get("mask", ())
    names = (given,) if isinstance(given, str) else given
    assert not isinstance(names, bool)
    if len(names) > len(node.inputs):
        raise ShapeMismatch(f"takes a mask for each of {len(node.inputs)} inputs, got {len(names)}", argument="mask")
    for name, of in zip(names, node.inputs, strict=False):
        mask, x = specs[name], specs[of]
        steps = zip(mask.shape, x.shape, strict=False)
        if not 0 < mask.rank <= x.rank or any(None not in (a, b) and a != b for a, b in steps):
            text = f"needs a mask of {TensorSpec(x.shape[:1])} for an input of {x}, got {mask}"
            raise ShapeMismatch(text, argument="mask")


def _taken(node: Node, specs: Mapping[str, TensorSpec]) -> str:
    """What a node is called on, in words: (None, 5, 3) with initial_state (None, 4)."""
    words = " and ".join(str(specs[name]) for name in node.inputs)
    for key, value in node.call.items():
        names = [value] if isinstance(value, str) else [] if isinstance(value, bool) else value
        if names:
            words += f" with {key} {' and '.join(str(specs[name]) for name in names)}"
    return words


def _stand_in(spec: TensorSpec, batch: int, unknown: int) -> Tensor:
    sizes = [unknown if size is None else size for size in spec.shape]
    dtype = getattr(torch, spec.dtype) if spec.is_integer else torch.get_default_dtype()
    return torch.empty((batch, *sizes), dtype=dtype, device="meta")


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


def _fault(mismatch: ShapeMismatch, node: Node, places: Mapping[str, Path], specs: Mapping[str, TensorSpec]) -> Fault:
    """Name the node, and where what it is called on comes from."""
    related = tuple(Related(f"{specs[name]} is '{name}'", places[name]) for name in dict.fromkeys(node.used_names()))
    related += used_here(node.uses)
    path = (*node.path, *mismatch.fault.path)
    at = "value" if mismatch.fault.path else "key"
    verb = mismatch.fault.text.split()[0] in {"cannot", "has", "makes", "mixes", "needs", "takes"}
    text = f"'{node.name}'{'' if verb else ':'} {mismatch.fault.text}"
    return Fault(text, path, at, hint=mismatch.fault.hint, related=related, span=mismatch.fault.span)
