"""Contents of one exported Keras model: inputs, nodes and outputs of the whole model, or of a shared model in it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from kerascli.foundation.shapes import TensorSpec
from kerascli.model.ir.nodes import Call, Entry, Shared, flat


class Scope(NamedTuple):
    """Contents of a model to export, or of a shared model in it; `specs` has each tensor's dtype and shape (None: size
    differs by call)."""

    inputs: Mapping[str, TensorSpec]
    entries: Sequence[Entry]
    outputs: Sequence[str]
    specs: Mapping[str, TensorSpec]


def shared_scope(scope: Scope, shared: Shared) -> Scope:
    """Return the contents of a shared model to export; its outputs are all its tensors that nodes outside of it use
    (`a.features` ...)."""
    calls = [each for each in scope.entries if isinstance(each, Call) and each.of.weights == shared.weights]
    used = {*scope.outputs, *(name for entry in scope.entries for name in entry.used_names())}
    specs: dict[str, TensorSpec] = {}
    returned: dict[str, None] = {}
    for call in calls:
        for inner, outer in meanings(call):
            specs[inner] = _common_spec(specs.get(inner, scope.specs[outer]), scope.specs[outer])
            if outer in used:
                returned[inner] = None
    results = [name for name in dict.fromkeys(shared.outputs) if name not in shared.inputs]
    ends = sorted(returned, key=lambda name: results.index(name) if name in results else len(results)) or results
    inputs = {
        name: reduce(_common_spec, [scope.specs[call.inputs[index]] for call in calls])
        for index, name in enumerate(shared.inputs)
    }
    return Scope(inputs, shared.entries, ends, {**inputs, **specs})


def meanings(call: Call) -> Iterator[tuple[str, str]]:
    """Yield (name in the shared model, name in the calling model) for each tensor in a call of a shared model."""
    for inner, outer in zip(flat(call.of.entries), call.nodes, strict=True):
        yield from (pair for pair in zip(inner.outputs, outer.outputs, strict=True) if "_" not in pair)


def _common_spec(one: TensorSpec, other: TensorSpec) -> TensorSpec:
    if one.shape == other.shape:
        return other
    return TensorSpec(tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True)), other.dtype)
