"""State of importing one Keras model: names of its tensors, its layers converted to kerascli's and the arguments of
their calls, the owners of its weights."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from kerascli.foundation.errors import show
from kerascli.interop.keras.differences import IN_TRAINING, TENSORS_BY_NAME
from kerascli.interop.keras.graph import Call, Place, Ref, refs
from kerascli.interop.keras.objects import Refusals, component, full_name
from kerascli.interop.keras.places import Owner, numbered_groups
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel
from kerascli.interop.keras_import.hidden_masks import Masks
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.interop.keras_import.model_section import ModelSection
from kerascli.interop.keras_import.text_inputs import AT_INPUTS, TEXT_LOOKUPS, with_vocabulary
from kerascli.layers.base import LAYERS, BaseLayer, CallArgument, call_arguments
from kerascli.layers.normalization.batch_normalization import BatchNormalization
from kerascli.layers.wrappers.time_distributed import TimeDistributed


class Common(NamedTuple):
    """State shared by the readings of all models in one Keras file: what cannot be imported, the open file, the layers
    that are called."""

    refusals: Refusals
    file: ModelFile
    called: list[KerasLayer]
    groups: dict[str, Mapping[str, str]]
    """HDF5 groups of the layers of each model that has been read, by name, by the HDF5 group of the model."""


class Reading:
    """State of importing one Keras model; a model nested in it has a state of its own."""

    def __init__(
        self, model: KerasModel, path: tuple[str, ...], place: str, common: Common, section: ModelSection
    ) -> None:
        self.model, self.path, self.common, self.refusals = model, path, common, common.refusals
        self.section, self.book = section, section.book
        self.tensors: dict[Ref, str] = {}
        self.places = common.groups[place] = layer_places(model, place)
        self.owners: dict[str, list[Owner]] = {name: [] for name in model.layers}
        self.shared_names: dict[str, str] = {}
        """Mapping from Keras's name of a layer or model with several calls to its name in the config's `shared`."""
        self.preferred = {ref: key for key, ref in model.outputs if key is not None and not path}
        self._settings: dict[str, BaseLayer | None] = {}
        self.masks = Masks(model, self.settings, masked=bool(path), keras_3=common.file.keras_3)
        self.needed: Set[Place] = self.masks.needed()
        calls = [self.masks.call(model.layers[name], number) for name, number in self.needed]
        self.used = set(refs([calls, model.outputs]))
        self._most = {ref.place: ref.index for ref in sorted(self.used, key=lambda ref: ref.index)}

    def calls(self, layer: KerasLayer) -> int:
        """Return how many calls of a layer contribute to an output of the Keras model."""
        return sum((layer.name, number) in self.needed for number in range(len(layer.calls)))

    def results(self, layer: KerasLayer, number: int) -> int:
        """Return how many outputs one call of a layer must have: the highest index of a used output, plus 1."""
        return self._most.get((layer.name, number), 0) + 1

    def names(self, value: Any) -> list[str]:
        """Return the config names of all tensors in `value`, a part of the arguments of a Keras call."""
        return [self.tensors.get(ref, "_") for ref in refs(value)]

    def full(self, layer: KerasLayer) -> str:
        """Return a layer's name prefixed with the names of the models that it is nested in: `tower_dense` for dense in
        tower."""
        return "_".join([*self.path, layer.name])

    def owner(self, layer: KerasLayer, prefix: str, settings: BaseLayer) -> Owner:
        """Return a layer as owner of the weights whose names begin with `prefix`."""
        return Owner((*self.path, layer.name), self.places[layer.name], prefix, settings)

    def settings(self, layer: KerasLayer) -> BaseLayer | None:
        """Convert a Keras layer to a layer of kerascli (an object with its arguments), only once: later calls return
        the same object. Return None if it cannot be imported."""
        if layer.name not in self._settings:
            spec, made = with_vocabulary(layer, self.places[layer.name], self.common.file), None
            if layer.class_name in IN_TRAINING:
                spec = {"class_name": "Identity", "config": {}}
            if layer.class_name in TEXT_LOOKUPS:
                self.refusals.add(f"{layer.name} ({layer.class_name}) takes texts inside the model", AT_INPUTS)
            else:
                made = component(LAYERS, spec, f"{layer.name} ({full_name(layer.spec)})", self.refusals)
            self._settings[layer.name] = made if isinstance(made, BaseLayer) else None
        return self._settings[layer.name]


def layer_places(model: KerasModel, above: str) -> dict[str, str]:
    """Return, by layer name, the HDF5 group of a layer's weights in Keras 3's layout."""
    layers = [layer for layer in model.layers.values() if not layer.is_operation]
    groups = numbered_groups(layer.class_name for layer in layers)
    return {layer.name: f"{above}/layers/{name}".lstrip("/") for layer, name in zip(layers, groups, strict=True)}


def read_call(cls: type[BaseLayer], layer: KerasLayer, call: Call, reading: Reading) -> dict[str, Any]:
    """Convert the arguments of a Keras layer's call to the keys of a node; unsupported arguments are recorded as not
    importable."""
    names, refusals = reading.names, reading.refusals
    kwargs, order = dict(call.kwargs), TENSORS_BY_NAME.get(cls.component_name, ("inputs",))
    by_name = names([kwargs.pop(key) for key in order if any(refs(kwargs.get(key)))])
    keys = _positions(cls, order)
    kwargs |= {**dict(zip(keys, call.args[1:], strict=False)), **kwargs}
    further = call.args[1 + len(keys) :]
    inputs = [*(names(call.args[:1]) or by_name), *names(further)]
    arguments = _by_name(cls, layer, kwargs, reading)
    if cls.call_form == "several":
        inputs = [*names(call.args[:1]), *names(further), *by_name]
    elif "initial_state" in call_arguments(cls) and inputs[1:]:
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
    if kwargs.pop("training", None) is True and not reading.common.file.keras_3:
        arguments["training"] = True  # Keras 3 writes it, too, but runs layers in the model's mode
    for key, value in kwargs.items():
        if (argument := _argument(value, reading.names(value), call_arguments(cls).get(key))) is not None:
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
