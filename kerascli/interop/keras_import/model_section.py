"""Write the `model` section of a config: inputs, shared layers and models, and the list `layers`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.names import NameBook
from kerascli.interop.keras.objects import shortest_form
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel
from kerascli.interop.keras_import.policies import FLOATS
from kerascli.layers.base import BaseLayer


class ModelSection:
    """Writer of a `model` section, or of a shared model in it; a node's `inputs` are omitted if they are just the
    previous node."""

    def __init__(self, model: KerasModel) -> None:
        """Begin a section with the inputs of a Keras model. Raises FileRefused if one is not supported."""
        self.book = NameBook()
        inputs = {self.book.give(key or ref.layer): model.layers[ref.layer] for key, ref in model.inputs}
        self.inputs = {name: _written_input(layer) for name, layer in inputs.items()}
        self.shared: dict[str, Any] = {}
        self.entries: list[Any] = []
        self._made: set[str] = set()
        self._previous = next(iter(inputs)) if len(inputs) == 1 else None
        self._counts: Counter[str] = Counter()
        """Number of nodes of each kind that have the names which a config gives by default: dense, dense_1 ..."""

    def add(
        self, kind: str, arguments: dict[str, Any], node: dict[str, Any], names: list[str],
        settings: BaseLayer | None = None,
    ) -> None:  # fmt: skip
        """Write a node, whose outputs have `names`, to the section in its shortest YAML form."""
        inputs = node.pop("inputs", None)
        keys: dict[str, Any] = {}
        merges = settings is not None and settings.call_form == "several"
        if inputs is not None and (merges or inputs != [self._previous]):
            keys["inputs"] = inputs[0] if len(inputs) == 1 else inputs
        keys |= node
        outputs = list(names) if any(name != "_" for name in names[1:]) else None
        number = self._counts[kind]
        is_default = not outputs and names[0] == (f"{kind}_{number}" if number else kind)
        self._counts[kind] += is_default
        if not is_default:
            keys["name"] = names[0]
        if outputs:
            keys["outputs"] = outputs
        self.entries.append(_entry(kind, arguments, keys, settings))
        self._made.update(names)
        self._previous = names[0]

    def end(self, results: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Return (finished section, names of its outputs); `results` are the names of the tensors that the model
        returns. A result that is an input or is repeated is copied by an `identity` node."""
        ends: list[str] = []
        for name in results:
            if name in ends or (name not in self._made and name != "_"):  # each output has a name of its own
                copy = self.book.give(f"{name}_output")
                self.entries.append({"identity": {"inputs": name, "name": copy}})
                self._previous = name = copy
            ends.append(name)
        section: dict[str, Any] = {"inputs": self.inputs}
        if self.shared:
            section["shared"] = self.shared
        section["layers"] = self.entries
        if ends != [self._previous]:
            section["outputs"] = ends[0] if len(ends) == 1 else ends
        return section, ends


def _entry(kind: str, arguments: dict[str, Any], keys: dict[str, Any], settings: BaseLayer | None) -> Any:
    """Return a node in the shortest of its YAML forms: the layer's name alone, with one value, or with a mapping."""
    if not arguments and list(keys) == ["inputs"] and isinstance(keys["inputs"], list):
        return {kind: keys["inputs"]}
    if keys:
        return {kind: {**arguments, **keys}}
    return shortest_form(kind, arguments, None if settings is None else settings.first_argument())


def _written_input(layer: KerasLayer) -> Any:
    """Return Keras's InputLayer in the form of an entry of `model.inputs` in a config. Raises FileRefused."""
    shape = layer.batch_shape
    if layer.class_name != "InputLayer" or shape is None:
        raise FileRefused(f"'{safe_text(layer.name)}' is not an input with a shape")
    for flag in ("sparse", "ragged", "optional"):
        if layer.config.get(flag):
            raise FileRefused(f"input '{safe_text(layer.name)}' is {flag}, which is not supported")
    dtype = layer.config.get("dtype") or "float32"
    return shape[1:] if dtype in FLOATS else {"shape": shape[1:], "dtype": dtype}
