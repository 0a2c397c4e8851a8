"""Batch size of Keras models with stateful layers, whose input shapes include it."""

from collections.abc import Mapping
from typing import Any

from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import Fault, FileRefused, show
from kerascli.interop.keras.objects import walk
from kerascli.interop.keras_import.calls import read_model


def fit_of_stateful(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config section `fit` that a Keras model with stateful layers needs; empty if the model has no such
    layers.

    Keras never resets states in training, so `reset_states` is `never`. Raises FileRefused if a model with stateful
    layers does not have one batch size, the same for all inputs.
    """
    if not any(item.get("stateful") is True for item in walk(model["config"])):
        return {}
    read = read_model(model, "model")
    configs = [read.layers[ref.layer].config for _, ref in read.inputs]
    shapes = [config.get("batch_shape") or config.get("batch_input_shape") for config in configs]
    sizes = {shape[0] if isinstance(shape, list) and shape else None for shape in shapes}
    size = next(iter(sizes)) if len(sizes) == 1 else None
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        hint = "give every input the same batch_size (keras.Input(batch_shape=...)), and save the model again"
        raise FileRefused("a layer is stateful, but the file's inputs do not have one batch size", hint=hint)
    return {"batch_size": size, "shuffle": False, "reset_states": "never"}


def beside_data(fit: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """Return those settings in `fit` (which an imported model needs) that the config's `fit` section lacks. Raises
    ConfigError if the two contradict each other."""
    written = document.data.get("fit")
    written = written if isinstance(written, dict) else {}
    if written.get("shuffle", False) is not False:
        text = "shuffle: the file's model is stateful: each batch continues the sequences of the previous one"
        raise document.error([Fault(text, ("fit", "shuffle"), hint="shuffle: false")])
    size = written.get("batch_size", fit["batch_size"])
    if size != fit["batch_size"]:
        text = f"batch_size: the file's model is stateful and takes batches of {fit['batch_size']}, got {show(size)}"
        raise document.error([Fault(text, ("fit", "batch_size"), hint="remove it")])
    return {key: value for key, value in fit.items() if key not in written}
