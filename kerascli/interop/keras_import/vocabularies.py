"""Vocabularies of Keras's lookup layers, which a `.keras` file holds as files beside the weights."""

from collections.abc import Mapping
from typing import Any

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras_import.calls import KerasLayer

TEXT_LOOKUPS = frozenset({"StringLookup", "TextVectorization"})


def with_vocabulary(layer: KerasLayer, place: str, vocabularies: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Return a layer's serialized form, that of a lookup with the vocabulary in its config. Raises FileRefused.

    `place` is the layer's place in the `.keras` file (`layers/integer_lookup`), by which `vocabularies` are named.
    """
    if layer.class_name not in {"IntegerLookup", *TEXT_LOOKUPS} or layer.config.get("vocabulary") is not None:
        return layer.spec
    where = f"{safe_text(layer.name)} ({layer.class_name})"
    if place not in vocabularies:
        hint = "import a .keras file that was saved after adapt(): other files have no vocabularies"
        raise FileRefused(f"the vocabulary of {where} is not in the file", hint=hint)
    try:
        entries: list[Any] = vocabularies[place].decode().splitlines()
        while entries and not entries[-1]:  # as Keras reads it
            entries.pop()
        if layer.class_name == "IntegerLookup":
            entries = [int(entry) for entry in entries]
    except ValueError as error:
        raise FileRefused(f"the vocabulary of {where} is damaged: {safe_text(str(error), 120)}") from None
    return {**layer.spec, "config": {**layer.config, "vocabulary": entries}}
