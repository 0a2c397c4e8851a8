"""Text inputs of a Keras model: the lookup of each becomes a transform of the data, and its output a model input."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerascli.data.base import TRANSFORMS, Field, Transform
from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import Shape
from kerascli.interop.keras.graph import Call, Ref, refs, with_refs
from kerascli.interop.keras.objects import Refusals, component
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel, used_inputs, with_inputs
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.interop.keras_import.vocabularies import TEXT_LOOKUPS, with_vocabulary

_TRANSFORMS = frozenset({*TEXT_LOOKUPS, "Hashing"})
ONLY_AT_INPUTS = (
    "texts can be looked up at an input of the whole model only, by StringLookup, TextVectorization, Hashing"
)


@dataclass(frozen=True, slots=True)
class TextInput:
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
    inputs: list[tuple[str | None, Ref]] = []
    texts: list[TextInput | None] = []
    moved: dict[Ref, Ref] = {}
    layers = dict(model.layers)
    for key, ref in model.inputs:
        if layers[ref.layer].config.get("dtype") != "string":
            inputs.append((key, ref))
            texts.append(None)
            continue
        uses = [
            (layer, number, call)
            for layer in model.layers.values()
            for number, call in enumerate(layer.calls)
            if ref in refs(call)
        ]
        for layer, number, call in uses:
            text = _text_input(layers[ref.layer], key or ref.layer, layer, call, places, file, refusals)
            if text is None:
                continue
            source = f"{ref.layer}\n{layer.name}\n{number}"  # no layer of a file has such a name
            layers[source] = _input_of(source, text)
            moved[Ref(layer.name, number)] = Ref(source)
            inputs.append((text.column if len(uses) == 1 else f"{text.column}_{layer.name}", Ref(source)))
            texts.append(text)
    if not moved:
        return model, texts

    def change(ref: Ref) -> Ref:
        return moved.get(ref, ref)

    changed = {name: replace(layer, calls=with_refs(layer.calls, change)) for name, layer in layers.items()}
    made = replace(model, layers=changed, inputs=inputs, outputs=with_refs(model.outputs, change))
    kept = used_inputs(made)
    return with_inputs(made, kept), [texts[index] for index in kept]


def _text_input(
    source: KerasLayer,
    column: str,
    layer: KerasLayer,
    call: Call,
    places: Mapping[str, str],
    file: ModelFile,
    refusals: Refusals,
) -> TextInput | None:
    """Return the text input that a call of a layer on an input layer makes; None if it cannot be imported."""
    where = f"{layer.name} ({layer.class_name})"
    config, shape = layer.config, source.config.get("batch_shape")
    if layer.class_name not in _TRANSFORMS or len(list(refs(call))) > 1 or not isinstance(shape, list):
        refusals.add(f"{where} takes the texts of the input '{column}'", ONLY_AT_INPUTS)
        return None
    is_sequence = config.get("output_mode") == "int" and config.get("output_sequence_length") is None
    if layer.class_name == "TextVectorization" and is_sequence:
        hint = "set output_sequence_length, and save the model again"
        refusals.add(f"{where} makes sequences as long as the longest text of each batch", hint)
        return None
    transform = component(TRANSFORMS, with_vocabulary(layer, places[layer.name], file), where, refusals)
    if not isinstance(transform, Transform):
        return None
    try:
        field = transform.infer(Field(tuple(shape[1:]), "string"), None, target=False)
    except ValueError as error:
        refusals.add(f"{where}: {safe_text(str(error), 200)}")
        return None
    return TextInput(column, tuple(shape[1:]), transform, field)


def _input_of(name: str, text: TextInput) -> KerasLayer:
    dtype = "int64" if getattr(text.transform, "output_mode", "int") == "int" else "float32"
    config: dict[str, Any] = {"batch_shape": [None, *text.field.shape], "dtype": dtype, "name": name}
    return KerasLayer(name, {"class_name": "InputLayer", "config": config})
