"""Kinds of components (layers, losses ...): where each has its registry, and where and how a config writes one."""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """Kind of component, such as the losses."""

    home: str
    """Module that defines the base class of the kind and creates its registry."""
    example: str = "{}"
    """Format of a YAML line that shows how such a component is used."""
    place: tuple[str, str] | None = None
    """Section and key of a config that hold such components; None: only other components have them as arguments."""
    form: Literal["one", "list", "pipelines"] = "one"
    """Form of the value at `place`: one component, a list of them, or a mapping of pipelines."""
    line: str = ""
    """Format of the line below the section; empty: that of `example`."""


KINDS: Mapping[str, Kind] = {
    "layer": Kind("kerascli.layers.base", "- {}", ("model", "layers"), "list", "layers: [{}, ...]"),
    "loss": Kind("kerascli.losses.base", "loss: {}", ("compile", "loss")),
    "metric": Kind("kerascli.metrics.base", "metrics: [{}]", ("compile", "metrics"), "list"),
    "optimizer": Kind("kerascli.optimizers.base", "optimizer: {}", ("compile", "optimizer")),
    "schedule": Kind("kerascli.schedules.base", "learning_rate: {}"),
    "callback": Kind("kerascli.callbacks.base", "callbacks: [{}]", ("fit", "callbacks"), "list"),
    "activation": Kind("kerascli.parts.base", "activation: {}"),
    "initializer": Kind("kerascli.parts.base", "kernel_initializer: {}"),
    "regularizer": Kind("kerascli.parts.base", "kernel_regularizer: {}"),
    "constraint": Kind("kerascli.parts.base", "kernel_constraint: {}"),
    "distribution": Kind("kerascli.parts.distributions", "distribute: {}", ("fit", "distribute")),
    "source": Kind("kerascli.data.base", "source: {}", ("data", "source")),
    "transform": Kind("kerascli.data.base", "x: [{}]", ("data", "inputs"), "pipelines", "inputs: {{x: [{}]}}"),
    "reader": Kind("kerascli.data.readers"),
    "feature": Kind("kerascli.data.base"),
    "augmentation": Kind("kerascli.data.mixing", "augment: [{}]"),
}
"""All kinds by name, in the order of the reference documentation."""


def places(form: str) -> dict[str, tuple[str, str]]:
    """Return a mapping from each kind whose components have a place of the form `form` in a config to that place."""
    return {name: kind.place for name, kind in KINDS.items() if kind.place is not None and kind.form == form}


def plural(kind: str) -> str:
    """Return the plural of a kind of component: `layers`, `losses`."""
    return {"loss": "losses"}.get(kind, kind.replace(" ", "_") + "s")
