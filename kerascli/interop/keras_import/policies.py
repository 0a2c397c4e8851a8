"""Reduce the dtype policies of the layers in a Keras file to one precision for the whole model."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerascli.interop.keras.differences import GIVE_WHOLE_NUMBERS, IN_TRAINING, MERGED
from kerascli.interop.keras.objects import Refusals, Serialized, walk
from kerascli.interop.keras_import.calls import KerasLayer
from kerascli.language.wording import snake_case

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Floating-point dtypes of Keras, all of which import replaces by float32."""
_INTEGERS = ("int32", "int64")
_MIXED = ("mixed_bfloat16", "mixed_float16")


def common_precision(layers: Sequence[KerasLayer], refusals: Refusals) -> tuple[str, tuple[str, ...]]:
    """Return the precision of the imported model, such as mixed_float16, and notes for the user.

    The precision is the common one of all layers if it is a mixed one, otherwise float32. What cannot be imported is
    added to `refusals`.
    """
    names, notes = sorted({_precision(layer, refusals) for layer in layers} - {""} or {"float32"}), list[str]()
    precision = names[0] if len(names) == 1 and names[0] in _MIXED else "float32"
    if names != [precision]:
        notes.append(f"the file's layers compute in {' and '.join(names)}; here all layers compute in float32")
    if with_lora := {layer.name for layer in layers if any(layer.config.get(key) for key in MERGED)}:
        named = f"{len(with_lora)} layers" if len(with_lora) > 1 else f"'{min(with_lora)}'"
        notes.append(f"LoRA of {named} is merged into the kernels; further training updates the whole kernels")
    in_training = dict.fromkeys(layer.name for layer in layers if layer.class_name in IN_TRAINING)
    notes += [f"'{name}' acts in training only: mix the samples by data.augment" for name in in_training]
    return precision, tuple(notes)


def _precision(layer: KerasLayer, refusals: Refusals) -> str:
    """Return the name of a layer's dtype policy; '' if it computes no floats, or is quantized."""
    where, name = f"{layer.name} ({layer.class_name})", _policy(layer.config.get("dtype"))
    if (mode := _quantization(layer.config)) is not None:
        hint = "save the model as it was before quantize()"
        refusals.add(f"{where} is quantized ({mode}), which is not supported", hint)
        return ""
    if name in _INTEGERS and snake_case(layer.class_name) in GIVE_WHOLE_NUMBERS:
        return ""
    if name not in (*FLOATS, *_MIXED):
        refusals.add(f"{where} computes in {name}, which is not supported")
    return name


def _policy(value: Any) -> str:
    """Return the name of a dtype policy in a Keras config, which stores the name itself or a serialized policy."""
    if isinstance(value, Mapping):
        value = value.get("config", value)
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("source_name")
    return value if isinstance(value, str) else "float32"


def _quantization(config: Serialized) -> str | None:
    """Return how a layer in a Keras config, or a layer inside it, is quantized (such as int8); None if it is not."""
    for item in walk(config):
        match item:
            case {"dtype": {"config": {"mode": mode}}} if mode:
                return str(mode)
            case {"quantization_config": settings} if settings:
                return "quantization_config"
    return None
