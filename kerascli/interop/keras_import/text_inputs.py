"""Lookups in Keras files: their vocabularies, which a `.keras` file holds as files beside the weights; and text inputs,
whose lookups become transforms of the data, with their outputs as inputs of the model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from kerascli.data.base import TRANSFORMS, Field, Transform
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.foundation.shapes import Shape
from kerascli.interop.keras.graph import Call, Ref, refs, with_refs
from kerascli.interop.keras.objects import Refusals, Serialized, component, short_number
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel, used_inputs
from kerascli.interop.keras_import.model_file import ModelFile

_MAX_ENTRIES = 50_000
"""Limit of the vocabulary of a layer, which a config lists."""
TEXT_LOOKUPS = frozenset({"StringLookup", "TextVectorization"})
_TRANSFORMS = frozenset({*TEXT_LOOKUPS, "Hashing"})
AT_INPUTS = "texts can be looked up at an input of the whole model only, by StringLookup, TextVectorization, Hashing"


class TextInput(NamedTuple):
    """Text input of a Keras file: the column of texts, and the transform that the model's input is made by."""

    column: str
    shape: Shape
    """Shape of a row of the column in Keras: () or (1,) for one text."""
    transform: Transform
    field: Field
    """Field (shape, dtype ...) of the transform's output."""


def with_text_inputs(
    model: KerasModel, places: Mapping[str, str], file: ModelFile, refusals: Refusals
) -> tuple[KerasModel, list[TextInput | None]]:
    """Return a model that takes the outputs of the layers that look up its texts, and the text input of each of its
    inputs, None for an input of numbers.

    A text that several layers look up becomes several inputs. What cannot be done is added to `refusals`.
    """
    inputs: list[tuple[str | None, Ref, TextInput | None]] = []
    moved: dict[Ref, Ref] = {}
    layers = dict(model.layers)
    for key, ref in model.inputs:
        if layers[ref.layer].config.get("dtype") != "string":
            inputs.append((key, ref, None))
            continue
        uses = [(layer, number, call) for layer, number, call in model.numbered_calls if ref in refs(call)]
        for layer, number, call in uses:
            spec = with_vocabulary(layer, places[layer.name], file)
            if (text := _text_input(layers[ref.layer], key or ref.layer, layer, call, spec, refusals)) is None:
                continue
            source = f"{ref.layer}\n{layer.name}\n{number}"  # no layer of a file has such a name
            dtype = "int64" if getattr(text.transform, "output_mode", "int") == "int" else "float32"
            config = {"batch_shape": [None, *text.field.shape], "dtype": dtype, "name": source}
            layers[source] = KerasLayer(source, {"class_name": "InputLayer", "config": config})
            moved[Ref(layer.name, number)] = Ref(source)
            column = text.column if len(uses) == 1 else f"{text.column}_{layer.name}"
            inputs.append((column, Ref(source), text))
    if not moved:
        return model, [None] * len(inputs)

    def change(ref: Ref) -> Ref:
        return moved.get(ref, ref)

    changed = {name: replace(layer, calls=with_refs(layer.calls, change)) for name, layer in layers.items()}
    tensors = [(key, ref) for key, ref, _ in inputs]
    made = model._replace(layers=changed, inputs=tensors, outputs=with_refs(model.outputs, change))
    kept = used_inputs(made)
    return made.with_inputs(kept), [inputs[index][2] for index in kept]


def _text_input(
    source: KerasLayer, column: str, layer: KerasLayer, call: Call, spec: Serialized, refusals: Refusals
) -> TextInput | None:
    """Return the text input that a call of a layer on an input layer makes; None if it cannot be imported.

    `spec` is the layer's serialized form with its vocabulary.
    """
    where = f"{layer.name} ({layer.class_name})"
    config, shape = layer.config, source.config.get("batch_shape")
    if layer.class_name not in _TRANSFORMS or len(list(refs(call))) > 1 or not isinstance(shape, list):
        refusals.add(f"{where} takes the texts of the input '{column}'", AT_INPUTS)
        return None
    is_sequence = config.get("output_mode") == "int" and config.get("output_sequence_length") is None
    if layer.class_name == "TextVectorization" and is_sequence:
        hint = "set output_sequence_length, and save the model again"
        refusals.add(f"{where} makes sequences as long as the longest text of each batch", hint)
        return None
    transform = component(TRANSFORMS, spec, where, refusals)
    if not isinstance(transform, Transform):
        return None
    try:
        field = transform.infer(Field(tuple(shape[1:]), "string"), None, target=False)
    except ValueError as error:
        refusals.add(f"{where}: {safe_text(str(error), 200)}")
        return None
    return TextInput(column, tuple(shape[1:]), transform, field)


def with_vocabulary(layer: KerasLayer, place: str, file: ModelFile) -> Serialized:
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
        path = f"{place}/vars/idf_weights"
        if file.arrays is None or path not in file.arrays.datasets:
            raise FileRefused(f"the file has no IDF weights '{safe_text(path)}'")
        first = config.get("num_oov_indices", 1)  # the first tokens stand for OOV values, and have no weights
        weights = file.arrays.array(path).reshape(-1)[first : len(entries)]
        learned = {"vocabulary": entries[first:], "idf_weights": short_number(weights.tolist())}
    return {**layer.spec, "config": {**config, **learned}}
