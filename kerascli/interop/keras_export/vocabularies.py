"""Lookups in exported Keras files: layers for texts of inputs, and vocabularies, which are files beside the weights."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from kerascli.data.base import FittedState, Transform
from kerascli.data.transforms.text_lookups import TextVectorization
from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import Shape
from kerascli.interop.keras_export.keras_nodes import KerasNode, walk
from kerascli.interop.keras_export.serialized import serialized, settings_of
from kerascli.preprocessing.categories import LookupSettings

_NOT_OF_KERAS = frozenset({"positive"})
"""Settings of transforms that Keras's layers do not have."""


class TextLayer(NamedTuple):
    """Layer of Keras that makes an input of the model of texts: a fitted transform of the data, in Keras's form."""

    transform: Transform
    state: FittedState
    shape: Shape
    """Shape of a row of texts: () or (1,)."""

    def node(self, name: str, problems: list[Fault]) -> KerasNode:
        """Return the layer as a node of a Keras graph, without calls."""
        config = {"name": name, **settings_of(self.transform, name, problems)}
        if config.get("output_mode") == "frequency":
            problems.append(Fault(f"'{name}': Keras's text_vectorization has no output_mode frequency"))
        lookup = self.transform.lookup if isinstance(self.transform, TextVectorization) else self.transform
        facts, arrays = self.state.facts, self.state.arrays
        if isinstance(lookup, LookupSettings):
            config |= {"num_oov_indices": lookup.places()} if "num_oov_indices" in config else {}
            config["vocabulary"] = list(facts["vocabulary"])
            if "idf_weights" in arrays:
                config["idf_weights"] = arrays["idf_weights"][lookup.first() :].tolist()
            else:
                config["vocabulary"][:0] = _special(lookup)
        if "max_length" in facts:
            config["output_sequence_length"] = facts["max_length"]
        kept = {key: value for key, value in config.items() if key not in _NOT_OF_KERAS}
        class_name = "".join(word.capitalize() for word in self.transform.component_name.split("_"))
        return KerasNode(name, serialized("keras.layers", class_name, kept))


def vocabulary_files(layers: Sequence[KerasNode]) -> Iterator[tuple[str, str]]:
    """Yield (name, contents) of each vocabulary.txt of a `.keras` file, and take the vocabulary out of the layer's
    config, as Keras writes lookups that were adapted to data."""
    for place, node, config in _lookups(layers):
        entries = config["vocabulary"]
        if isinstance(node.layer, LookupSettings):
            entries = [*_special(node.layer), *node.layer.entries(entries)]
        are_lines = entries[-1] != "" and all(e is not None and len(f"{e}.".splitlines()) == 1 for e in entries)
        if are_lines and not config.get("invert") and config["output_mode"] != "tf_idf":
            config["vocabulary"], config["vocabulary_size"] = None, len(entries)
            for folder in _places(place, node):
                yield f"assets/{folder}/vocabulary.txt", "\n".join(map(str, entries))


def idf_weights(layers: Sequence[KerasNode]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (path in the weights file, array) of the IDF weights of each lookup, which Keras reads from there."""
    for place, node, config in _lookups(layers):
        if config["output_mode"] == "tf_idf":
            weights = np.array(config["idf_weights"], np.float32)
            own = node.layer.entries(config["vocabulary"]) if isinstance(node.layer, LookupSettings) else weights
            front = 0 if len(own) < len(weights) else config.get("num_oov_indices", 1)
            weights = np.pad(weights, (front, 0), constant_values=weights.mean())
            back = max(0, (config["max_tokens"] or 0) - len(weights)) if config["pad_to_max_tokens"] else 0
            for folder in _places(place, node):
                yield f"{folder}/vars/idf_weights", np.pad(weights, (0, back))


def _lookups(layers: Sequence[KerasNode]) -> Iterator[tuple[str, KerasNode, dict[str, Any]]]:
    """Yield (place in the file, node, config) of each layer with a vocabulary, in nested models, too."""
    for place, _, node in walk(layers):
        if node.description["config"].get("vocabulary"):
            yield place, node, node.description["config"]


def _places(place: str, node: KerasNode) -> list[str]:
    """Return the places under which Keras reads what a lookup is made of: a text_vectorization's twice."""
    return [place, f"{place}/_lookup_layer"] if node.description["class_name"] == "TextVectorization" else [place]


def _special(lookup: LookupSettings) -> list[Any]:
    """Return the tokens that a vocabulary of Keras begins with: for masked and for out-of-vocabulary values."""
    return [*[lookup.mask_token] * lookup.masks(), *[lookup.oov_token] * lookup.places()]
