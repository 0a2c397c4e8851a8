"""Read weights files of Keras 3, Keras 2 and Keras for R; from a file of a whole model, only its weights are read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import ConfigError, FileRefused, counted, nearest, safe_text
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras.archive import open_arrays
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.places import Owner, by_prefix, numbered_groups
from kerascli.interop.keras_export.keras_graph import keras_graph
from kerascli.interop.keras_import.weights import Pairs, listed, read_weights, tensors, variables
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.nodes import Call, Entry, Model
from kerascli.model.runtime.weights import Weight

_MODEL = "model_weights"


class WeightsFile(NamedTuple):
    """An open Keras weights file."""

    name: str
    digest: str
    arrays: Hdf5
    layers: Mapping[str, str]
    """Mapping from the name of each layer that has weights to its HDF5 group, in the file's order."""
    legacy: str | None
    """Path of the HDF5 group with the layers in Keras 2's layout, in which a model's layers are matched by their order;
    None for Keras 3's layout, in which they are matched by class and number (`layers/dense_1`)."""

    def weight_names(self, layer: str) -> set[str]:
        """Return the names of a layer's weights in Keras 2's layout; the numbers that they have in Keras 3's."""
        paths = self.arrays.datasets if self.legacy is None else listed(self.arrays, self.layers[layer])
        group = f"{self.layers[layer]}/"
        return {path.rpartition("/")[2].partition(":")[0] for path in paths if path.startswith(group)}


def is_weights_only(path: Path) -> bool:
    """Return True if a file is an HDF5 file of Keras with weights alone, which do not name the layers' settings."""
    if path.suffix not in {".h5", ".hdf5"} or not path.exists():
        return False
    with open_arrays(path, safe_text(str(path))) as (_, opened, arrays):
        return opened is None and arrays is not None and arrays.text("", "model_config") is None


@contextmanager
def open_weights(path: Path) -> Iterator[WeightsFile]:
    """Context manager that opens a Keras weights file of any format. Raises DataError, FileRefused, ConfigError."""
    name = safe_text(str(path))
    with open_arrays(path, name) as (_, _, arrays):
        if arrays is None:
            raise FileRefused(f"'{name}' is not a weights file of Keras: expected .weights.h5, .h5 or .keras")
        group = _MODEL if any(path.startswith(f"{_MODEL}/") for path in arrays.datasets) else ""
        names = arrays.texts(group, "layer_names")
        layers = {name: place for name in names if listed(arrays, place := f"{group}/{name}".strip("/"))}
        if not names:
            tops = {_top(path) for path in variables(arrays) if path.startswith("layers/")}
            named = [(arrays.text(f"{top}/vars", "name"), top) for top in sorted(tops, key=_natural_key)]
            layers = {name or top.partition("/")[2]: top for name, top in named}
        if not layers:
            hint = "only files of Sequential and functional models can be read"
            raise FileRefused(f"'{name}' contains no weights of layers", hint=hint)
        yield WeightsFile(name, file_digest(path), arrays, layers, group if names else None)


def matched_tensors(file: WeightsFile, own: list[Owner], weights: list[Weight], *, by_name: bool) -> dict[str, Tensor]:
    """Return the arrays of a weights file by the names of the weights that they are for. Raises as `match`."""
    pairs, _ = match(file, own, weights, by_name=by_name)
    return {weight.name: values for weight, values in tensors(file.arrays, pairs)}


def own_layers(model: Model, specs: Mapping[str, TensorSpec], weights: Iterable[Weight]) -> list[Owner]:
    """Return the layers of the model to fill that have weights, in Keras's order.

    A model that Keras cannot express is taken in the order of its entries; the place of a layer in a shared model
    begins with a slash then, since that of the shared model is unknown.
    """
    try:
        layers = keras_graph(model, specs, name="model", names={}, precision="float32").owners
    except ConfigError:
        layers = _as_written(model.entries)
    own = by_prefix(weights)
    return [layer for layer in layers if layer.prefix in own]


def match(file: WeightsFile, own: list[Owner], weights: list[Weight], *, by_name: bool) -> tuple[Pairs, list[str]]:
    """Pair a model's weights with a file's arrays; if `by_name`, also return the names of the layers that the file
    lacks.

    By name, the layers of a shared model that the file lacks are looked up by their own names. Raises FileRefused if
    the layers or their weights do not match, ConfigError if the order of a shared model's layers is unknown.
    """
    layers = _to_match(file, own, by_name=by_name)
    counterparts = _counterparts(file, layers, by_name=by_name)
    missing = [name for name in layers if name not in counterparts]
    if by_name and not counterparts:
        close = nearest(next(iter(layers)), list(file.layers)) or next(iter(file.layers))
        text = f"no layer of the model has the name of a layer in the file, such as '{safe_text(close)}'"
        raise FileRefused(text, hint=f"its layers: {_listed(file.layers)}")
    if not by_name and (missing or len(layers) != len(file.layers)):
        ours = f"the model has {counted(len(layers), 'layer')} with weights ({_listed(layers)})"
        text = f"{ours}, the file {len(file.layers)} ({_listed(file.layers)})"
        raise FileRefused(text, hint="by name (--by-name, by_name: true), those that both have are loaded")
    moved = [_moved(each, other, file.layers[other]) for name, other in counterparts.items() for each in layers[name]]
    pairs = read_weights(file.arrays, weights, moved, legacy=file.legacy)
    _refuse_more(file, counterparts.values(), {path for _, path in pairs})
    return pairs, missing


def _to_match(file: WeightsFile, own: Iterable[Owner], *, by_name: bool) -> dict[str, list[Owner]]:
    """Return the owners in each layer of a model, by name those of a shared model in place of one whose name the file
    does not have.

    Raises ConfigError if the order of a shared model's layers is unknown and needed.
    """
    layers: dict[str, list[Owner]] = {}
    names = {layer.path[0] for layer in own}
    for layer in own:
        name, inner = layer.path[0], layer.path[-1]
        if by_name and name not in file.layers and (inner == name or inner not in names):
            layers.setdefault(inner, []).append(layer._replace(path=(inner,), place=""))
        elif not layer.place.startswith("/") or (by_name and name not in file.layers):
            layers.setdefault(name, []).append(layer)
        else:
            text = f"'{name}' is shared in a model that Keras cannot express: its weights cannot be matched"
            raise ConfigError(text, hint="by name (--by-name, by_name: true), they can")
    return layers


def _counterparts(file: WeightsFile, layers: Mapping[str, Sequence[Owner]], *, by_name: bool) -> dict[str, str]:
    """Return the name of the file's layer of the same name, place or position for each layer of the model that has
    one."""
    if by_name:
        return {name: name for name in layers if name in file.layers}
    if file.legacy is not None:
        return dict(zip(layers, file.layers, strict=False))
    by_place = {place: name for name, place in file.layers.items()}
    return {name: by_place[top] for name, own in layers.items() if (top := _top(own[0].place)) in by_place}


def _moved(layer: Owner, name: str, group: str) -> Owner:
    """Return a layer with the path and the place that it has in the file, in the layer or model `name`."""
    return layer._replace(path=(name, *layer.path[1:]), place="/".join([group, *layer.place.split("/")[2:]]))


def _refuse_more(file: WeightsFile, layers: Iterable[str], paths: set[str]) -> None:
    """Raise FileRefused if the file has other arrays than `paths` in its layers."""
    groups = {file.layers[layer] for layer in layers}
    for group, numbered in variables(file.arrays).items():
        if _top(group) in groups and not paths.issuperset(numbered.values()):
            raise FileRefused(f"the file has weights of '{safe_text(group)}' that the model lacks")


def _top(place: str) -> str:
    """Return the HDF5 group of the whole model's layer that a group of Keras 3 is in: `layers/lstm_1`."""
    return "/".join(place.split("/")[:2])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(safe_text(name) for name in [*names][:20])


def _natural_key(place: str) -> tuple[str, int]:
    """Return a key that sorts numbered layer names naturally: dense, dense_1, dense_2, dense_10."""
    base, _, number = place.rpartition("_")
    return (base, int(number)) if number.isdecimal() else (place, 0)


def _as_written(entries: Iterable[Entry]) -> list[Owner]:
    layers: dict[str, BaseLayer] = {}
    shared: dict[str, list[Owner]] = {}
    for entry in entries:
        if isinstance(entry, Call) and entry.of.layer is None:
            inside = _as_written(entry.of.entries)
            shared[entry.of.weights] = [
                each._replace(path=(entry.of.name, *each.path), place=f"/{each.place}") for each in inside
            ]
        else:
            node = entry.nodes[0] if isinstance(entry, Call) else entry
            layers.setdefault(node.weights_name, node.layer)
    places = numbered_groups(type(layer).__name__ for layer in layers.values())
    return [
        Owner((prefix.rpartition("/")[2],), f"layers/{place}", prefix, layer)
        for place, (prefix, layer) in zip(places, layers.items(), strict=True)
    ] + [each for inside in shared.values() for each in inside]
