"""Convert the arguments with which Keras calls a layer to the `inputs` and call arguments of a node in a config."""

from typing import Any

from kerascli.foundation.errors import show
from kerascli.interop.keras.differences import TENSORS_BY_NAME
from kerascli.interop.keras.graph import Call, refs
from kerascli.interop.keras_import.calls import KerasLayer
from kerascli.interop.keras_import.reading import Reading
from kerascli.layers.base import BaseLayer, CallArgument, call_arguments
from kerascli.layers.normalization.batch_normalization import BatchNormalization
from kerascli.layers.wrappers.time_distributed import TimeDistributed


def read_call(cls: type[BaseLayer], layer: KerasLayer, call: Call, reading: Reading) -> dict[str, Any]:
    """Convert the arguments of a Keras layer's call to the keys of a node; unsupported arguments are recorded as not
    importable."""
    names, refusals, supported = reading.names, reading.refusals, call_arguments(cls)
    kwargs, order = dict(call.kwargs), TENSORS_BY_NAME.get(cls.component_name, ("inputs",))
    by_name = names([kwargs.pop(key) for key in order if any(refs(kwargs.get(key)))])
    keys = _positions(cls, order)
    for key, value in zip(keys, call.args[1:], strict=False):
        kwargs.setdefault(key, value)
    further = call.args[1 + len(keys) :]
    inputs = [*(names(call.args[:1]) or by_name), *names(further)]
    arguments = _by_name(cls, layer, kwargs, reading)
    if cls.call_form == "several":
        inputs = [*names(call.args[:1]), *names(further), *by_name]
    elif "initial_state" in supported and inputs[1:]:
        arguments["initial_state"], inputs = inputs[1:], inputs[:1]
    elif inputs[1:]:
        refusals.add(f"{layer.name}: {cls.component_name} takes one input, got {len(inputs)}")
    for value in further:
        if value is not None and not any(refs(value)):
            refusals.add(f"{layer.name}: it is called with {show(value)}, which is not supported")
    return {"inputs": inputs, **arguments}


def _by_name(cls: type[BaseLayer], layer: KerasLayer, kwargs: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """Convert those arguments of a Keras layer's call that a node has by name."""
    arguments: dict[str, Any] = {}
    if kwargs.pop("training", None) is True and not reading.keras_3:
        arguments["training"] = True  # Keras 3 writes it, too, but runs layers in the model's mode
    for key, value in kwargs.items():
        argument = _argument(value, reading.names(value), call_arguments(cls).get(key))
        if argument is not None:
            arguments[key] = argument
        elif value is not None and value is not False:
            refused = f"{cls.component_name} is called with '{key}', which is not supported"
            reading.refusals.add(f"{layer.name}: {refused}")
    return arguments


def _positions(cls: type[BaseLayer], order: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the positional arguments, except the first, of a Keras layer's `call`; () if they are
    tensors."""
    if "mask" not in call_arguments(cls) or order[1:]:
        return ()
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
