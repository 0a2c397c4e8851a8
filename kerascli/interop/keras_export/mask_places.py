"""Calls of the Keras operations that compute masks; these calls affect the order of layers in an exported model."""

from collections.abc import Iterable

from kerascli.interop.keras.keras_order import Place
from kerascli.layers.merging.base import ElementwiseMerge
from kerascli.model.ir.nodes import Node


class MaskPlaces:
    """Record of the calls (`Place`: layer's name, call's number) of Keras's operations that compute masks of a model's
    tensors.

    Keras computes a mask by operations of its own: `any(not_equal(x, 0))`, for embeddings without the `any`.
    """

    def __init__(self) -> None:
        self.parents: dict[Place, list[Place]] = {}
        """Mapping from a call of an operation that computes a mask to the calls that compute the operation's
        arguments."""
        self._places: dict[str, Place] = {}
        """Mapping from the name of a tensor to the call of the operation that computes its mask."""

    def of(self, tensors: Iterable[str]) -> list[Place]:
        """Return the calls of the operations that compute the masks of `tensors`; tensors without a mask are left
        out."""
        return [self._places[tensor] for tensor in tensors if tensor in self._places]

    def propagate(self, tensor: str, result: str) -> None:
        """Record that Keras gives the tensor `result` the same mask as `tensor`, if `tensor` has a mask."""
        if tensor in self._places:
            self._places[result] = self._places[tensor]

    def add(self, node: Node, name: str, number: int, given: Place) -> list[Place]:
        """Record the mask of a node's outputs; return the calls that compute the masks that Keras passes to the node's
        layer.

        `name` and `number` are Keras's layer and call number, `given` is the place of its first input.
        """
        layer = node.layer
        takes_masks = layer.uses_masks and not isinstance(layer, ElementwiseMerge)
        # in Keras, elementwise merging layers take the masks from the tensors
        taken = self.of(node.inputs) if layer.uses_mask or takes_masks else []
        made = self._places.get(node.inputs[0]) if layer.mask == "pass" else None
        if layer.makes_mask():
            made = (f"{name}/mask/{number}", 0)
            compared = (f"{name}/not_equal/{number}", 0)
            one_step = layer.component_name == "embedding"
            self.parents |= {made: [given]} if one_step else {made: [compared], compared: [given]}
        if made is not None:
            self._places.update(dict.fromkeys(node.outputs[: layer.masked_results()], made))
        return taken
