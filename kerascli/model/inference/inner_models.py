"""Build the module of a layer; a custom cell, or a shared model in a wrapper, is built as a model of its own."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import nn

from kerascli.foundation.errors import Fault, Related
from kerascli.foundation.shapes import TensorSpec, is_compatible
from kerascli.language.component import Invalid
from kerascli.layers.base import BaseLayer, NotSequences, ShapeMismatch
from kerascli.layers.nesting import build_inner
from kerascli.layers.wrappers.time_distributed import TimeDistributed, TimeDistributedModule
from kerascli.model.inference.batch_axis import output_faults
from kerascli.model.ir.cells import Cell
from kerascli.model.ir.nodes import Input, Model
from kerascli.model.ir.rnn import CustomCellRNN
from kerascli.model.ir.shared_layer import SharedPart
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.loop import Loop
from kerascli.model.runtime.shared_layer import SharedLayerModule, SharedModelModule

Build = Callable[[Model], Built]


def make_module(layer: BaseLayer, inputs: tuple[TensorSpec, ...], build: Build) -> nn.Module:
    """Return the module of a layer called on `inputs`, on the meta device; `build` builds the models inside the layer.

    Raises ShapeMismatch, or Invalid for nodes of models inside it.
    """
    match layer:
        case CustomCellRNN():
            return _loop(layer, inputs, build)
        case TimeDistributed(layer=SharedPart() as shared):
            step, make = layer.step(inputs[0]), partial(make_module, build=build)
            return TimeDistributedModule(shared, build_inner(shared, step, trainable=layer.trainable, make=make))
        case SharedPart():
            return _shared(layer, inputs[0], build)
        case _:
            return layer.build_for(inputs)


def _shared(part: SharedPart, x: TensorSpec, build: Build) -> nn.Module:
    shared = part.shared
    if shared.layer is not None:
        module = make_module(shared.layer, (x,), build)
        return SharedLayerModule(shared.weights, module, trainable=shared.layer.trainable)
    name, wanted = next(iter(shared.inputs.items()))
    if wanted is not None and (not is_compatible(wanted.shape, x.shape) or wanted.is_integer != x.is_integer):
        raise ShapeMismatch(f"needs {wanted} of {wanted.dtype} for each time step, got {x} of {x.dtype}")
    return SharedModelModule(build(Model((Input(name, x),), shared.entries, shared.outputs, shared.shared)))


def _loop(layer: CustomCellRNN, xs: tuple[TensorSpec, ...], build: Build) -> nn.Module:
    cell = layer.cell
    sequences, constants, given = layer.split_inputs(xs)
    steps = _steps(sequences)
    _check_given(cell, layer.given, given)
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
    module.results = _results(layer, built, steps)
    return module


def _results(layer: CustomCellRNN, built: Built, steps: int | None) -> tuple[TensorSpec, ...]:
    outputs = tuple(built.specs[name] for name in layer.cell.outputs)
    if layer.return_sequences:
        outputs = tuple(TensorSpec((steps, *one.shape), one.dtype) for one in outputs)
    states = tuple(TensorSpec(state.shape) for state in layer.cell.states) if layer.return_state else ()
    return outputs + states


def _steps(sequences: Sequence[TensorSpec]) -> int | None:
    """Return the number of time steps that sequences have in common; None if unknown. Raises ShapeMismatch."""
    for x in sequences:
        if x.rank < 1 or (x.rank < 2 and not x.is_integer):
            raise NotSequences(x)
    known = {x.shape[0] for x in sequences} - {None}
    if len(known) > 1:
        raise ShapeMismatch(f"needs sequences of one length, got {' and '.join(map(str, sequences))}")
    return next(iter(known), None)


def _check_given(cell: Cell, names: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    states = {state.name: state for state in cell.states}
    for name, spec in zip(names, specs, strict=True):
        if spec.shape != states[name].shape:
            text = f"needs an initial state {TensorSpec(states[name].shape)} for '{name}', got {spec}"
            raise ShapeMismatch(text, argument="initial_state")


def _changed_states(cell: Cell, built: Built) -> Iterator[Fault]:
    """Yield a config error for each state of a custom cell whose next value has another shape, or integer values."""
    for state, name in zip(cell.states, cell.next, strict=True):
        spec, wanted = built.specs[name], TensorSpec(state.shape)
        related = (Related(f"state '{state.name}' is declared", state.path),)
        path = (*cell.path, "next", state.name)
        if spec.whole != wanted.whole:
            text = f"state '{state.name}' is {wanted}, but its next value '{name}' is {spec}"
            yield Fault(text, path, related=related)
        elif spec.is_integer:
            text = f"state '{state.name}' is floating point, but its next value '{name}' is {spec.dtype}"
            yield Fault(text, path, hint="cast(..., 'float32') in an expr", related=related)
