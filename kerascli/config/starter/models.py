"""Models that `kerascli init` proposes for tables, images, texts and time series, read from `models.yaml`."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.language.expressions import substitute

KINDS = ("linear", "mlp", "wide_and_deep", "cnn", "resnet", "lstm", "transformer")
"""Names of the kinds of models that the option `--model` of `kerascli init` accepts."""

FEW_ROWS = 1000
"""Number of rows of a table, below which the default model is the mean of several small networks."""
_FILE = Path(__file__).with_suffix(".yaml")

Proposed = tuple[dict[str, Any], str]
"""Type of a `model` section, and the reason for it as text."""


def check_kind(kind: str | None, fitting: tuple[str, ...], what: str) -> str:
    """Return the kind of model to draft: `kind`, by default the first of `fitting`. Raises ConfigError if `kind` is not
    one of these."""
    if kind is not None and kind not in fitting:
        names = ", ".join(each for each in KINDS if each in fitting)
        raise ConfigError(f"--model: '{kind}' does not fit {what}", hint=f"these do: {names}")
    return kind or fitting[0]


def head(classes: Sequence[str], key: str) -> dict[str, Any]:
    """Return the arguments of the `dense` output layer for the target `key`; without `classes`, it has one unit."""
    if not classes:
        return {"units": 1}
    if len(classes) == 2:
        return {"units": 1, "activation": "sigmoid"}
    return {"units": f"$targets.{key}.num_classes", "activation": "softmax"}


def proposed(model: str, /, **values: Any) -> Proposed:
    """Return the model `model` of `models.yaml`, with `values` in it, as a `model` section, and the reason for it."""
    section = _filled(_models()[model], values)
    return section, section.pop("reason")


def _layers(name: str, /, **values: Any) -> list[Any]:
    """Return the list of layers `name` of `models.yaml`, with `values` in it."""
    return _filled(_models()[name], values)


@cache
def _models() -> Mapping[Any, Any]:
    return parse_document(_FILE.read_text(encoding="utf-8"), _FILE.name).data


def _filled(written: Any, values: Mapping[str, Any]) -> Any:
    """Return data with its `$` references replaced by `values`; a reference that is a list is extended in a list."""
    if isinstance(written, str):
        return substitute(written, values)
    if isinstance(written, dict):
        return {key: _filled(item, values) for key, item in written.items()}
    if not isinstance(written, list):
        return written
    items = [(item, _filled(item, values)) for item in written]
    return [each for item, new in items for each in (new if isinstance(item, str) and isinstance(new, list) else [new])]


def table_model(kind: str | None, inputs: list[str], rows: int, last: dict[str, Any]) -> Proposed:
    """Return the model for a table. Raises ConfigError if `kind` fits no table.

    `inputs` are the names of all inputs, `last` are the arguments of the last layer.
    """
    width = next((width for most, width in ((500, 32), (5_000, 64), (50_000, 128)) if rows < most), 256)
    is_ensemble = kind is None and rows < FEW_ROWS
    kind = "ensemble" if is_ensemble else check_kind(kind, ("mlp", "linear", "wide_and_deep", "resnet"), "a table")
    several = len(inputs) > 1
    activation = [{"activation": last["activation"]}] if "activation" in last else []
    return proposed(
        f"table_{kind}", width=width, rows=f"{rows:,}", last=last, units=last["units"], activation=activation,
        joined=[{"concatenate": inputs}] if several else [],
        joined_by_name=[{"concatenate": {"inputs": inputs, "name": "features"}}] if several else [],
        features="features" if several else inputs[0],
    )  # fmt: skip


def image_model(kind: str, height: int, width: int, last: dict[str, Any]) -> Proposed:
    """Return the model for a classifier of images; `last` are the arguments of the last layer."""
    levels = 1  # how often the network halves height and width, until 4 to 8 pixels are left
    while levels < 4 and min(height, width) >= 8 * 2**levels:
        levels += 1
    halving = "image_resnet_halving" if kind == "resnet" else "image_cnn_halving"
    halvings = [layer for level in range(levels) for layer in _layers(halving, filters=32 * 2**level)]
    rest = (height // 2**levels) * (width // 2**levels)
    pool = "flatten" if rest <= 64 else "global_average_pooling_2d"
    return proposed(f"image_{kind}", levels=levels, halvings=halvings, pool=pool, last=last)


def text_model(kind: str, name: str, length: int, last: dict[str, Any]) -> Proposed:
    """Return the model for texts: vectors of word counts, or `length` token ids, which are the input `name`."""
    encoder = _layers("encoder", before="words", width=64)
    return proposed(f"text_{kind}", name=name, length=length, encoder=encoder, last=last)


def series_model(kind: str, length: int, *, has_context: bool) -> Proposed:
    """Return the model for a forecast: the last value of the window, plus a linear layer and a network of kind `kind`,
    which both take the window."""
    window = "window" if has_context else "change"
    joined = [{"concatenate": {"inputs": ["change", "context"], "name": "window"}}] if has_context else []
    return proposed(
        f"series_{kind}", length=length, window=window, start=_layers("series_start", window=window, joined=joined),
        encoder=_layers("encoder", before="placed", width=32), end=_layers("series_end"),
    )  # fmt: skip
