"""Convert the config section `compile` to the compile config of a Keras file."""

from collections.abc import Mapping
from typing import Any

from kerascli.config.sections.compile import CompileSpec
from kerascli.interop.keras_export.serialized import Problems, keras_object
from kerascli.language.component import Component


def compile_config(spec: CompileSpec, outputs: Mapping[str, str]) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Translate `compile` to Keras's compile config; return (config, ()), or (None, notes on what Keras cannot
    express).

    `outputs` maps the model's outputs to Keras's names of them.
    """
    problems = Problems()
    pairs = {pair.output: pair for pair in spec.pairs}
    present = [pairs.get(output) for output in outputs]
    losses = [None if g is None or g.loss is None else keras_object(g.loss, "loss", problems) for g in present]
    config: dict[str, Any] = {
        "optimizer": keras_object(spec.optimizer, "optimizer", problems),
        "loss": _one_or_all(losses),
        "loss_weights": None if len(losses) == 1 else [1.0 if g is None else g.weight for g in present],
    }
    for key, weighted in (("metrics", False), ("weighted_metrics", True)):
        uses = [[] if g is None else [u for u in g.metrics if u.weighted is weighted] for g in present]
        metrics = [[_metric(use.metric, use.name, problems) for use in of_output] for of_output in uses]
        config[key] = (metrics if len(metrics) > 1 else metrics[0]) if any(metrics) else None
    if len(losses) == 1 and present[0] is not None and present[0].weight != 1.0:
        config["loss_weights"] = present[0].weight
    if problems.faults:
        return None, tuple(f"the compile settings are not exported: {fault.text}" for fault in problems.faults)
    return config, ()


def _metric(metric: Component, name: str, problems: Problems) -> Any:
    """Return a metric serialized as a Keras object, with the name that kerascli gives it in its logs."""
    if metric.component_name in {"accuracy", "crossentropy"}:  # Keras chooses by the loss and the shapes
        return metric.component_name
    made = keras_object(metric, "metrics", problems)
    return {**made, "config": {**made["config"], "name": name}} if made else made


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
