"""Convert a Keras file's compile config to the sections `compile` and `fit`."""

from collections.abc import Mapping
from typing import Any

from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import Fault, FileRefused, show
from kerascli.interop.keras.differences import LOSS, OPTIMIZER
from kerascli.interop.keras.objects import Refusals, around_function, component, is_object, short_number, walk, written
from kerascli.interop.keras_import.calls import read_model
from kerascli.losses.base import LOSSES
from kerascli.metrics.base import METRICS
from kerascli.optimizers.base import OPTIMIZERS


def read_compile(config: Mapping[str, Any], outputs: Mapping[str, str], refusals: Refusals) -> dict[str, Any]:
    """Convert Keras's compile config to the shortest `compile` section; adds what cannot be imported to `refusals`."""
    section: dict[str, Any] = {}
    if is_object(optimizer := config.get("optimizer", config.get("optimizer_config"))):
        made = component(OPTIMIZERS, short_number(optimizer), "optimizer", refusals, OPTIMIZER)
        section |= {} if made is None else {"optimizer": written(made)}
    elif isinstance(optimizer, str):
        section["optimizer"] = optimizer
    for key in ("loss", "loss_weights", "metrics", "weighted_metrics"):
        if (value := config.get(key)) not in (None, [], {}):
            section[key] = _losses_or_metrics(_by_output(value, key, outputs), key, outputs, refusals)
    return section


def _by_output(value: Any, key: str, outputs: Mapping[str, str]) -> Any:
    """Convert Keras's lists of metrics to the form in a config: one list, or lists by output."""
    if key.startswith("loss") or not isinstance(value, list):
        return value
    if len(outputs) == 1:
        return [each for item in value for each in (item if isinstance(item, list) else [item])]
    if len(outputs) == len(value):
        return {name: item for name, item in zip(outputs, value, strict=True) if item not in (None, [])}
    return value


def _losses_or_metrics(value: Any, key: str, outputs: Mapping[str, str], refusals: Refusals) -> Any:
    """Convert Keras's losses or metrics (names, objects, lists or mappings by output) to their form in a config, a
    single loss without a list."""
    if isinstance(value, list):
        items = [_losses_or_metrics(item, key, outputs, refusals) for item in value]
        return items[0] if key == "loss" and len(items) == 1 else items
    if not isinstance(value, dict):
        return value
    if not is_object(value):
        return {outputs.get(name, name): _losses_or_metrics(v, key, outputs, refusals) for name, v in value.items()}
    if value["class_name"] == "function" and isinstance(value["config"], str):
        value = {"class_name": value["config"], "config": {}}
    made = component(LOSSES if key == "loss" else METRICS, around_function(value), key, refusals, LOSS)
    return None if made is None else written(made)


def fit_of_stateful(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config section `fit` that a Keras model with stateful layers needs; empty if the model has no such
    layers.

    Keras never resets states in training, so `reset_states` is `never`. Raises FileRefused if a model with stateful
    layers does not have one batch size, the same for all inputs.
    """
    if not any(item.get("stateful") is True for item in walk(model["config"])):
        return {}
    read = read_model(model, "model")
    shapes = [read.layers[ref.layer].batch_shape for _, ref in read.inputs]
    sizes = {shape[0] if shape else None for shape in shapes}
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
    for key in ("shuffle", "batch_size"):
        if written.get(key, fit[key]) != fit[key]:
            text = f"{key}: the file's model is stateful and needs {show(fit[key])}, got {show(written[key])}"
            raise document.error([Fault(text, ("fit", key), hint="remove it")])
    return {key: value for key, value in fit.items() if key not in written}
