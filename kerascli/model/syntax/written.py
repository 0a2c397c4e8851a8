"""A node as it is written: a layer's settings, and what stands beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerascli.component import names_first_argument, split_form
from kerascli.errors import Path, nearest
from kerascli.layers.base import LAYERS, BaseLayer, CallArgument
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.schema import FirstLayerKeys, NodeKeys
from kerascli.section import key_names, keys_of

_MASK: Mapping[str, CallArgument] = {
    "mask": CallArgument(
        "tensor", "a tensor (batch, time): steps that are not 0 count, the others are skipped", or_false=True
    )
}
"""What every layer takes that `uses_mask`: a mask given by hand instead of the one that came along the edge."""
ANY_CALL: Mapping[str, CallArgument] = {
    "training": CallArgument("bool", "true or false: run as in training, or as in inference, whatever goes on"),
}


@dataclass(frozen=True, slots=True)
class WrittenNode:
    """An entry of `layers`, taken apart but not yet understood. Paths are relative to the model section."""

    cls: type[BaseLayer]
    written: str
    settings: Any
    """What is left for the layer, in any of the written forms."""
    keys: NodeKeys
    call: Mapping[str, Any]
    """Call arguments."""
    entry: Path
    inputs: Path
    """Where the inputs are written."""

    @property
    def path(self) -> Path:
        return (*self.entry, self.written)


def take_apart(entry: Any, path: Path, faults: Faults) -> WrittenNode:
    """One entry of `layers`. Raises Invalid, with paths below the entry, for what is no layer."""
    written, settings = split_form(entry, "layer")
    cls = LAYERS.get(written, () if isinstance(entry, str) else (written,))
    below = (*path, written)
    if cls.call_form == "several" and isinstance(settings, list):  # add: [a, b]
        return WrittenNode(cls, written, {}, keys_of(NodeKeys, {"inputs": settings}), {}, path, below)
    if cls.call_form == "several" and settings is None:  # what it lacks are inputs, not settings
        settings = {}
    beside: dict[str, Any] = {}
    if isinstance(settings, dict):
        beside, settings = _divide(cls, settings, below, faults)
    call = {key: value for key, value in beside.items() if key not in key_names(NodeKeys)}
    return WrittenNode(cls, written, settings, keys_of(NodeKeys, beside), call, path, (*below, "inputs"))


def call_arguments(cls: type[BaseLayer]) -> dict[str, CallArgument]:
    """What may stand beside a layer's settings because Keras passes it when the layer is called."""
    if cls.call_form == "none":
        return {}
    known = {**ANY_CALL, **(_MASK if cls.uses_mask else {}), **cls.call_arguments}
    return {key: argument for key, argument in known.items() if key not in cls.model_fields}


def as_list(value: Any) -> list[Any]:
    """One name, or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _divide(
    cls: type[BaseLayer], arguments: dict[Any, Any], path: Path, faults: Faults
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """What stands beside the settings, and the settings.

    A misspelt key of the former is taken for what was meant, so that it has no consequences.
    """
    known = {*key_names(NodeKeys), *call_arguments(cls)}
    beside: dict[str, Any] = {}
    settings: dict[Any, Any] = {}
    for key, value in arguments.items():
        if key in known:
            beside[key] = value
        elif key in key_names(FirstLayerKeys):  # the inputs have been read; see `inputs.py`
            if path[:2] != ("layers", 0):
                text = f"{key}: only the first layer has one; the other shapes follow"
                faults.add(text, (*path, key), at="key", hint="take it out")
        elif key in cls.model_fields or names_first_argument(cls, key) or cls.reason_against(key) is not None:
            settings[key] = value
        elif (meant := nearest(str(key), [*cls.model_fields, *known])) in known:
            faults.add(f"unknown key '{key}' in {cls.component_name}; did you mean '{meant}'?", (*path, key), at="key")
            beside.setdefault(str(meant), value)
        else:
            settings[key] = value
    return beside, settings
