"""Models for tables in order of size, from a linear one to residual blocks; and the output layer for a target."""

from collections.abc import Sequence
from typing import Any

from kerascli.foundation.errors import ConfigError

KINDS = ("linear", "mlp", "wide_and_deep", "cnn", "resnet", "lstm", "transformer")
"""Names of the kinds of models that the option `--model` of `kerascli init` accepts."""


MEMBERS = 4
FEW_ROWS = 1000
"""Number of rows of a table, below which the default model is the mean of several small networks."""


def check_kind(kind: str | None, fitting: tuple[str, ...], what: str) -> str:
    """Return the kind of model to draft: `kind`, by default the first of `fitting`. Raises ConfigError if `kind` is not
    one of these."""
    if kind is None:
        return fitting[0]
    if kind not in fitting:
        names = ", ".join(each for each in KINDS if each in fitting)
        raise ConfigError(f"--model: '{kind}' does not fit {what}", hint=f"these do: {names}")
    return kind


def head(classes: Sequence[str], key: str) -> dict[str, Any]:
    """Return the arguments of the `dense` output layer for the target `key`; without `classes`, it has one unit."""
    if not classes:
        return {"units": 1}
    if len(classes) == 2:
        return {"units": 1, "activation": "sigmoid"}
    return {"units": f"$targets.{key}.num_classes", "activation": "softmax"}


def width_of(rows: int) -> int:
    """Return the number of units of the first hidden layer for a table with `rows` rows."""
    return next((width for most, width in ((500, 32), (5_000, 64), (50_000, 128)) if rows < most), 256)


def table_layers(kind: str | None, inputs: list[str], rows: int, last: dict[str, Any]) -> tuple[list[Any], str]:
    """Return the layers of a model for a table, and the reason for them as text. Raises ConfigError if `kind` fits no
    table.

    `inputs` are the names of all inputs, `last` are the arguments of the last layer.
    """
    kind = check_kind(kind, ("mlp", "linear", "wide_and_deep", "resnet"), "a table")
    width = width_of(rows)
    joined: list[Any] = [{"concatenate": inputs}] if len(inputs) > 1 else []
    if kind == "linear":
        return [*joined, {"dense": last}], "a linear model: one dense layer"
    if kind == "mlp":
        layers = [*joined, *_hidden(width, 0.2), {"dense": last}]
        return layers, f"two hidden layers of {width} and {width // 2} units, for about {rows:,} rows"
    if kind == "resnet":
        return [*joined, *_residual(width), {"dense": last}], f"two residual blocks of {width} units"
    features = "features" if joined else inputs[0]
    layers = [
        *([{"concatenate": {"inputs": inputs, "name": features}}] if joined else []),
        {"dense": {"units": last["units"], "inputs": features, "name": "wide"}},
        {"dense": {"units": width, "activation": "relu", "inputs": features}},
        {"dropout": 0.2},
        {"dense": {"units": width // 2, "activation": "relu"}},
        {"dense": {"units": last["units"], "name": "deep"}},
        {"add": ["wide", "deep"]},
        *([{"activation": last["activation"]}] if "activation" in last else []),
    ]
    return layers, "a linear model (wide) and an MLP (deep), whose sum is the prediction"


def committee(inputs: list[str], rows: int, last: dict[str, Any]) -> dict[str, Any]:
    """Return the `model` section of an ensemble: several small networks side by side, whose mean is the prediction."""
    member = [*_hidden(width_of(rows), 0.3), {"dense": {"units": last["units"]}}]
    names = [f"member_{number}" for number in range(1, MEMBERS + 1)]
    start = [{"concatenate": {"inputs": inputs, "name": "features"}}] if len(inputs) > 1 else []
    features = "features" if start else inputs[0]
    end: list[Any] = [{"activation": last["activation"]}] if "activation" in last else []
    calls = [{"member": {"inputs": features, "name": name}} for name in names]
    return {"blocks": {"member": {"layers": member}}, "layers": [*start, *calls, {"average": names}, *end]}


def _hidden(width: int, rate: float) -> list[Any]:
    """Return two hidden `dense` layers with a `dropout` layer between them."""
    return [
        {"dense": {"units": width, "activation": "relu"}},
        {"dropout": rate},
        {"dense": {"units": width // 2, "activation": "relu"}},
    ]


def _residual(width: int) -> list[Any]:
    layers: list[Any] = [{"dense": {"units": width, "name": "block_0"}}]
    for number in (1, 2):
        before = f"block_{number - 1}"
        layers += [
            {"batch_normalization": {"momentum": 0.9, "inputs": before}},
            {"dense": {"units": width, "activation": "relu"}},
            {"dropout": 0.2},
            {"dense": {"units": width, "name": f"change_{number}"}},
            {"add": {"inputs": [before, f"change_{number}"], "name": f"block_{number}"}},
        ]
    return [*layers, {"batch_normalization": {"momentum": 0.9}}, "relu"]
