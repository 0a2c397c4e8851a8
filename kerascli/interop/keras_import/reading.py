"""State of importing one Keras model: names of its tensors, its layers converted to kerascli's, the owners of its
weights."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from kerascli.interop.keras.differences import IN_TRAINING
from kerascli.interop.keras.graph import Call, Place, Ref, refs
from kerascli.interop.keras.objects import Refusals, component, full_name
from kerascli.interop.keras.places import numbered_groups
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel
from kerascli.interop.keras_import.hidden_masks import HiddenMasks, ImpliedMasks
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.interop.keras_import.policies import Policies
from kerascli.interop.keras_import.text_inputs import ONLY_AT_INPUTS
from kerascli.interop.keras_import.vocabularies import TEXT_LOOKUPS, with_vocabulary
from kerascli.layers.base import LAYERS, BaseLayer


@dataclass(frozen=True, slots=True)
class Owner:
    """A layer in a Keras file that may have weights."""

    path: tuple[str, ...]
    """Keras's names of the nested models around the layer, from the outermost down, and of the layer itself."""
    place: str
    """Path of the HDF5 group with the layer's weights in Keras 3's layout: `layers/dense_1`."""
    prefix: str
    """Prefix of the names of the layer's weights in kerascli."""
    layer: BaseLayer


@dataclass(slots=True)
class Common:
    """State shared by the readings of all models in one Keras file: what cannot be imported, the open file, the dtype
    policies."""

    refusals: Refusals
    file: ModelFile
    policies: Policies
    groups: Mapping[str, Set[str]]
    """Layers of the weights of each model in the file, see `layer_groups`."""


class Reading:
    """State of importing one Keras model; a model nested in it has a state of its own."""

    def __init__(
        self, model: KerasModel, path: tuple[str, ...], place: str, common: Common, *, preferred: bool
    ) -> None:
        self.model = model
        self.path = path
        self.tensors: dict[Ref, str] = {}
        self.places = layer_places(model, place)
        self.owners: dict[str, list[Owner]] = {name: [] for name in model.layers}
        self.shared_names: dict[str, str] = {}
        """Mapping from Keras's name of a layer or model with several calls to its name in the config's `shared`."""
        self.preferred = {ref: key for key, ref in model.outputs if key is not None} if preferred else {}
        self.refusals = common.refusals
        self._file = common.file
        self._settings: dict[str, BaseLayer | None] = {}
        self.masks = HiddenMasks(model, self.settings, masked=bool(path), keras_3=common.file.keras_3)
        self.keras_3 = common.file.keras_3
        self._implied = ImpliedMasks(model, self.masks.has_masked_input)
        self.needed: Set[Place] = self._implied.needed()
        calls = [self.call(model.layers[name], number) for name, number in self.needed]
        self.used = set(refs([calls, model.outputs]))
        self._most = {ref.place: ref.index for ref in sorted(self.used, key=lambda ref: ref.index)}

    def call(self, layer: KerasLayer, number: int) -> Call:
        return self._implied.without(layer, number)

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

    def own(self, layer: KerasLayer, prefix: str, settings: BaseLayer) -> None:
        """Record a layer as owner of the weights whose names begin with `prefix`."""
        self.owners[layer.name] = [self.owner(layer, prefix, settings)]

    def owner(self, layer: KerasLayer, prefix: str, settings: BaseLayer) -> Owner:
        return Owner((*self.path, layer.name), self.places[layer.name], prefix, settings)

    def settings(self, layer: KerasLayer) -> BaseLayer | None:
        """Convert a Keras layer to a layer of kerascli (an object with its arguments), only once: later calls return
        the same object. Return None if it cannot be imported."""
        if layer.name not in self._settings:
            spec = with_vocabulary(layer, self.places[layer.name], self._file)
            if layer.class_name in TEXT_LOOKUPS:
                self.refusals.add(f"{layer.name} ({layer.class_name}) takes texts inside the model", ONLY_AT_INPUTS)
                self._settings[layer.name] = None
                return None
            if layer.class_name in IN_TRAINING:
                spec = {"class_name": "Identity", "config": {}}
            made = component(LAYERS, spec, f"{layer.name} ({full_name(layer.spec)})", self.refusals)
            self._settings[layer.name] = made if isinstance(made, BaseLayer) else None
        return self._settings[layer.name]


def layer_places(model: KerasModel, above: str) -> dict[str, str]:
    """Return, by layer name, the HDF5 group of a layer's weights in Keras 3's layout."""
    layers = [layer for layer in model.layers.values() if not layer.is_operation]
    groups = numbered_groups(layer.class_name for layer in layers)
    return {layer.name: f"{above}/layers/{name}".lstrip("/") for layer, name in zip(layers, groups, strict=True)}
