"""Model sections that `kerascli init` proposes for tables, images, sequences of token ids and time series."""

from collections.abc import Sequence
from typing import Any

from kerascli.config.composition.applications import filled
from kerascli.config.yaml.text import parse_value
from kerascli.foundation.errors import ConfigError

KINDS = ("linear", "mlp", "wide_and_deep", "cnn", "resnet", "lstm", "transformer")
"""Names of the kinds of models that the option `--model` of `kerascli init` accepts."""

Layers = list[Any]
"""Type of the layers of a model, as a config writes them."""

MEMBERS = 4
FEW_ROWS = 1000
"""Number of rows of a table, below which the default model is the mean of several small networks."""


def from_yaml(written: str, **names: Any) -> Any:
    """Return a part of a config that is written in YAML, with the `$` references to `names` in it replaced."""
    return filled(parse_value(written, "init"), names)


def check_kind(kind: str | None, fitting: tuple[str, ...], what: str) -> str:
    """Return the kind of model to generate: `kind` or, if it is None, the first of the allowed kinds `fitting`.

    Raises ConfigError if `kind` is not in `fitting`; `what` names the data in the error message.
    """
    if kind is not None and kind not in fitting:
        names = ", ".join(each for each in KINDS if each in fitting)
        raise ConfigError(f"--model: '{kind}' does not fit {what}", hint=f"these do: {names}")
    return kind or fitting[0]


def head(classes: Sequence[str], key: str) -> dict[str, Any]:
    """Return the arguments of the output `dense` layer for the target `key`; without `classes`, one unit."""
    if not classes:
        return {"units": 1}
    if len(classes) == 2:
        return {"units": 1, "activation": "sigmoid"}
    return {"units": f"$targets.{key}.num_classes", "activation": "softmax"}


def hidden(units: int, dropout: float) -> Layers:
    """Return a hidden `dense` layer of `units` units with relu, and a `dropout` layer, in the form of a config."""
    return [{"dense": {"units": units, "activation": "relu"}}, {"dropout": dropout}]


def table_model(kind: str | None, inputs: list[str], rows: int, last: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return (`model` section for a table, reason for it as text). Raises ConfigError if `kind` fits no table.

    `inputs` are the names of all inputs, `rows` is the table's number of rows, `last` the arguments of the last layer.
    """
    width = next((width for most, width in ((500, 32), (5_000, 64), (50_000, 128)) if rows < most), 256)
    several = len(inputs) > 1
    joined: Layers = [{"concatenate": inputs}] if several else []
    named: Layers = [{"concatenate": {"inputs": inputs, "name": "features"}}] if several else []
    features = "features" if several else inputs[0]
    activation: Layers = [{"activation": last["activation"]}] if "activation" in last else []
    if kind is None and rows < FEW_ROWS:
        reason = f"few rows: the mean of {MEMBERS} small networks, with hidden layers of {width} and {width // 2}"
        member = [*_two_hidden(width, 0.3), {"dense": {"units": last["units"]}}]
        names = [f"member_{number}" for number in range(1, MEMBERS + 1)]
        calls = [{"member": {"inputs": features, "name": name}} for name in names]
        layers = [*named, *calls, {"average": names}, *activation]
        return {"blocks": {"member": {"layers": member}}, "layers": layers}, reason
    kind = check_kind(kind, ("mlp", "linear", "wide_and_deep"), "a table")
    if kind == "linear":
        layers, reason = [*joined, {"dense": last}], "a linear model: one dense layer"
    elif kind == "mlp":
        layers = [*joined, *_two_hidden(width, 0.2), {"dense": last}]
        reason = f"two hidden layers of {width} and {width // 2} units, for about {rows:,} rows"
    else:
        both = from_yaml(_WIDE_AND_DEEP, width=width, features=features, units=last["units"])
        layers = [*named, *both, *activation]
        reason = "a linear model (wide) and an MLP (deep), whose sum is the prediction"
    return {"layers": layers}, reason


def _two_hidden(width: int, rate: float) -> Layers:
    """Return two hidden `dense` layers with a `dropout` layer between them."""
    return [*hidden(width, rate), {"dense": {"units": width // 2, "activation": "relu"}}]


_WIDE_AND_DEEP = """
- dense: {units: $units, inputs: $features, name: wide}
- dense: {units: $width, activation: relu, inputs: $features}
- dropout: 0.2
- dense: {units: $(width // 2), activation: relu}
- dense: {units: $units, name: deep}
- add: [wide, deep]
"""


def image_model(kind: str, height: int, width: int, last: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return (`model` section of a classifier of images with the output layer `last`, reason for it as text)."""
    if kind in ("linear", "mlp"):
        reason = "all pixels in a row, into dense layers: a baseline, --model cnn is usually better"
        return {"layers": ["flatten", *(hidden(256, 0.3) if kind == "mlp" else []), {"dense": last}]}, reason
    # the network halves height and width until 4 to 8 pixels are left
    filters = [32 * 2**level for level in range(4) if level == 0 or min(height, width) >= 8 * 2**level]
    levels = len(filters)
    if kind == "resnet":
        block = {"parameters": {"filters": None, "strides": 1}, "layers": from_yaml(_RESIDUAL_BLOCK)}
        uses = [{"residual": {"filters": count, "strides": 2}} for count in filters]
        layers = [*from_yaml(_CONVOLUTION, filters=32), *uses, "global_average_pooling_2d", {"dropout": 0.3}]
        reason = f"residual blocks, {levels} of which halve height and width"
        return {"blocks": {"residual": block}, "layers": [*layers, {"dense": last}]}, reason
    layers = [each for count in filters for each in (*from_yaml(_CONVOLUTION, filters=count), {"max_pooling_2d": 2})]
    rest = (height // 2**levels) * (width // 2**levels)
    pool = "flatten" if rest <= 64 else "global_average_pooling_2d"
    reason = f"{levels} convolutions, each of which halves height and width, then a dense layer"
    return {"layers": [*layers, pool, {"dropout": 0.4}, {"dense": last}]}, reason


# faster averages of the batch normalization: at momentum 0.99 a short epoch would mislead early stopping
_CONVOLUTION = """
- conv_2d: {filters: $filters, kernel_size: 3, padding: same, use_bias: false}
- batch_normalization: {momentum: 0.9}
- relu
"""
_RESIDUAL_BLOCK = """
- conv_2d: {filters: $filters, kernel_size: 3, padding: same, use_bias: false, strides: $strides}
- batch_normalization: {momentum: 0.9}
- relu
- conv_2d: {filters: $filters, kernel_size: 3, padding: same, use_bias: false}
- batch_normalization: {momentum: 0.9, name: change}
- conv_2d: {filters: $filters, kernel_size: 1, strides: $strides, inputs: input, name: skip}
- add: [change, skip]
- relu
"""
AUTOENCODER = """
- conv_2d: {filters: 32, kernel_size: 3, strides: 2, padding: same, activation: relu}
- conv_2d: {filters: 64, kernel_size: 3, strides: 2, padding: same, activation: relu}
- flatten
- dense: {units: $code, name: code}
- dense: {units: 256, activation: relu}
- dense: {units: $(height * width * channels), activation: sigmoid}
- reshape: [$height, $width, $channels]
"""
"""Layers that compress images to `code` numbers and restore them."""
_SERIES = {
    "mlp": """
- dense: {units: 64, activation: relu, inputs: steps}
- dropout: 0.1
- dense: {units: 32, activation: relu}
""",
    "lstm": "[lstm: {units: 32, inputs: $window}]",
}


def series_layers(kind: str, *, has_context: bool) -> Layers:
    """Return the layers of a forecasting model: the last value of a window, plus two networks.

    One network is linear, the other of the kind `kind`; both take the window and, with `has_context`, other columns.
    """
    window = "window" if has_context else "change"
    layers: Layers = [
        {"expr": {"value": "history[:, -1, :]", "name": "last"}},
        {"expr": {"value": "history - history[:, -1:, :]", "name": "change"}},
        *([{"concatenate": {"inputs": ["change", "context"], "name": "window"}}] if has_context else []),
        {"flatten": {"inputs": window, "name": "steps"}},
        {"dense": {"units": 1, "inputs": "steps", "name": "linear"}},
    ]
    if kind == "linear":
        return [*layers, {"add": ["last", "linear"]}]
    network = from_yaml(_SERIES[kind], window=window)
    last = {"units": 1, "kernel_initializer": "zeros", "name": "bend"}
    return [*layers, *network, {"dense": last}, {"add": ["last", "linear", "bend"]}]
