"""Convert the arguments with which Keras calls a layer to the `inputs` and call arguments of a node in a config."""

from dataclasses import dataclass
from typing import Any

from kerascli.foundation.errors import show
from kerascli.interop.keras.differences import TENSORS_BY_NAME
from kerascli.interop.keras.graph import Call, refs
from kerascli.interop.keras_import.calls import KerasLayer
from kerascli.interop.keras_import.reading import Reading
from kerascli.layers.base import BaseLayer, CallArgument
from kerascli.layers.normalization.batch_normalization import BatchNormalization
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.model.syntax.written import call_arguments


@dataclass(frozen=True, slots=True)
class NodeCall:
    inputs: list[str]
    arguments: dict[str, Any]


def read_call(cls: type[BaseLayer], layer: KerasLayer, call: Call, reading: Reading) -> NodeCall:
    """Convert the arguments of a Keras layer's call to arguments of a node; unsupported arguments are recorded as not
    importable."""
    names, refusals, kwargs = reading.names, reading.refusals, dict(call.kwargs)
    order = TENSORS_BY_NAME.get(cls.component_name, ("inputs",))
    by_name = names([kwargs.pop(key) for key in order if list(refs(kwargs.get(key)))])
    supported = call_arguments(cls)
    keys = _positions(cls) if "mask" in supported and not order[1:] else ()
    kwargs = {**dict(zip(keys, call.args[1:], strict=False)), **{k: v for k, v in kwargs.items() if v is not None}}
    further = call.args[1 + len(keys) :]
    inputs = [*names(call.args[:1]), *names(further), *by_name]
    arguments: dict[str, Any] = {}
    if cls.call_form != "several":
        first = names(call.args[:1]) or by_name
        inputs, rest = first[:1], [*first[1:], *names(further)]
        if rest and "initial_state" in supported:
            arguments["initial_state"] = rest
        elif rest:
            refusals.add(f"{layer.name}: {cls.component_name} takes one input, got {1 + len(rest)}")
    for value in further:
        if not list(refs(value)) and value is not None:
            refusals.add(f"{layer.name}: it is called with {show(value)}, which is not supported")
    if kwargs.pop("training", None) is True and not reading.keras_3:
        arguments["training"] = True  # Keras 3 writes it, too, but runs layers in the model's mode
    for key, value in kwargs.items():
        argument = _argument(value, names(value), supported.get(key))
        if argument is not None:
            arguments[key] = argument
        elif value is not None and value is not False:
            text = f"{layer.name}: {cls.component_name} is called with '{key}', which is not supported"
            refusals.add(text)
    return NodeCall(inputs, arguments)


def _positions(cls: type[BaseLayer]) -> tuple[str, ...]:
    """Return the names of the positional arguments, except the first, of a Keras layer's `call`."""
    if "initial_state" in cls.call_arguments:
        return ("initial_state", "mask", "training")
    return ("training", "mask") if cls in (BatchNormalization, TimeDistributed) else ("mask",)


def _argument(value: Any, tensors: list[str], argument: CallArgument | None) -> Any:
    """Convert an argument of a Keras layer's call to its value in a config; return None if the argument is not
    supported."""
    match argument.kind if argument is not None else "":
        case "bool" if isinstance(value, bool):
            return value
        case "tensor" if len(tensors) == 1:
            return tensors[0]
        case "tensors" if tensors and not (isinstance(value, list) and None in value[: len(tensors)]):
            return tensors
        case _:
            return None
