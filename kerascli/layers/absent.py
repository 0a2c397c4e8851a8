"""Layers and layer arguments of Keras that kerascli lacks, each with a hint on what to use instead."""

from collections.abc import Mapping

_TEXT = "tensors hold no strings: put {} into the input's pipeline under data, which comes before the model"
_HINTS = {
    **{name: _TEXT.format(name) for name in ("string_lookup", "text_vectorization", "feature_space")},
    "max_num_bounding_boxes": "batches hold no bounding boxes here",
}
ABSENT: Mapping[str, str] = {name.replace("_", ""): hint for name, hint in _HINTS.items()}
"""Mapping from layers of Keras that kerascli lacks (lower case, without underscores) to hints for errors."""

_PRECISION = "a model has one precision, which is set in compile.precision"
OF_ANY_LAYER: Mapping[str, str] = {
    "dtype": _PRECISION,
    "autocast": _PRECISION,
    "activity_regularizer": "the layer activity_regularization behind it adds the same penalty to the loss",
}
"""Mapping from arguments that every Keras layer takes and most layers here refuse (`dtype` ...) to hints for errors."""
_LORA = "weights are trained in full here, without low-rank adapters; import reads files in which these are merged"
_QUANTIZED = "weights are trained in floating point; quantized layers are not imported either"
ADAPTERS: Mapping[str, str] = {"lora_rank": _LORA, "lora_alpha": _LORA}
"""Mapping from the LoRA arguments of Keras's layers (`lora_rank` ...), which kerascli refuses, to hints for errors."""
ADAPTERS_AND_QUANTIZATION: Mapping[str, str] = {**ADAPTERS, "quantization_config": _QUANTIZED}
"""Mapping from the LoRA and quantization arguments of Keras's layers, which kerascli refuses, to hints for errors."""
