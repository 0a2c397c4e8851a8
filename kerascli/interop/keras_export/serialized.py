"""Serialize kerascli's components (layers, losses ...) and the section `compile` as Keras objects.

The arguments of components have Keras 3's names and values already.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kerascli.config.sections.compile import CompileSpec
from kerascli.foundation.errors import Fault
from kerascli.interop.keras.differences import GIVE_WHOLE_NUMBERS, NULLS
from kerascli.language.component import Component, changed_arguments, mapped, plain, registries
from kerascli.language.kinds import plural
from kerascli.layers.base import BaseLayer
from kerascli.layers.preprocessing.pipeline import Pipeline
from kerascli.metrics.base import Metric
from kerascli.metrics.comparisons import OutputTarget
from kerascli.parts.base import Activation

_KINDS = ("layer", "initializer", "regularizer", "constraint", "loss", "metric", "optimizer", "schedule")
"""Kinds of components (layers, losses ...) that are classes in Keras."""
_UNKNOWN_TO_KERAS = frozenset({
    "locally_connected_1d", "locally_connected_2d", "thresholded_relu", "selu", "expr", "crossentropy",
    "mean_relative_error",
})  # fmt: skip
"""Names of components (layers, losses ...) that have no class in Keras 3."""
_LOSSES_ALONE = frozenset({"binary_focal_crossentropy", "categorical_focal_crossentropy", "huber"})
"""Names of losses that Keras 3 does not have as metric classes (only as metric functions)."""
OF_NETWORKS = {
    "layer_scale": "keras.src.applications.convnext",
    "stochastic_depth": "keras.src.applications.convnext",
    "custom_scale_layer": "keras.src.applications.inception_resnet_v2",
}  # fmt: skip
"""Mapping from a layer to the only module of keras.applications in which Keras finds its class."""
_WITHOUT_TRAINABLE = frozenset({
    "discretization", "pipeline", "spatial_dropout_1d", "spatial_dropout_2d", "spatial_dropout_3d",
})  # fmt: skip
"""Layers without weights of their own, whose classes in Keras do not take `trainable`."""
_ACTIVATION_LAYERS = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "softmax": "Softmax"}
"""Mapping from an activation to the Keras layer class that replaces the activation if it has arguments."""


def keras_object(thing: Component, where: str, problems: list[Fault], **bookkeeping: Any) -> dict[str, Any]:
    """Return a component (layer, loss ...) as {module, class_name, config, registered_name} for Keras; `bookkeeping`
    has the first keys of its config."""
    unknown = _UNKNOWN_TO_KERAS | _LOSSES_ALONE if isinstance(thing, Metric) else _UNKNOWN_TO_KERAS
    is_in_keras = thing.component_name not in unknown
    kind = next((kind for kind in _KINDS if isinstance(thing, registries()[kind].base)), None)
    if kind is None or not is_in_keras or not type(thing).__module__.startswith("kerascli."):
        problems.append(Fault(f"{where}: Keras 3 has no '{thing.component_name}'"))
        return {}
    config = {**bookkeeping, **settings_of(thing, where, problems)}
    network = OF_NETWORKS.get(thing.component_name) if isinstance(thing, BaseLayer) else None
    module = f"keras.{'optimizers.' if kind == 'schedule' else ''}{plural(kind)}"
    return serialized(network or module, type(thing).__name__, config, registered=network is not None)


def serialized(module: str, class_name: str, config: Mapping[str, Any], *, registered: bool = False) -> dict[str, Any]:
    """Return an object in the form in which Keras serializes it; Keras registers classes that are not in its API."""
    name = class_name if registered else None
    return {"module": module, "class_name": class_name, "config": config, "registered_name": name}


def dtype_policy(name: str) -> dict[str, Any]:
    return serialized("keras", "DTypePolicy", {"name": name})


def layer_object(layer: BaseLayer, name: str, precision: str, problems: list[Fault]) -> dict[str, Any]:
    """Return a layer serialized for Keras, with its name and dtype policy in its config."""
    if layer.component_name in GIVE_WHOLE_NUMBERS and getattr(layer, "output_mode", "") == "int":
        precision = "int64"
    if layer.component_name.startswith("separable_conv") and getattr(layer, "padding", "") == "causal":
        problems.append(Fault(f"'{name}': Keras 3 has no causal padding of '{layer.component_name}'"))
    dtype = {} if layer.component_name == "pipeline" else {"dtype": dtype_policy(precision)}
    return keras_object(layer, name, problems, name=name, **dtype)


def settings_of(thing: Component, where: str, problems: list[Fault]) -> dict[str, Any]:
    """Return a component's arguments as JSON for a Keras file."""
    values = {name: getattr(thing, name) for name in type(thing).model_fields}
    if not values.get("trainable", True):
        values = mapped(values, lambda v: v.model_copy(update={"trainable": False}) if isinstance(v, BaseLayer) else v)
    config = {name: to_keras(value, f"{where}, {name}", problems) for name, value in values.items()}
    if isinstance(values.get("layer"), Pipeline):  # Keras's builds no weights when a layer around it is built
        config["layer"] |= {"module": "keras", "class_name": "Sequential"}
    config |= {name: value for name, value in NULLS.get(thing.component_name, {}).items() if config[name] is None}
    if config.get("name", "") is None:  # of a metric
        del config["name"]
    if thing.component_name in _WITHOUT_TRAINABLE:
        del config["trainable"]
    if config.pop("gradient_scale", None) is not None:
        problems.append(Fault(f"{where}: Keras's optimizers have no gradient_scale"))
    return config


def to_keras(value: Any, where: str, problems: list[Fault]) -> Any:
    """Return the value of a component's argument as JSON for a Keras file; nested components (initializers ...) become
    Keras objects, layers with a number after equal names (gru_cell, gru_cell_1)."""
    counts = Counter[str]()

    def write(thing: Component) -> Any:
        kind = thing.component_name
        if isinstance(thing, Activation):
            return _activation(thing, where, problems)
        number, counts[kind] = counts[kind], counts[kind] + 1
        name = {"name": f"{kind}_{number}" if number else kind} if isinstance(thing, BaseLayer) else {}
        return keras_object(thing, where, problems, **name)

    return plain(value, write)


def _activation(value: Activation, where: str, problems: list[Fault]) -> Any:
    name = value.component_name
    if not changed_arguments(value):
        return name
    if (layer := _ACTIVATION_LAYERS.get(name)) is None:
        problems.append(Fault(f"{where}: in Keras, the activation '{name}' is a function without arguments"))
        return None
    return serialized("keras.layers", layer, {name: getattr(value, name) for name in type(value).model_fields})


def compile_config(spec: CompileSpec, outputs: Mapping[str, str]) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Translate `compile` to Keras's compile config; return (config, ()), or (None, notes on what Keras cannot
    express).

    `outputs` maps the model's outputs to Keras's names of them.
    """
    problems: list[Fault] = []
    pairs = {pair.output: pair for pair in spec.pairs}
    present = [pairs.get(output, OutputTarget(output, "", None, 1.0, ())) for output in outputs]
    losses, weights = [to_keras(pair.loss, "loss", problems) for pair in present], [pair.weight for pair in present]
    config: dict[str, Any] = {
        "optimizer": keras_object(spec.optimizer, "optimizer", problems), "loss": one_or_all(losses),
        "loss_weights": None if weights == [1.0] else one_or_all(weights),
    }  # fmt: skip
    for key, weighted in (("metrics", False), ("weighted_metrics", True)):
        uses = [[use for use in pair.metrics if use.weighted is weighted] for pair in present]
        metrics = [[_metric(use.metric, use.name, problems) for use in of_output] for of_output in uses]
        config[key] = one_or_all(metrics) if any(metrics) else None
    if problems:
        return None, tuple(f"the compile settings are not exported: {fault.text}" for fault in problems)
    return config, ()


def _metric(metric: Component, name: str, problems: list[Fault]) -> Any:
    """Return a metric serialized as a Keras object, with the name that kerascli gives it in its logs."""
    if metric.component_name in {"accuracy", "crossentropy"}:  # Keras chooses by the loss and the shapes
        return metric.component_name
    made = keras_object(metric, "metrics", problems)
    return {**made, "config": {**made["config"], "name": name}} if made else made


def one_or_all(values: list[Any]) -> Any:
    """Return the only value of a list, or the list of several, as Keras's files hold it."""
    return values[0] if len(values) == 1 else values
