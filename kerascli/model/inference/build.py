"""Build the modules of a model and infer its shapes, on the meta device; build its views, which share its weights."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from kerascli.foundation.errors import Fault, Path, Related, used_here
from kerascli.foundation.light_torch import without_compiler
from kerascli.foundation.shapes import MAX_VALUES, Specs, TensorSpec, show_shape
from kerascli.language.component import Invalid, collected
from kerascli.layers.base import ShapeMismatch, WeightedModule
from kerascli.layers.recurrent.base import StatefulModule
from kerascli.layers.weight_spec import MAX_PARAMETERS
from kerascli.model.inference import shape_inference
from kerascli.model.inference.inner_models import make_module
from kerascli.model.inference.shape_inference import declared_outputs, infer_outputs, output_faults
from kerascli.model.ir.analysis import called_in
from kerascli.model.ir.gradients import check_gradients
from kerascli.model.ir.nodes import Call, Entry, Model, Node, flat
from kerascli.model.runtime.built import Built, CompositeModule, Modules, submodules_of


@without_compiler()
def build(model: Model, shared: Modules | None = None, batch_size: int | None = None) -> Built:
    """Build a model on the meta device: a module for each node, and the inferred shapes of all tensors.

    `shared` maps weight name prefixes to modules of another model: a node with one of these prefixes shares the
    module's weights. Stateful layers keep states for `batch_size` samples. Without inputs, of weights alone,
    the first axis of an output counts as its rows. Raises Invalid with all config errors, such as one for each
    node that cannot be called on its inputs.
    """
    specs: dict[str, TensorSpec] = {each.name: each.spec for each in (*model.inputs, *model.targets)}
    modules: dict[str, nn.Module] = {}
    owners: dict[str, nn.Module] = dict(shared or {})
    cache: shape_inference.SpecCache = {}
    faults: dict[tuple[str, Path], Fault] = {}
    for entry in model.entries:
        refused = _refused_inputs(entry, specs) if isinstance(entry, Call) else {}
        faults |= refused
        for node in () if refused else flat([entry]):
            if any(name not in specs for name in node.used_names()):
                continue  # one of its inputs has failed already
            try:
                modules[node.name], results = _build_node(node, specs, owners, cache, batch_size)
                check_gradients(node, model.nodes, specs)
            except (Invalid, ShapeMismatch) as error:
                new = _faults(error, node, model, specs)
                faults |= {key: new[key] for key in new if key not in faults}  # one for all uses of a block
                continue
            for part in submodules_of(node, modules[node.name]):
                owners.setdefault(part.name, part.module)
            specs.update(zip(node.outputs, results, strict=True))
            specs.pop("_", None)
    specs |= {} if model.inputs else _as_rows(model.outputs, specs)
    if problems := [*faults.values(), *_too_many(model, modules), *output_faults(model.outputs, model, specs)]:
        raise Invalid(problems)
    return Built(model, modules, specs, owners)


def _as_rows(outputs: Sequence[str], specs: Specs) -> dict[str, TensorSpec]:
    """Return the specs of outputs without a batch axis, with the first axis as one."""
    own = ((name, specs[name]) for name in outputs if name in specs and specs[name].shape)
    return {name: TensorSpec(spec.shape[1:], spec.dtype) for name, spec in own if not spec.batched}


def _refused_inputs(call: Call, specs: Specs) -> dict[tuple[str, Path], Fault]:
    """Return a config error for each input of a call of a shared model that is not as the model declares it."""
    refused = {}
    for (name, declared), tensor in zip(call.of.inputs.items(), call.inputs, strict=False):
        if declared is None or (spec := specs.get(tensor)) is None:
            continue
        if not shape_inference.fits(declared, spec if spec.batched else TensorSpec(spec.shape[1:], spec.dtype)):
            text = f"'{call.of.name}' expects {declared} of {declared.dtype} as its input '{name}', got {spec} of "
            fault = Fault(text + spec.dtype, call.path, "key", related=(Related(f"'{call.of.name}'", call.of.path),))
            refused[fault.text, fault.path] = fault
    return refused


def _too_many(model: Model, modules: Modules) -> list[Fault]:
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
    node: Node, specs: Specs, owners: Modules, cache: shape_inference.SpecCache, batch_size: int | None
) -> tuple[nn.Module, tuple[TensorSpec, ...]]:
    """Return a node's module and the specs (shape, dtype) of its outputs. If the node calls a layer again, the module
    shares the weights of `owners`, the modules of the earlier calls."""
    layer = node.layer
    seen = shape_inference.module_inputs(node, specs)
    _check_mask(node, specs)
    with torch.device("meta"):
        module = make_module(layer, seen, build)
        module.eval()
        if layer.keeps_states():
            _keep_states(module, seen[0], batch_size)
        for part in submodules_of(node, module):
            if part.name in owners:
                _share_weights(part.module, owners[part.name], shape_inference.show_inputs(node, specs))
        stated = module.results if isinstance(module, CompositeModule) else layer.output_spec(seen)
        results = infer_outputs(node, module, specs, cache) if stated is None else declared_outputs(stated, node, specs)
    _refuse_undeclared(module)
    _refuse_huge(results)
    if len(results) != len(node.outputs):
        if layer.results_of(node.call) is not None:
            raise AssertionError(f"{layer.component_name} returned {len(results)} tensors")
        is_one = len(node.outputs) == 1
        hint = None if is_one else "name each of them; '_' discards one"
        expected = "one tensor" if is_one else f"the {len(node.outputs)} tensors that 'outputs' names"
        raise ShapeMismatch(f"expected {expected}, got {len(results)}", hint=hint)
    return module, results


def _refuse_huge(results: Sequence[TensorSpec]) -> None:
    """Raise ShapeMismatch for layer outputs of more than MAX_VALUES values per sample, such as by a typo in a size."""
    for result in results:
        if (values := math.prod(size or 1 for size in result.shape)) > MAX_VALUES:
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
                shape = theirs.weight_specs[name].shape
                if spec.shape != shape:
                    text = f"has a {name} of shape {show_shape(shape)} from its first call; for {shown} it would be"
                    raise ShapeMismatch(f"{text} {show_shape(spec.shape)}", hint="call it on tensors of one shape")
        mine._parameters, mine._buffers = theirs._parameters, theirs._buffers


def _refuse_undeclared(module: nn.Module) -> None:
    """Raise ShapeMismatch for weights not declared by `add_weight`: they would be neither initialized nor saved."""
    inner = (each for each in module.modules() if isinstance(each, WeightedModule))
    declared = {id(getattr(each, name)) for each in inner for name in each.weight_specs}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if id(tensor) not in declared:
            hint = "derive the module from WeightedModule and declare its weights by add_weight"
            raise ShapeMismatch(f"has a weight '{name}' that it does not declare", hint=hint)


def _check_mask(node: Node, specs: Specs) -> None:
    """Raise ShapeMismatch unless a call's mask has the same leading axes as its input; if it has all axes, they may
    also be of size 1."""
    names = node.call_names.get("mask", ())
    if len(names) > len(node.inputs):
        raise ShapeMismatch(f"takes one mask for each of {len(node.inputs)} inputs, got {len(names)}", argument="mask")
    for name, of in zip(names, node.inputs, strict=False):
        mask, x = specs[name], specs[of]
        stretched = 1 if mask.rank == x.rank else None
        steps = zip(mask.shape, x.shape, strict=False)
        if not 0 < mask.rank <= x.rank or any(None not in (a, b) and a not in (b, stretched) for a, b in steps):
            text = f"needs a mask of {TensorSpec(x.shape[:1])} for an input of {x}, got {mask}"
            raise ShapeMismatch(text, argument="mask")


def _faults(error: Invalid | ShapeMismatch, node: Node, model: Model, specs: Specs) -> dict[tuple[str, Path], Fault]:
    """Return the config errors that an exception holds for a node or for nodes inside it, by (message, config path).

    The keys (text, path) are those by which equal config errors are recognized. A mismatch's error shows the shapes of
    the node's inputs, and where they come from.
    """
    uses = used_here(use.path for use in node.uses)
    if isinstance(error, Invalid):
        noted = (replace(each, related=tuple(dict.fromkeys((*each.related, *uses)))) for each in error.faults)
        return {(fault.text, fault.path): fault for fault in noted}
    fault, places = error.fault, model.places
    related = [Related(f"{specs[name]} is '{name}'", places[name]) for name in dict.fromkeys(node.used_names())]
    verb = fault.text.split()[0] in {"cannot", "has", "makes", "mixes", "needs", "takes"}
    text = f"'{node.name}'{'' if verb else ':'} {fault.text}"
    path, at = (*node.path, *fault.path), "value" if fault.path else "key"
    return {(fault.text, node.path): Fault(text, path, at, hint=fault.hint, related=(*related, *uses), span=fault.span)}


def build_views(model: Model, owners: Modules, batch_size: int | None = None) -> dict[str, Built]:
    """Build a model's views (submodels that share its weights), and return them by name. Raises Invalid.

    `owners` maps weight name prefixes to the modules of the model, and of its `train_step`, that have these weights; a
    view with other weights is a config error. Stateful layers keep states for `batch_size` samples.
    """
    faults: list[Fault] = []
    views: dict[str, Built] = {}
    for name, view in model.views.items():
        with collected(faults):
            views[name] = build(view.model, owners, batch_size)
            faults += [_own_weights(e, name) for e in view.entries if _has_own_weights(e, views[name], owners)]
    if faults:
        raise Invalid(faults)
    return views


def _own_weights(entry: Entry, view: str) -> Fault:
    if isinstance(entry, Call):
        text = f"'{entry.of.name}' is called by the view '{view}' only, so it would never be trained"
        return Fault(text, entry.path, "key", hint="call it in model.layers, or in an update of fit.train_step")
    text = f"'{entry.name}' has weights that the model does not have: a view cannot have weights of its own"
    hint = f"move it to model.layers, or to model.shared to call it there and in '{view}'"
    return Fault(text, entry.path, "key", hint=hint)


def _has_own_weights(entry: Entry, built: Built, owners: Modules, shared: tuple[str, ...] = ()) -> bool:
    """Return True if a node or call has weights that are neither in `owners` nor have a name that begins with one of
    `shared`."""
    parts = (part for node in flat([entry]) for part in submodules_of(node, built.modules[node.name]))
    own = (part for part in parts if part.name not in owners and not f"{part.name}/".startswith(shared))
    return any(any(part.weights()) for part in own)


def build_forward_pass(model: Model, owners: Modules) -> Built:
    """Build the modules of a forward pass of `fit.train_step`, which share the main model's weights. Raises Invalid.

    `owners` maps weight name prefixes to the modules that have these weights; a weight that is neither in `owners` nor
    in a shared layer or model is a config error.
    """
    built = build(model, owners)
    faults: list[Fault] = []
    for entry in (entry for entry in model.entries if isinstance(entry, Node)):
        if _has_own_weights(entry, built, owners, tuple(f"{name}/" for name in called_in([entry]))):
            text = f"'{entry.name}' would have weights of its own, which the model does not have"
            hint = "move it to model.shared, and call it here by its name"
            faults.append(Fault(text, entry.path, "key", hint=hint))
    if faults:
        raise Invalid(faults)
    return built
