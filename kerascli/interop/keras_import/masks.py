"""Remove mask arguments that Keras 3 stores in calls but that layers imply; kerascli finds those masks by itself."""

from collections.abc import Callable, Set
from typing import Any

from kerascli.interop.keras_import.calls import Call, KerasLayer, KerasModel, Ref, refs

_FILLED = frozenset({"OnesLike", "ZerosLike"})


class ImpliedMasks:
    """Finder of masks in a Keras model that embedding and masking layers compute, as opposed to explicit masks."""

    def __init__(self, model: KerasModel, has_masked_input: Callable[[KerasLayer, Call], bool]) -> None:
        self._model = model
        self._has_masked_input = has_masked_input
        self._known: dict[Ref, bool] = {}
        self._made: list[tuple[Ref, Any]] = []
        """Pairs of an input of an embedding or masking layer that computes a mask, and the value that means padding."""
        for layer in model.layers.values():
            padding = {"Embedding": 0, "Masking": layer.config.get("mask_value", 0.0)}.get(layer.class_name)
            if padding is not None and (layer.class_name == "Masking" or layer.config.get("mask_zero")):
                self._made += [(ref, padding) for call in layer.calls for ref in refs(call.args[:1])]

    def without(self, layer: KerasLayer, number: int) -> Call:
        """Return a layer's call without the mask arguments that its inputs imply; the call of an operation is returned
        unchanged."""
        call = layer.calls[number]
        if layer.is_operation or not self._has_masked_input(layer, call):
            return call
        kept = {key: value for key, value in call.kwargs.items() if not (_is_mask(key) and self._all(value))}
        return Call(call.args, kept)

    def wanted(self) -> Set[tuple[str, int]]:
        """Return the calls (layer name, call number) that an output of the model depends on."""
        found: set[tuple[str, int]] = set()
        pending = [ref for _, ref in self._model.outputs]
        while pending:
            ref = pending.pop()
            layer = self._model.layers[ref.layer]
            if layer.calls and (ref.layer, ref.call) not in found:
                found.add((ref.layer, ref.call))
                pending += refs(self.without(layer, ref.call))
        return found

    def _all(self, value: Any) -> bool:
        found = list(refs(value))
        return value is None or (bool(found) and all(map(self._implied, found)))

    def _implied(self, ref: Ref) -> bool:
        """Return True if the tensor `ref` is a mask that Keras derived from an Embedding or Masking layer.

        Then operations alone compute it, from comparisons `input != padding value` of such layers' inputs.
        """
        if ref not in self._known:
            self._known[ref] = False  # a cycle implies nothing
            layer = self._model.layers[ref.layer]
            if layer.is_operation and layer.calls:
                args = layer.calls[ref.call].args
                made = layer.class_name == "NotEqual" and len(args) == 2 and (args[0], args[1]) in self._made
                # a concatenation uses a mask of ones for an input without one
                before = [each for each in refs(args) if self._model.layers[each.layer].class_name not in _FILLED]
                self._known[ref] = made or (bool(before) and all(map(self._implied, before)))
        return self._known[ref]


def _is_mask(key: str) -> bool:
    return key == "mask" or (key.endswith("_mask") and key not in {"attention_mask", "use_causal_mask"})
