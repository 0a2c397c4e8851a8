"""Find unused inputs of a Keras model, on which no output depends; Keras allows such inputs, and requires arrays for
them."""

from collections import defaultdict
from dataclasses import replace

from kerascli.interop.keras_import.calls import Call, KerasModel, Ref, read_model, refs


def used_inputs(model: KerasModel) -> list[int]:
    """Return the indices of the inputs that a Keras model's outputs depend on, even in nested models; [0] if they
    depend on no input."""
    results = _results(model)
    found: set[Ref] = set()
    through: dict[str, list[int]] = {}
    waiting = [ref for _, ref in model.outputs]
    while waiting:
        ref = waiting.pop()
        layer = model.layers[ref.layer]
        if ref in found:
            continue
        found.add(ref)
        if not layer.calls:
            continue
        given = list(refs(layer.calls[ref.call]))
        if layer.is_model:
            if layer.name not in through:
                inner = with_results(read_model(layer.spec, layer.name), results[layer.name])
                through[layer.name] = used_inputs(inner)
            given = [given[index] for index in through[layer.name] if index < len(given)]
        waiting.extend(given)
    return [index for index, (_, ref) in enumerate(model.inputs) if ref in found] or [0]


def with_inputs(model: KerasModel, kept: list[int]) -> KerasModel:
    """Return a Keras model with only the inputs at the indices `kept`."""
    return replace(model, inputs=[model.inputs[index] for index in kept])


def with_results(model: KerasModel, used: set[int]) -> KerasModel:
    """Return a Keras model with only the outputs at the indices `used`, or only the first if `used` is empty."""
    return replace(model, outputs=[each for index, each in enumerate(model.outputs) if index in (used or {0})])


def _results(model: KerasModel) -> defaultdict[str, set[int]]:
    """Return, by layer name, the indices of the layer's outputs that a call or an output of the model refers to."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    calls: list[Call] = [call for layer in model.layers.values() for call in layer.calls]
    for ref in (*(ref for call in calls for ref in refs(call)), *(ref for _, ref in model.outputs)):
        found[ref.layer].add(ref.index)
    return found
