"""Vocabularies of Keras's lookup layers, which a `.keras` file holds as files beside the weights."""

from collections.abc import Mapping
from typing import Any

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.objects import short_number
from kerascli.interop.keras_import.calls import KerasLayer
from kerascli.interop.keras_import.model_file import ModelFile

_MAX_ENTRIES = 50_000
"""Limit of the vocabulary of a layer, which a config lists."""
TEXT_LOOKUPS = frozenset({"StringLookup", "TextVectorization"})


def with_vocabulary(layer: KerasLayer, place: str, file: ModelFile) -> Mapping[str, Any]:
    """Return a layer's serialized form, that of a lookup with the vocabulary in its config. Raises FileRefused.

    `place` is the layer's place in a `.keras` file: `layers/integer_lookup`.
    """
    config = layer.config
    if layer.class_name not in {"IntegerLookup", *TEXT_LOOKUPS} or config.get("vocabulary") is not None:
        return layer.spec
    where = f"{safe_text(layer.name)} ({layer.class_name})"
    if place not in file.vocabularies:
        hint = "import a .keras file that was saved after adapt(): other files have no vocabularies"
        raise FileRefused(f"the vocabulary of {where} is not in the file", hint=hint)
    try:
        entries: list[Any] = file.vocabularies[place].decode().splitlines()
        while entries and not entries[-1]:  # as Keras reads it
            entries.pop()
        if layer.class_name == "IntegerLookup":
            entries = [int(entry) for entry in entries]
    except ValueError as error:
        raise FileRefused(f"the vocabulary of {where} is damaged: {safe_text(str(error), 120)}") from None
    if layer.class_name == "IntegerLookup" and len(entries) > _MAX_ENTRIES:
        text = f"the vocabulary of {where} has {len(entries):,} entries; the limit is {_MAX_ENTRIES:,}"
        raise FileRefused(text, hint="hash the integers instead: Hashing")
    learned: dict[str, Any] = {"vocabulary": entries}
    if config.get("output_mode") == "tf_idf" and config.get("idf_weights") is None:
        learned = _with_weights(entries, config, f"{place}/vars/idf_weights", file)
    return {**layer.spec, "config": {**config, **learned}}


def _with_weights(entries: list[Any], config: Mapping[str, Any], path: str, file: ModelFile) -> dict[str, Any]:
    """Return the vocabulary without its first tokens, which stand for OOV values, and the IDF weight of each entry."""
    if file.arrays is None or path not in file.arrays.datasets():
        raise FileRefused(f"the file has no IDF weights '{safe_text(path)}'")
    first = config.get("num_oov_indices", 1)
    weights = file.arrays.array(path).reshape(-1)[first : len(entries)]
    return {"vocabulary": entries[first:], "idf_weights": short_number(weights.tolist())}
