"""Build the module of a layer; a custom cell, or a shared model in a wrapper, is built as a model of its own."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import nn

from kerascli.foundation.errors import Fault, Related
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.layers.base import BaseLayer, NotSequences, ShapeMismatch
from kerascli.layers.nesting import build_inner
from kerascli.layers.wrappers.time_distributed import TimeDistributed, TimeDistributedModule
from kerascli.model.inference.shape_inference import fits, output_faults
from kerascli.model.ir.inner_models import Cell, CustomCellRNN, SharedModelLayer
from kerascli.model.ir.nodes import Input, Model, Shared
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.inner_models import Loop, SharedModelModule

Build = Callable[[Model], Built]


def make_module(layer: BaseLayer, inputs: tuple[TensorSpec, ...], build: Build) -> nn.Module:
    """Return the module of a layer for inputs of the given shapes and dtypes, on the meta device.

    `build` builds the models inside the layer, such as a custom cell. Raises ShapeMismatch, or Invalid for nodes of
    these models.
    """
    match layer:
        case CustomCellRNN():
            return _loop(layer, inputs, build)
        case TimeDistributed(layer=SharedModelLayer() as shared):
            step, make = layer.step(inputs[0]), partial(make_module, build=build)
            return TimeDistributedModule(shared, build_inner(shared, step, trainable=layer.trainable, make=make))
        case SharedModelLayer():
            return _shared(layer.shared, inputs[0], build)
        case _:
            return layer.build_for(inputs)


def _shared(shared: Shared, x: TensorSpec, build: Build) -> nn.Module:
    name, declared = next(iter(shared.inputs.items()))
    if declared is not None and not fits(declared, x):
        raise ShapeMismatch(f"needs {declared} of {declared.dtype} for each time step, got {x} of {x.dtype}")
    return SharedModelModule(build(Model((Input(name, x),), shared.entries, shared.outputs, shared.shared)))


def _loop(layer: CustomCellRNN, xs: tuple[TensorSpec, ...], build: Build) -> nn.Module:
    cell = layer.cell
    sequences, constants, initial = layer.split_inputs(xs)
    steps = _steps(sequences)
    _check_initial_states(cell, layer.initial_states, initial)
    seen = {name: TensorSpec(x.shape[1:], x.dtype) for name, x in zip(cell.inputs, sequences, strict=True)}
    seen |= dict(zip(cell.constants, constants, strict=True))
    inputs = [Input(name, spec, cell.path) for name, spec in seen.items()]
    inputs += [Input(state.name, TensorSpec(state.shape), state.path) for state in cell.states]
    entries = cell.entries if layer.trainable else tuple(entry.frozen() for entry in cell.entries)
    built = build(Model(tuple(inputs), entries, ()))
    faults = [*_changed_states(cell, built), *output_faults(cell.outputs, built.model, built.specs, "cell.outputs")]
    if faults:
        raise Invalid(faults)
    module = Loop(layer, built)
    outputs = [built.specs[name] for name in cell.outputs]
    if layer.return_sequences:
        outputs = [TensorSpec((steps, *one.shape), one.dtype) for one in outputs]
    states = [TensorSpec(state.shape) for state in cell.states] if layer.return_state else []
    module.results = (*outputs, *states)
    return module


def _steps(sequences: Sequence[TensorSpec]) -> int | None:
    """Return the number of time steps that sequences have in common; None if unknown. Raises ShapeMismatch."""
    for x in sequences:
        if x.rank < 1 or (x.rank < 2 and not x.is_integer):
            raise NotSequences(x)
    lengths = {x.shape[0] for x in sequences} - {None}
    if len(lengths) > 1:
        raise ShapeMismatch(f"needs sequences of one length, got {' and '.join(map(str, sequences))}")
    return next(iter(lengths), None)


def _check_initial_states(cell: Cell, names: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    shapes = {state.name: state.shape for state in cell.states}
    for name, spec in zip(names, specs, strict=True):
        if spec.shape != shapes[name]:
            text = f"needs an initial state {TensorSpec(shapes[name])} for '{name}', got {spec}"
            raise ShapeMismatch(text, argument="initial_state")


def _changed_states(cell: Cell, built: Built) -> Iterator[Fault]:
    """Yield a config error for each state of a custom cell whose next value has another shape, or integer values."""
    for state, name in zip(cell.states, cell.next, strict=True):
        spec, declared = built.specs[name], TensorSpec(state.shape)
        related = (Related(f"state '{state.name}' is declared", state.path),)
        path = (*cell.path, "next", state.name)
        if spec.whole != declared.whole:
            text = f"state '{state.name}' is {declared}, but its next value '{name}' is {spec}"
            yield Fault(text, path, related=related)
        elif spec.is_integer:
            text = f"state '{state.name}' is floating point, but its next value '{name}' is {spec.dtype}"
            yield Fault(text, path, hint="cast(..., 'float32') in an expr", related=related)
