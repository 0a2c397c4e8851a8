"""Build the modules of a Model and infer its shapes: each layer is built and run on the meta device, without allocating
memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from kerascli.foundation.errors import Fault, Path, Related, used_here
from kerascli.foundation.light_torch import without_compiler
from kerascli.foundation.shapes import MAX_VALUES, TensorSpec, is_compatible, show_shape
from kerascli.language.component import Invalid
from kerascli.layers.base import ShapeMismatch, WeightedModule
from kerascli.layers.recurrent.base import StatefulModule
from kerascli.layers.weight_spec import MAX_PARAMETERS
from kerascli.model.inference.batch_axis import batch_axis_hint, output_faults, sample_specs
from kerascli.model.inference.inner_models import make_module
from kerascli.model.inference.shape_inference import (
    SpecCache,
    as_module_input,
    declared_outputs,
    infer_outputs,
    show_inputs,
)
from kerascli.model.ir.nodes import Call, Model, Node
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.submodules import CompositeModule, submodules_of


@without_compiler()
def build(model: Model, known: Mapping[str, nn.Module] | None = None, batch_size: int | None = None) -> Built:
    """Return the model as `Built`: with a module for each node, built in order, and the inferred shapes of the nodes'
    outputs.

    `known` are modules of another model, by the names of their weights: nodes with the same names share their
    weights. Stateful layers keep states for `batch_size` samples. Raises Invalid with a config error for each node that
    does not fit.
    """
    specs: dict[str, TensorSpec] = {given.name: given.spec for given in (*model.inputs, *model.targets)}
    modules: dict[str, nn.Module] = {}
    owners: dict[str, nn.Module] = dict(known or {})
    cache: SpecCache = {}
    faults: list[Fault] = []
    failed: set[tuple[str, Path]] = set()
    for node in model.nodes:
        if any(name not in specs for name in node.used_names()):
            continue  # one of its inputs has failed already
        try:
            modules[node.name], results = _build_node(node, specs, owners, cache, batch_size)
        except (Invalid, ShapeMismatch) as error:
            found = _faults(error, node, model, specs)
            faults += [fault for key, fault in found.items() if key not in failed]
            failed.update(found)  # a fault in a block is reported once for all its uses
            continue
        for part in submodules_of(node, modules[node.name]):
            owners.setdefault(part.name, part.module)
        specs.update({n: spec for n, spec in zip(node.outputs, results, strict=True) if n != "_"})
    faults = _with_refused_calls(model, specs, faults) + _too_many(model, modules)
    faults += output_faults(model.outputs, model, specs)
    if faults:
        raise Invalid(faults)
    return Built(model, modules, specs, owners)


def _with_refused_calls(model: Model, specs: Mapping[str, TensorSpec], faults: list[Fault]) -> list[Fault]:
    """Return config errors: one for each call of a shared model whose inputs are not as declared, and the `faults`
    outside of such calls."""
    refused: list[Fault] = []
    for call in (entry for entry in model.entries if isinstance(entry, Call)):
        for (name, wanted), given in zip(call.of.inputs.items(), call.inputs, strict=False):
            spec = specs.get(given)
            if wanted is None or spec is None:
                continue
            shape = spec.shape if spec.batched else spec.shape[1:]
            if not is_compatible(wanted.shape, shape) or wanted.is_integer != spec.is_integer:
                text = f"'{call.of.name}' expects {wanted} of {wanted.dtype} as its input '{name}', got {spec}"
                text += f" of {spec.dtype}"
                refused.append(Fault(text, call.path, "key", related=(Related(f"'{call.of.name}'", call.of.path),)))
    paths = {fault.path for fault in refused}
    return refused + [fault for fault in faults if not paths.intersection(r.path for r in fault.related)]


def _too_many(model: Model, modules: Mapping[str, nn.Module]) -> list[Fault]:
    """Return a config error if the model has more than MAX_PARAMETERS parameters (say, by a typo in `units`)."""
    counts = {
        part.name: (sum(weight.count for weight in part.weights()), node)
        for node in model.nodes
        if node.name in modules
        for part in submodules_of(node, modules[node.name])
    }
    total = sum(count for count, _ in counts.values())
    if total <= MAX_PARAMETERS:
        return []
    count, largest = max(counts.values(), key=lambda pair: pair[0])
    text = f"the model has {total:,} parameters, {count:,} of them in '{largest.name}'"
    return [Fault(f"{text}; the limit is {MAX_PARAMETERS:,}", largest.path, "key")]


def _build_node(
    node: Node,
    specs: Mapping[str, TensorSpec],
    owners: Mapping[str, nn.Module],
    cache: SpecCache,
    batch_size: int | None,
) -> tuple[nn.Module, tuple[TensorSpec, ...]]:
    """Return a node's module and the specs (shape, dtype) of its outputs. If the node calls a layer again, the module
    shares the weights of `owners`, the modules of the earlier calls."""
    layer = node.layer
    seen = tuple(as_module_input(layer, spec) for spec in sample_specs(node, specs))
    _check_mask(node, specs)
    with torch.device("meta"):
        module = make_module(layer, seen, build)
        module.eval()
        if layer.keeps_states():
            _keep_states(module, seen[0], batch_size)
        for part in submodules_of(node, module):
            if part.name in owners:
                _share_weights(part.module, owners[part.name], show_inputs(node, specs))
        stated = module.results if isinstance(module, CompositeModule) else layer.output_spec(seen)
        results = infer_outputs(node, module, specs, cache) if stated is None else declared_outputs(stated, node, specs)
    _refuse_undeclared(module)
    _refuse_huge(results)
    count = layer.results_of(node.call)
    if count is None and len(results) != len(node.outputs):
        is_one = len(node.outputs) == 1
        hint = None if is_one else "name each of them; '_' discards one"
        wanted = "one tensor" if is_one else f"the {len(node.outputs)} tensors that 'outputs' names"
        raise ShapeMismatch(f"expected {wanted}, got {len(results)}", hint=hint)
    if len(results) != (len(node.outputs) if count is None else count):
        raise AssertionError(f"{layer.component_name} returned {len(results)} tensors")
    return module, results


def _refuse_huge(results: Sequence[TensorSpec]) -> None:
    """Raise ShapeMismatch for layer outputs of more than MAX_VALUES values per sample, such as by a typo in a size."""
    for result in results:
        values = math.prod(size or 1 for size in result.shape)
        if values > MAX_VALUES:
            raise ShapeMismatch(f"has an output {result} of {values:,} values per sample; the limit is {MAX_VALUES:,}")


def _keep_states(module: nn.Module, x: TensorSpec, rows: int | None) -> None:
    if rows is None:
        raise ShapeMismatch("cannot be stateful here: the batch size is unknown")
    for part in module.modules():
        if isinstance(part, StatefulModule) and part.stateful:
            part.keep_states(rows, tuple(size for size in x.shape[1:] if size is not None))


def _share_weights(module: nn.Module, first: nn.Module, shown: str) -> None:
    """Make the module of a further call of a shared layer use the weights of the first call's module.

    Both hold the same dictionaries of parameters and buffers: initializing, moving or converting one applies to both.
    """
    for mine, theirs in zip(module.modules(), first.modules(), strict=True):
        if isinstance(mine, WeightedModule) and isinstance(theirs, WeightedModule):
            for name, spec in mine.weight_specs.items():
                known = theirs.weight_specs[name].shape
                if spec.shape != known:
                    text = f"has a {name} of shape {show_shape(known)} from its first call; for {shown} it would be"
                    raise ShapeMismatch(f"{text} {show_shape(spec.shape)}", hint="call it on tensors of one shape")
        mine._parameters, mine._buffers = theirs._parameters, theirs._buffers


def _refuse_undeclared(module: nn.Module) -> None:
    """Raise ShapeMismatch for weights not declared by `add_weight`: they would be neither initialized nor saved."""
    declared = {
        id(getattr(m, name)) for m in module.modules() if isinstance(m, WeightedModule) for name in m.weight_specs
    }
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if id(tensor) not in declared:
            hint = "derive the module from WeightedModule and declare its weights by add_weight"
            raise ShapeMismatch(f"has a weight '{name}' that it does not declare", hint=hint)


def _check_mask(node: Node, specs: Mapping[str, TensorSpec]) -> None:
    """Raise ShapeMismatch unless a call's mask has the same leading axes as its input; if it has all axes, they may
    also be of size 1."""
    given = node.call.get("mask", ())
    if isinstance(given, bool):
        return
    names = (given,) if isinstance(given, str) else given
    if len(names) > len(node.inputs):
        raise ShapeMismatch(f"takes one mask for each of {len(node.inputs)} inputs, got {len(names)}", argument="mask")
    for name, of in zip(names, node.inputs, strict=False):
        mask, x = specs[name], specs[of]
        stretched = 1 if mask.rank == x.rank else None
        steps = zip(mask.shape, x.shape, strict=False)
        if not 0 < mask.rank <= x.rank or any(None not in (a, b) and a not in (b, stretched) for a, b in steps):
            text = f"needs a mask of {TensorSpec(x.shape[:1])} for an input of {x}, got {mask}"
            raise ShapeMismatch(text, argument="mask")


def _faults(
    error: Invalid | ShapeMismatch, node: Node, model: Model, specs: Mapping[str, TensorSpec]
) -> dict[tuple[str, Path], Fault]:
    """Return the config errors that an exception holds for a node or for nodes inside it, by (message, config path).

    The keys (text, path) are those by which equal config errors are recognized.
    """
    uses = used_here(node.uses)
    if isinstance(error, ShapeMismatch):
        return {(error.fault.text, node.path): _fault(error, node, model, specs, uses)}
    return {
        (fault.text, fault.path): replace(fault, related=tuple(dict.fromkeys((*fault.related, *uses))))
        for fault in error.faults
    }


def _fault(
    mismatch: ShapeMismatch, node: Node, model: Model, specs: Mapping[str, TensorSpec], uses: tuple[Related, ...]
) -> Fault:
    """Return the config error of a node that cannot take its inputs; it shows the inputs' shapes and where
    they come from."""
    places = {given.name: given.path for given in (*model.inputs, *model.targets)}
    places |= {output: other.path for other in model.nodes for output in other.outputs}
    related = tuple(Related(f"{specs[name]} is '{name}'", places[name]) for name in dict.fromkeys(node.used_names()))
    path = (*node.path, *mismatch.fault.path)
    at = "value" if mismatch.fault.path else "key"
    verb = mismatch.fault.text.split()[0] in {"cannot", "has", "makes", "mixes", "needs", "takes"}
    text = f"'{node.name}'{'' if verb else ':'} {mismatch.fault.text}"
    hint = batch_axis_hint(node, specs) or mismatch.fault.hint
    return Fault(text, path, at, hint=hint, related=(*related, *uses), span=mismatch.fault.span)
