"""Lookups in exported Keras files: layers that look up the texts of inputs, and vocabularies as files beside weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kerascli.data.base import Transform
from kerascli.data.transforms.string_lookup import StringLookup
from kerascli.data.transforms.text_vectorization import TextVectorization
from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import Shape
from kerascli.interop.keras.places import numbered_groups
from kerascli.interop.keras_export.keras_nodes import KerasNode
from kerascli.interop.keras_export.serialized import serialized, settings_of
from kerascli.preprocessing.lookup import LookupSettings

_NOT_OF_KERAS = frozenset({"positive"})
"""Settings of transforms that Keras's layers do not have."""


@dataclass(frozen=True, slots=True)
class TextLayer:
    """Layer of Keras that makes an input of the model of texts: a fitted transform of the data, in Keras's form."""

    transform: Transform
    shape: Shape
    """Shape of a row of texts: () or (1,)."""
    vocabulary: tuple[str, ...] | None
    """Entries that the transform has learned or been given; None for a hash."""
    max_length: int | None = None
    """Learned number of tokens of a text_vectorization; None if it is a setting."""

    def node(self, name: str, problems: list[Fault]) -> KerasNode:
        """Return the layer as a node of a Keras graph, without calls."""
        transform, learned = self.transform, {"output_sequence_length": self.max_length} if self.max_length else {}
        config = {"name": name, **settings_of(transform, name, problems), **learned}
        lookup = transform.lookup if isinstance(transform, TextVectorization) else transform
        if self.vocabulary is not None and isinstance(lookup, StringLookup):
            config["vocabulary"] = [*_special(lookup), *self.vocabulary]
        kept = {key: value for key, value in config.items() if key not in _NOT_OF_KERAS}
        return KerasNode(name, serialized("keras.layers", type(transform).__name__, kept))


def vocabulary_files(layers: Sequence[KerasNode], above: str = "layers") -> Iterator[tuple[str, str]]:
    """Yield (name, contents) of each vocabulary.txt of a `.keras` file, and take the vocabulary out of the layer's
    config, as Keras writes lookups that were adapted to data."""
    for node, name in zip(layers, numbered_groups(node.description["class_name"] for node in layers), strict=True):
        place, config = f"{above}/{name}", node.description["config"]
        yield from vocabulary_files(node.inside, f"{place}/layers")
        entries: Any = config.get("vocabulary")
        if isinstance(node.layer, LookupSettings) and entries:
            entries = [*_special(node.layer), *node.layer.entries(entries)]
        if entries and not config.get("invert") and config["output_mode"] != "tf_idf" and _are_lines(entries):
            config["vocabulary"], config["vocabulary_size"] = None, len(entries)
            text = "\n".join(map(str, entries))
            yield f"assets/{place}/vocabulary.txt", text
            if node.description["class_name"] == "TextVectorization":
                yield f"assets/{place}/_lookup_layer/vocabulary.txt", text


def _special(lookup: LookupSettings) -> list[Any]:
    """Return the tokens that a vocabulary of Keras begins with: for masked and for out-of-vocabulary values."""
    return [*[lookup.mask_token] * lookup.masks(), *[lookup.oov_token] * lookup.places()]


def _are_lines(entries: Sequence[Any]) -> bool:
    """Return True if Keras reads the entries as the lines of a text."""
    return entries[-1] != "" and all(entry is not None and len(f"{entry}.".splitlines()) == 1 for entry in entries)
