"""The operations by which Keras makes masks, as places in the order of a model that is exported."""

from collections.abc import Iterable

from kerascli.interop.keras.keras_order import Place
from kerascli.layers.merging.base import ElementwiseMerge
from kerascli.model.ir.nodes import Node


class MaskPlaces:
    """Where the masks of a model's tensors come from.

    Keras makes a mask by operations of their own: `any(not_equal(x, 0))`, for embeddings without the `any`.
    """

    def __init__(self) -> None:
        self.parents: dict[Place, list[Place]] = {}
        """The calls that each operation of a mask takes its arguments from."""
        self._places: dict[str, Place] = {}
        """By tensor, the operation that gives its mask."""

    def of(self, tensors: Iterable[str]) -> list[Place]:
        """Return the places of the masks that the tensors have."""
        return [self._places[tensor] for tensor in tensors if tensor in self._places]

    def hand_on(self, tensor: str, result: str) -> None:
        """Give a result the mask of a tensor, if it has one."""
        if tensor in self._places:
            self._places[result] = self._places[tensor]

    def add(self, node: Node, name: str, number: int, given: Place) -> list[Place]:
        """Note the mask that a node's results have, and return the masks that Keras calls its layer with.

        `name` and `number` are the layer and the number of the call in Keras, `given` is what it is called on first.
        """
        layer = node.layer
        takes_masks = layer.uses_masks and not isinstance(layer, ElementwiseMerge)
        # in Keras layers that merge value by value find masks on the values
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
