"""Model sections that `kerascli init` proposes for tables, images, sequences of token ids and time series."""

from collections.abc import Sequence
from typing import Any

from kerascli.foundation.errors import ConfigError

KINDS = ("linear", "mlp", "wide_and_deep", "cnn", "resnet", "lstm", "transformer")
"""Names of the kinds of models that the option `--model` of `kerascli init` accepts."""

Layers = list[Any]
"""Type of the layers of a model, as a config writes them."""

MEMBERS = 4
FEW_ROWS = 1000
"""Number of rows of a table, below which the default model is the mean of several small networks."""
_NORM: dict[str, Any] = {"batch_normalization": {"momentum": 0.9}}
"""Layer `batch_normalization` with faster averages: at momentum 0.99 a short epoch would mislead early stopping."""


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
    if kind is None and rows < FEW_ROWS:
        reason = f"few rows: the mean of {MEMBERS} small networks, with hidden layers of {width} and {width // 2}"
        return _committee(inputs, width, last), reason
    kind = check_kind(kind, ("mlp", "linear", "wide_and_deep", "resnet"), "a table")
    joined: Layers = [{"concatenate": inputs}] if len(inputs) > 1 else []
    if kind == "linear":
        layers, reason = [*joined, {"dense": last}], "a linear model: one dense layer"
    elif kind == "mlp":
        layers = [*joined, *_two_hidden(width, 0.2), {"dense": last}]
        reason = f"two hidden layers of {width} and {width // 2} units, for about {rows:,} rows"
    elif kind == "resnet":
        layers = [*joined, *_residual_units(width), {"dense": last}]
        reason = f"two residual blocks of {width} units"
    else:
        layers = _wide_and_deep(inputs, width, last)
        reason = "a linear model (wide) and an MLP (deep), whose sum is the prediction"
    return {"layers": layers}, reason


def _features(inputs: list[str]) -> tuple[Layers, str]:
    """Return the layers that join the inputs, and the name of their output; none for a single input."""
    if len(inputs) == 1:
        return [], inputs[0]
    return [{"concatenate": {"inputs": inputs, "name": "features"}}], "features"


def _activation(last: dict[str, Any]) -> Layers:
    return [{"activation": last["activation"]}] if "activation" in last else []


def _wide_and_deep(inputs: list[str], width: int, last: dict[str, Any]) -> Layers:
    start, features = _features(inputs)
    return [
        *start,
        {"dense": {"units": last["units"], "inputs": features, "name": "wide"}},
        {"dense": {"units": width, "activation": "relu", "inputs": features}},
        {"dropout": 0.2},
        {"dense": {"units": width // 2, "activation": "relu"}},
        {"dense": {"units": last["units"], "name": "deep"}},
        {"add": ["wide", "deep"]},
        *_activation(last),
    ]


def _committee(inputs: list[str], width: int, last: dict[str, Any]) -> dict[str, Any]:
    """Return the `model` section of an ensemble: several small networks side by side, whose mean is the prediction."""
    member = [*_two_hidden(width, 0.3), {"dense": {"units": last["units"]}}]
    names = [f"member_{number}" for number in range(1, MEMBERS + 1)]
    start, features = _features(inputs)
    calls = [{"member": {"inputs": features, "name": name}} for name in names]
    layers = [*start, *calls, {"average": names}, *_activation(last)]
    return {"blocks": {"member": {"layers": member}}, "layers": layers}


def _two_hidden(width: int, rate: float) -> Layers:
    """Return two hidden `dense` layers with a `dropout` layer between them."""
    return [*hidden(width, rate), {"dense": {"units": width // 2, "activation": "relu"}}]


def _residual_units(width: int) -> Layers:
    layers: Layers = [{"dense": {"units": width, "name": "block_0"}}]
    for number in (1, 2):
        before = f"block_{number - 1}"
        layers += [
            {"batch_normalization": {"momentum": 0.9, "inputs": before}},
            *hidden(width, 0.2),
            {"dense": {"units": width, "name": f"change_{number}"}},
            {"add": {"inputs": [before, f"change_{number}"], "name": f"block_{number}"}},
        ]
    return [*layers, _NORM, "relu"]


def image_model(kind: str, height: int, width: int, last: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return (`model` section of a classifier of images with the output layer `last`, reason for it as text)."""
    if kind in ("linear", "mlp"):
        reason = "all pixels in a row, into dense layers: a baseline, --model cnn is usually better"
        return {"layers": ["flatten", *(hidden(256, 0.3) if kind == "mlp" else []), {"dense": last}]}, reason
    levels = 1  # how often the network halves height and width, until 4 to 8 pixels are left
    while levels < 4 and min(height, width) >= 8 * 2**levels:
        levels += 1
    if kind == "resnet":
        return _resnet(levels, last), f"residual blocks, {levels} of which halve height and width"
    layers: Layers = []
    for level in range(levels):
        layers += [_conv(32 * 2**level), _NORM, "relu", {"max_pooling_2d": 2}]
    rest = (height // 2**levels) * (width // 2**levels)
    pool = "flatten" if rest <= 64 else "global_average_pooling_2d"
    reason = f"{levels} convolutions, each of which halves height and width, then a dense layer"
    return {"layers": [*layers, pool, {"dropout": 0.4}, {"dense": last}]}, reason


def _conv(filters: int | str) -> dict[str, Any]:
    return {"conv_2d": {"filters": filters, "kernel_size": 3, "padding": "same", "use_bias": False}}


def _resnet(levels: int, last: dict[str, Any]) -> dict[str, Any]:
    skip = {"filters": "$filters", "kernel_size": 1, "strides": "$strides", "inputs": "input", "name": "skip"}
    block = [
        {"conv_2d": {**_conv("$filters")["conv_2d"], "strides": "$strides"}},
        _NORM,
        "relu",
        _conv("$filters"),
        {"batch_normalization": {"momentum": 0.9, "name": "change"}},
        {"conv_2d": skip},
        {"add": ["change", "skip"]},
        "relu",
    ]
    blocks = [{"residual": {"filters": 32 * 2**level, "strides": 2}} for level in range(levels)]
    layers = [_conv(32), _NORM, "relu", *blocks, "global_average_pooling_2d", {"dropout": 0.3}, {"dense": last}]
    return {"blocks": {"residual": {"parameters": {"filters": None, "strides": 1}, "layers": block}}, "layers": layers}


def autoencoder(height: int, width: int, channels: int, code: int) -> dict[str, Any]:
    """Return the `model` section that compresses images to `code` numbers and restores them."""
    conv = {"kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}
    return {
        "layers": [
            {"conv_2d": {"filters": 32, **conv}},
            {"conv_2d": {"filters": 64, **conv}},
            "flatten",
            {"dense": {"units": code, "name": "code"}},
            {"dense": {"units": 256, "activation": "relu"}},
            {"dense": {"units": height * width * channels, "activation": "sigmoid"}},
            {"reshape": [height, width, channels]},
        ]
    }


def encoder(before: str, width: int) -> Layers:
    """Return the layers of a transformer's encoder block (Vaswani et al., 2017) of `width` units on a node `before`."""
    return [
        {"multi_head_attention": {"num_heads": 4, "key_dim": width // 4, "inputs": [before, before]}},
        {"dropout": {"rate": 0.1, "name": "attention_dropout"}},
        {"add": [before, "attention_dropout"]},
        {"layer_normalization": {"epsilon": 1e-6, "name": "attention_norm"}},
        {"dense": {"units": 2 * width, "activation": "relu"}},
        {"dense": width},
        {"dropout": {"rate": 0.1, "name": "ffn_dropout"}},
        {"add": ["attention_norm", "ffn_dropout"]},
        {"layer_normalization": {"epsilon": 1e-6}},
    ]


def series_layers(kind: str, length: int, *, has_context: bool) -> Layers:
    """Return the layers of a forecasting model: the last value of a window (of `length` rows), plus two networks.

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
    last = {"units": 1, "kernel_initializer": "zeros", "name": "bend"}
    return [*layers, *_deep(kind, window, length), {"dense": last}, {"add": ["last", "linear", "bend"]}]


def _deep(kind: str, window: str, length: int) -> Layers:
    dense = {"dense": {"units": 32, "activation": "relu"}}
    if kind == "mlp":
        return [{"dense": {"units": 64, "activation": "relu", "inputs": "steps"}}, {"dropout": 0.1}, dense]
    if kind == "cnn":
        conv = {"filters": 32, "kernel_size": 3, "padding": "causal", "activation": "relu"}
        return [{"conv_1d": {**conv, "inputs": window}}, {"conv_1d": {**conv, "dilation_rate": 2}}, "flatten", dense]
    if kind == "lstm":
        return [{"lstm": {"units": 32, "inputs": window}}]
    return [
        {"dense": {"units": 32, "inputs": window, "name": "projected"}},
        {"weight": {"shape": [length, 32], "initializer": {"random_normal": {"stddev": 0.02}}, "name": "positions"}},
        {"expr": {"value": "projected + positions", "name": "placed"}},
        *encoder("placed", 32),
        "global_average_pooling_1d",
    ]
