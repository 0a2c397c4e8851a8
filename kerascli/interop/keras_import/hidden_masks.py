"""Masks in Keras files: those that layers imply are removed, and those that Keras ignores are disabled.

A layer of Keras 3 may propagate the mask of its input but compute without it, in two cases. Keras passes a mask to a
layer only if the layer is called on one tensor, and so not if it also gets an `initial_state`. And
`multi_head_attention` removes the masks from its inputs: layers that Keras runs later find no mask on these tensors,
nor on sums with them, although the graph still propagates the mask.
"""

from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple

from kerascli.interop.keras.differences import TENSORS_BY_NAME
from kerascli.interop.keras.graph import Call, Place, Ref, ancestors, keras_runs, refs
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel, wrapped_model
from kerascli.layers.attention.base import AttentionLayer
from kerascli.layers.attention.multi_head_attention import MultiHeadAttention
from kerascli.layers.base import BaseLayer
from kerascli.layers.merging.concatenate import Concatenate


class _State(NamedTuple):
    """Three flags of a tensor: it has a mask in Keras at run time, in kerascli, and in Keras's graph."""

    in_keras: bool = False
    in_kerascli: bool = False
    in_graph: bool = False
    """True if Keras's graph passes the mask to layers with one input; False for the inputs of a nested model."""


_FILLED = frozenset({"OnesLike", "ZerosLike"})


class Masks:
    """Masks of a Keras model: its calls without those that layers imply, and those that layers of the imported model
    must ignore, in order to compute what Keras computes."""

    def __init__(
        self, model: KerasModel, settings: Callable[[KerasLayer], BaseLayer | None], *, masked: bool, keras_3: bool
    ) -> None:
        """Find the masks; `settings` converts a Keras layer to kerascli's, `masked` is True if the model's inputs may
        have masks. Keras before version 3 ignores none."""
        self._model, self._settings, self._keras_3 = model, settings, keras_3
        self._states = {ref: _State(masked, masked) for _, ref in model.inputs}
        self.hidden: dict[Place, dict[str, bool]] = {}
        """Call arguments such as `mask: False` that disable the masks that Keras ignores, by the layer's call."""
        self.cut: dict[Place, list[int]] = {}
        """Indices of a call's inputs whose masks must be removed beforehand, because no call argument disables only
        these masks."""
        parents: dict[Place, list[Place]] = {(name, 0): [] for name in model.layers}
        parents |= {(layer.name, number): call.parents() for layer, number, call in model.numbered_calls}
        for name, number in keras_runs(parents, [ref.place for _, ref in model.outputs]):
            layer = model.layers[name]
            if layer.calls and not layer.is_operation:
                self._run(layer, number)
        self._implied: dict[Ref, bool] = {}
        self._made: list[tuple[Ref, Any]] = []
        """Pairs of an input of an embedding or masking layer that computes a mask, and the value that means padding."""
        for layer in model.layers.values():
            padding = {"Embedding": 0, "Masking": layer.config.get("mask_value", 0.0)}.get(layer.class_name)
            if padding is not None and (layer.class_name == "Masking" or layer.config.get("mask_zero")):
                self._made += [(ref, padding) for call in layer.calls for ref in refs(call.args[:1])]

    def _run(self, layer: KerasLayer, number: int) -> None:
        call = layer.calls[number]
        if layer.is_model or wrapped_model(layer) is not None:
            self._give(layer, number, self._state(next(refs(call), None)))
            return
        if (settings := self._settings(layer)) is None:
            return
        inputs = _inputs(settings, call)
        states = [self._state(ref) for ref in inputs]
        explicit = any(refs(call.kwargs.get("mask")))
        if self._keras_3 and (settings.uses_mask or settings.uses_masks) and not explicit:
            states = self._hide((layer.name, number), settings, call, states)
        self._give(layer, number, _State(True, True, True) if explicit else _output_mask(settings, states), settings)
        if isinstance(settings, MultiHeadAttention):
            self._states.update({ref: self._state(ref)._replace(in_keras=False) for ref in inputs})

    def _hide(self, place: Place, settings: BaseLayer, call: Call, states: list[_State]) -> list[_State]:
        """Record the masks of a call's inputs that Keras ignores; return the inputs' states without those to remove."""
        by_graph = settings.call_form != "several"  # Keras adds these on loading, if the file has none
        seen = [state.in_keras or (by_graph and state.in_graph) for state in states]
        if len(states) == 1 and any(refs([*call.args[1:], call.kwargs.get("initial_state")])):
            seen = [False]
        hidden = [i for i, state in enumerate(states) if state.in_kerascli and not seen[i]]
        if (names := TENSORS_BY_NAME.get(settings.component_name)) is not None:
            self.hidden[place] = {f"{names[i]}_mask": False for i in hidden}
        elif hidden and not any(seen):
            self.hidden[place] = {"mask": False}
        elif hidden:
            self.cut[place] = hidden
            return [state._replace(in_kerascli=state.in_kerascli and seen[i]) for i, state in enumerate(states)]
        return states

    def _state(self, ref: Ref | None) -> _State:
        return _State() if ref is None else self._states.get(ref, _State())

    def _give(self, layer: KerasLayer, number: int, state: _State, settings: BaseLayer | None = None) -> None:
        if settings is not None and settings.makes_mask():
            state = _State(True, True, True)
        elif settings is not None and settings.mask != "pass":
            state = _State()
        for index in range(1 if settings is None else settings.masked_results()):
            self._states[Ref(layer.name, number, index)] = state

    def call(self, layer: KerasLayer, number: int) -> Call:
        """Return a layer's call without the mask arguments that its inputs imply; the call of an operation is returned
        unchanged."""
        call = layer.calls[number]
        if layer.is_operation:
            return call
        settings = None if layer.is_model or wrapped_model(layer) is not None else self._settings(layer)
        inputs = refs(call.args[:1]) if settings is None else _inputs(settings, call)
        if not any(self._state(ref).in_kerascli for ref in inputs):
            return call
        kept = {key: value for key, value in call.kwargs.items() if not (_is_mask(key) and self._all(value))}
        return Call(call.args, kept)

    def needed(self) -> Set[Place]:
        """Return the calls (layer name, call number) that an output of the model depends on."""
        layers = self._model.layers

        def before(place: Place) -> set[Place]:
            inputs = refs(self.call(layers[place[0]], place[1]))
            return {ref.place for ref in inputs if layers[ref.layer].calls}

        return ancestors((ref.place for ref in refs(self._model.outputs) if layers[ref.layer].calls), before)

    def _all(self, value: Any) -> bool:
        tensors = list(refs(value))
        return value is None or (bool(tensors) and all(map(self._is_implied, tensors)))

    def _is_implied(self, ref: Ref) -> bool:
        """Return True if the tensor `ref` is a mask that Keras derived from an Embedding or Masking layer.

        Then operations alone compute it, from comparisons `input != padding value` of such layers' inputs.
        """
        if ref not in self._implied:
            self._implied[ref] = False  # a cycle implies nothing
            layer = self._model.layers[ref.layer]
            if layer.is_operation and layer.calls:
                args = layer.calls[ref.call].args
                made = layer.class_name == "NotEqual" and len(args) == 2 and (args[0], args[1]) in self._made
                # a concatenation uses a mask of ones for an input without one
                before = [each for each in refs(args) if self._model.layers[each.layer].class_name not in _FILLED]
                self._implied[ref] = made or (bool(before) and all(map(self._is_implied, before)))
        return self._implied[ref]


def _inputs(settings: BaseLayer, call: Call) -> list[Ref]:
    """Return the tensors on which a Keras layer is called, without initial states and masks."""
    if (order := TENSORS_BY_NAME.get(settings.component_name)) is not None:
        return [*refs(call.args[: len(order)]), *refs([call.kwargs.get(name) for name in order])]
    return list(refs(call.args[:1])) or list(refs([call.kwargs.get(name) for name in ("inputs", "sequences")]))


def _output_mask(settings: BaseLayer, states: Sequence[_State]) -> _State:
    """Return the flags (mask in Keras, in kerascli, in Keras's graph) of a layer's first output, given the flags of the
    layer's inputs."""
    if not states:
        return _State()
    if settings.call_form != "several" or isinstance(settings, AttentionLayer):
        return states[0]
    return _State(*map(any if isinstance(settings, Concatenate) else all, zip(*states, strict=True)))


def _is_mask(key: str) -> bool:
    return key == "mask" or (key.endswith("_mask") and key not in {"attention_mask", "use_causal_mask"})
