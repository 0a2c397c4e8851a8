"""Convert the arguments with which Keras calls a layer to the `inputs` and call arguments of a node in a config."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kerascli.foundation.errors import show
from kerascli.interop.keras.differences import TENSORS_BY_NAME
from kerascli.interop.keras.graph import Call, refs
from kerascli.interop.keras.objects import Refusals
from kerascli.interop.keras_import.calls import KerasLayer
from kerascli.layers.base import BaseLayer, CallArgument
from kerascli.layers.normalization.batch_normalization import BatchNormalization
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.model.syntax.written import call_arguments


class Common(Protocol):
    @property
    def refusals(self) -> Refusals: ...
    @property
    def keras_3(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class NodeCall:
    inputs: list[str]
    beside: dict[str, Any]


def read_call(
    cls: type[BaseLayer], layer: KerasLayer, call: Call, names: Callable[[Any], list[str]], common: Common
) -> NodeCall:
    """Convert the arguments of a Keras layer's call to arguments of a node; unsupported arguments are recorded as not
    importable."""
    given = {key: value for key, value in call.kwargs.items() if value is not None}
    order = TENSORS_BY_NAME.get(cls.component_name, ("inputs",))
    by_name = [given.pop(key) for key in order if list(refs(given.get(key)))]
    known = call_arguments(cls)
    keys = _positions(cls) if "mask" in known and not order[1:] else ()
    given = {key: value for key, value in zip(keys, call.args[1:], strict=False) if value is not None} | given
    further = call.args[1 + len(keys) :]
    inputs, rest = names(call.args[:1]), names(further)
    if cls.call_form == "several":
        inputs, rest = [*inputs, *rest, *names(by_name)], []
    else:
        inputs, rest = (inputs or names(by_name))[:1], [*(inputs or names(by_name))[1:], *rest]
    beside: dict[str, Any] = {}
    if rest and "initial_state" in known:
        beside["initial_state"] = rest
    elif rest:
        common.refusals.add(f"{layer.name}: {cls.component_name} takes one input, got {1 + len(rest)}")
    for value in further:
        if not list(refs(value)) and value is not None:
            common.refusals.add(f"{layer.name}: it is called with {show(value)}, which is not supported")
    if isinstance(training := given.pop("training", None), bool) and training and not common.keras_3:
        beside["training"] = True  # Keras 3 writes it, too, but runs layers in the model's mode
    for key, value in given.items():
        argument = _argument(value, names(value), known.get(key))
        if argument is not None:
            beside[key] = argument
        elif value is not False:
            text = f"{layer.name}: {cls.component_name} is called with '{key}', which is not supported"
            common.refusals.add(text)
    return NodeCall(inputs, beside)


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
