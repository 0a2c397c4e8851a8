"""Map Keras's names to names that are valid in a config, and back."""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from kerascli.interop.keras.differences import EXPORTED, OPERATIONS
from kerascli.language.expressions.parser import RESERVED
from kerascli.language.wording import snake_case
from kerascli.layers.base import LAYERS
from kerascli.ops.base import OPS, Op


class KerasNames(NamedTuple):
    """Names that an imported model's nodes, inputs and outputs have in Keras, by the names that kerascli gives them."""

    nodes: Mapping[str, str]
    """Mapping from the name of a node in the config to Keras's name, for nodes whose names differ."""
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    """Mapping from the name of a model output to Keras's name, which several outputs of one layer may share."""

    def input(self, name: str) -> str:
        """Return Keras's name of an input of the model, or of one of its views (a submodel that shares its layers)."""
        return self.inputs.get(name, self.nodes.get(name, name))

    def output(self, name: str) -> str:
        """Return Keras's name of an output of the model, or of one of its views (a submodel that shares its layers)."""
        return self.outputs.get(name, self.nodes.get(name, name))


class NameBook:
    """Collector of the names in one `model` section; it makes each name valid in a config, and gives no name twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._given: set[str] = set()
        self.changed: dict[str, str] = {}
        """Mapping from a name in the config to Keras's name, where the two differ; a name of Keras's is there once."""

    def give(self, keras_name: str, *, class_name: str = "", own: str | None = None) -> str:
        """Return a new config name for a Keras name; in a default name (`conv2d_3`), kerascli's `own` replaces Keras's
        (`conv_2d_3`)."""
        name = re.sub(r"[^A-Za-z0-9_]", "_", keras_name)
        base = keras_snake_case(class_name)
        if own is not None and base and (match := re.fullmatch(rf"(?:{base}|{snake_case(class_name)})(_\d+)?", name)):
            name = own + (match[1] or "")
        name = f"_{name}" if name[:1].isdigit() or not name.strip("_") else name
        first, number = name, 1
        while name in self._taken or name in RESERVED or (name != own and LAYERS.find(name) is not None):
            number += 1
            name = f"{first}_{number}"
        self._taken.add(name)
        if name != keras_name and keras_name not in self._given:
            self.changed[name] = keras_name
        self._given.add(keras_name)
        return name


def keras_snake_case(class_name: str) -> str:
    """Return a class name in snake case as Keras converts it: Conv2D is conv2d, ReLU is re_lu."""
    class_name = EXPORTED.get(class_name, class_name)
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def op_of(class_name: str) -> Op | None:
    """Return kerascli's operation for a class of keras.ops (LogSoftmax: log_softmax); None if it has no such
    operation."""
    return OPS.find(OPERATIONS.get(class_name) or _ops().get(class_name.lower(), ""))


@cache
def _ops() -> dict[str, str]:
    names = {name.replace("_", ""): name for name in OPS.names()}
    return {**{alias.replace("_", ""): name for name in OPS.names() for alias in OPS.aliases(name)}, **names}
