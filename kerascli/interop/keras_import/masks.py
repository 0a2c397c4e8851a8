"""Masks in Keras 3's graphs: it writes those that follow from the layers, too; here they follow anew."""

from collections.abc import Callable, Set
from typing import Any

from kerascli.interop.keras_import.calls import Call, KerasLayer, KerasModel, Ref, refs

_FILLED = frozenset({"OnesLike", "ZerosLike"})


class ImpliedMasks:
    """Tells a mask that an embedding or a masking layer makes from one that was given by hand."""

    def __init__(self, model: KerasModel, comes_along: Callable[[KerasLayer, Call], bool]) -> None:
        self._model = model
        self._comes_along = comes_along
        self._known: dict[Ref, bool] = {}
        self._made: list[tuple[Ref, Any]] = []
        """On which tensor a mask is made, and what stands for padding there."""
        for layer in model.layers.values():
            padding = {"Embedding": 0, "Masking": layer.config.get("mask_value", 0.0)}.get(layer.class_name)
            if padding is not None and (layer.class_name == "Masking" or layer.config.get("mask_zero")):
                self._made += [(ref, padding) for call in layer.calls for ref in refs(call.args[:1])]

    def without(self, layer: KerasLayer, number: int) -> Call:
        """Return a call without the masks that its inputs hand on anyway; operations keep all of their arguments."""
        call = layer.calls[number]
        if layer.is_operation or not self._comes_along(layer, call):
            return call
        kept = {key: value for key, value in call.kwargs.items() if not (_is_mask(key) and self._all(value))}
        return Call(call.args, kept)

    def wanted(self) -> Set[tuple[str, int]]:
        """The calls that lead to an output."""
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
        """`ref` comes, by operations alone, from comparisons of masked inputs with their padding."""
        if ref not in self._known:
            self._known[ref] = False  # a circle implies nothing
            layer = self._model.layers[ref.layer]
            if layer.is_operation and layer.calls:
                args = layer.calls[ref.call].args
                made = layer.class_name == "NotEqual" and len(args) == 2 and (args[0], args[1]) in self._made
                # a concatenation makes a mask of ones for an input that has none
                before = [each for each in refs(args) if self._model.layers[each.layer].class_name not in _FILLED]
                self._known[ref] = made or (bool(before) and all(map(self._implied, before)))
        return self._known[ref]


def _is_mask(key: str) -> bool:
    return key == "mask" or (key.endswith("_mask") and key not in {"attention_mask", "use_causal_mask"})
