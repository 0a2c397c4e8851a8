"""Split an item of the list `layers` into the layer's arguments, the node's keys and the call arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerascli.foundation.errors import Path
from kerascli.language.component import names_first_argument, split_form
from kerascli.language.foreign_words import NEEDLESS
from kerascli.language.section import key_names, keys_of
from kerascli.language.wording import key_to_write, meant_key
from kerascli.layers.base import LAYERS, BaseLayer, CallArgument
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.schema import FirstLayerKeys, NodeKeys

_MASK: Mapping[str, CallArgument] = {
    "mask": CallArgument(
        "tensor", "a tensor (batch, time): time steps with 0 are masked, the others are kept", or_false=True
    )
}
"""Call argument of every layer with `uses_mask`: an explicit mask, which replaces the propagated one."""
ANY_CALL: Mapping[str, CallArgument] = {
    "training": CallArgument("bool", "true or false: always run in training mode, or always in inference mode"),
}


@dataclass(frozen=True, slots=True)
class WrittenNode:
    """An entry of `layers`, split into layer class, arguments and node keys but not yet checked; config paths are
    relative to the model section."""

    cls: type[BaseLayer]
    written: str
    settings: Any
    """The layer's own arguments as written in the config: a mapping, or the value of the first argument."""
    keys: NodeKeys
    call: Mapping[str, Any]
    """Call arguments of the node (`training`, `mask` ...), as written in the config."""
    entry: Path
    inputs: Path
    """Config path of the node's inputs."""

    @property
    def path(self) -> Path:
        return (*self.entry, self.written)


def take_apart(entry: Any, path: Path, faults: Faults) -> WrittenNode:
    """Return an item of `layers` split into arguments and node keys. Raises Invalid, with paths inside the item, if it
    is not a layer."""
    written, settings = split_form(entry, "layer")
    bare = isinstance(entry, str)
    cls = LAYERS.get(written, () if bare else (written,), None if bare else settings)
    below = (*path, written)
    if cls.call_form == "several" and isinstance(settings, list):  # add: [a, b]
        return WrittenNode(cls, written, {}, keys_of(NodeKeys, {"inputs": settings}), {}, path, below)
    if cls.call_form == "several" and settings is None:  # it lacks inputs, not arguments
        settings = {}
    beside: dict[str, Any] = {}
    if isinstance(settings, dict):
        beside, settings = _divide(cls, settings, below, faults)
    call = {key: value for key, value in beside.items() if key not in key_names(NodeKeys)}
    return WrittenNode(cls, written, settings, keys_of(NodeKeys, beside), call, path, (*below, "inputs"))


def call_arguments(cls: type[BaseLayer]) -> dict[str, CallArgument]:
    """Return the call arguments of a layer: those that Keras passes when the layer is called."""
    if cls.call_form == "none":
        return {}
    known = {**ANY_CALL, **(_MASK if cls.uses_mask else {}), **cls.call_arguments}
    return {key: argument for key, argument in known.items() if key not in cls.model_fields}


def as_list(value: Any) -> list[Any]:
    """Return a config value that is None, one name or a list of names, as a list of names."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _divide(
    cls: type[BaseLayer], arguments: dict[Any, Any], path: Path, faults: Faults
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return two mappings: the node's keys and call arguments, and the layer's own arguments.

    A misspelt node key is reported and then read as the key that was meant, so that it causes no further config errors.
    """
    known = {*key_names(NodeKeys), *call_arguments(cls)}
    beside: dict[str, Any] = {}
    settings: dict[Any, Any] = {}
    for key, value in arguments.items():
        if key in known:
            beside[key] = value
        elif key in key_names(FirstLayerKeys):  # the inputs have been read; see `inputs.py`
            if path[:2] != ("layers", 0):
                text = f"{key}: allowed on the first layer only; the shapes of other layers are inferred"
                faults.add(text, (*path, key), at="key", hint="remove it")
        elif key in cls.model_fields or key in NEEDLESS or names_first_argument(cls, key) or cls.reason_against(key):
            settings[key] = value
        elif (meant := meant_key(str(key), [*cls.model_fields, *known])) in known:
            text = f"unknown key '{key}' in {cls.component_name}; did you mean '{meant}'?"
            faults.add(text, (*path, key), at="key", hint=key_to_write(str(key), value, list(known)))
            beside.setdefault(str(meant), value)
        else:
            settings[key] = value
    return beside, settings
