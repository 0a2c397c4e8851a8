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
QUANTIZATION: Mapping[str, str] = {
    "quantization_config": "weights are trained in floating point; quantized layers are not imported either"
}
"""Mapping from the quantization argument of Keras's layers, which kerascli refuses, to a hint for errors."""
