"""Read weights files of Keras 3, Keras 2 and Keras for R; from a file of a whole model, only its weights are read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import ConfigError, FileRefused, counted, nearest, safe_text
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras.archive import open_arrays
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.places import numbered_groups, weights_by_path
from kerascli.interop.keras_export.keras_file import ordered
from kerascli.interop.keras_export.keras_graph import keras_graph
from kerascli.interop.keras_export.keras_nodes import walk
from kerascli.interop.keras_import.weights import Pairs, in_keras_2_order, listed, tensors, variables
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.nodes import Call, Entry, Model
from kerascli.model.runtime.weights import Weight

_MODEL = "model_weights"
T = TypeVar("T", Weight, str)


@dataclass(frozen=True, slots=True)
class LayerWeights(Generic[T]):
    """Weights of a layer, or of a nested or shared model: those to fill, or the paths of their arrays in a file."""

    name: str
    place: str
    """Path of the layer's HDF5 group: class and number in Keras 3 (`layers/dense_1`), the layer's name in older
    files."""
    groups: Mapping[str, Sequence[T]]
    """Mapping from a group within the layer to its weights, in order; in files older than Keras 3, the only key is
    ''; empty for a shared model whose order of layers in Keras is unknown."""
    inside: "tuple[LayerWeights[T], ...]" = ()
    """Layers of a nested or shared model, which can be matched by their own names."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """An open Keras weights file; `layers` are its layers that have weights, in the file's order."""

    name: str
    digest: str
    arrays: Hdf5
    layers: tuple[LayerWeights[str], ...]
    by_place: bool
    """True if the file's layers and the model's are matched by class and number (Keras 3), False if by their order."""

    def pairs(self, own: LayerWeights[Weight], layer: LayerWeights[str]) -> Pairs:
        """Pair a layer's weights with the file's arrays of `layer`; shapes are not compared. Raises FileRefused."""
        groups = own.groups if self.by_place else {"": [weight for group in own.groups.values() for weight in group]}
        pairs: Pairs = []
        for place, weights in groups.items():
            paths = layer.groups.get(place, ())
            if len(paths) != len(weights):
                where = f"'{safe_text(layer.name)}'"
                raise FileRefused(
                    f"layer '{own.name}' has {len(weights)} weights, but {where} in the file has {len(paths)}"
                )
            pairs += zip(weights, paths, strict=True) if self.by_place else in_keras_2_order(weights, paths)
        if more := [place for place in layer.groups if place not in groups]:
            raise FileRefused(
                f"the file has weights of '{safe_text(f'{layer.name}/{more[0]}')}' that '{own.name}' lacks"
            )
        return pairs


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
        group = _MODEL if any(path.startswith(f"{_MODEL}/") for path in arrays.datasets()) else ""
        names = arrays.texts(group, "layer_names")
        layers = tuple(_before_keras_3(arrays, group, names) if names else _of_keras_3(arrays))
        if not layers:
            hint = "only files of Sequential and functional models can be read"
            raise FileRefused(f"'{name}' contains no weights of layers", hint=hint)
        yield WeightsFile(name, file_digest(path), arrays, layers, by_place=not names)


def matched_tensors(file: WeightsFile, own: Sequence[LayerWeights[Weight]], *, by_name: bool) -> dict[str, Tensor]:
    """Return the arrays of a weights file by the names of the weights that they are for. Raises as `match`."""
    pairs, _ = match(file, own, by_name=by_name)
    return {weight.name: values for weight, values in tensors(file.arrays, pairs)}


def own_layers(model: Model, specs: Mapping[str, TensorSpec], weights: Sequence[Weight]) -> list[LayerWeights[Weight]]:
    """Return the layers of the model to fill that have weights, in Keras's order; each has the HDF5 path that Keras 3
    gives it.

    A model that Keras cannot express is taken in the order of its entries.
    """
    try:
        graph = keras_graph(model, specs, name="model", names={}, precision="float32")
    except ConfigError:
        return _as_written(model.entries, weights)
    layers: dict[str, dict[str, list[Weight]]] = {}
    inside: dict[str, list[LayerWeights[Weight]]] = {}
    nodes = {place: node for place, _, node in walk(graph.layers)}
    for path, group in ordered(graph.layers, weights):
        top, place = _top_and_place(path)
        layers.setdefault(top, {})[place] = group
    for place, node in nodes.items():
        own = [weight for weight in weights if weight.name.startswith(f"{node.ours}/")]
        if own and node.layer is not None and "/layers/" in place:
            inner = LayerWeights(node.name, place, weights_by_path(node.layer, node.ours, own))
            inside.setdefault(_top_and_place(place)[0], []).append(inner)
    return [LayerWeights(nodes[top].name, top, each, tuple(inside.get(top, ()))) for top, each in layers.items()]


def match(file: WeightsFile, own: Sequence[LayerWeights[Weight]], *, by_name: bool) -> tuple[Pairs, list[str]]:
    """Pair a model's weights with a file's arrays; if `by_name`, also return the names of the layers that the file
    lacks.

    By name, the layers of a shared model that the file lacks are looked up by their own names. Raises FileRefused if
    the layers or their weights do not match, ConfigError if the order of a shared model's layers is unknown.
    """
    own = _to_match(file, own, by_name=by_name)
    both = _counterparts(file, own, by_name=by_name)
    missing = [layer.name for layer, other in both if other is None]
    if by_name and len(missing) == len(own):
        close = nearest(own[0].name, [layer.name for layer in file.layers]) or file.layers[0].name
        text = f"no layer of the model has the name of a layer in the file, such as '{safe_text(close)}'"
        raise FileRefused(text, hint=f"its layers: {_listed(file.layers)}")
    if not by_name and (missing or len(own) != len(file.layers)):
        ours = f"the model has {counted(len(own), 'layer')} with weights ({_listed(own)})"
        text = f"{ours}, the file {len(file.layers)} ({_listed(file.layers)})"
        raise FileRefused(text, hint="by name (--by-name, by_name: true), those that both have are loaded")
    return [pair for layer, other in both if other is not None for pair in file.pairs(layer, other)], missing


def _to_match(
    file: WeightsFile, own: Sequence[LayerWeights[Weight]], *, by_name: bool
) -> Sequence[LayerWeights[Weight]]:
    """Return a model's layers, by name those of a shared model in place of one whose name the file does not have.

    Raises ConfigError if the order of a shared model's layers is unknown and needed.
    """
    if not by_name:
        if unordered := [layer.name for layer in own if not layer.groups]:
            text = f"'{unordered[0]}' is shared in a model that Keras cannot express: its weights cannot be matched"
            raise ConfigError(text, hint="by name (--by-name, by_name: true), they can")
        return own
    theirs, ours = {layer.name for layer in file.layers}, {layer.name for layer in own}
    inside = {each.name: [inner for inner in each.inside if inner.name not in ours] for each in own}
    return [each for layer in own for each in ([layer] if layer.name in theirs else inside[layer.name] or [layer])]


def _counterparts(
    file: WeightsFile, own: Sequence[LayerWeights[Weight]], *, by_name: bool
) -> list[tuple[LayerWeights[Weight], LayerWeights[str] | None]]:
    """Return each layer of the model with the file's layer of its name, of its place or in its position; or None."""
    if not by_name and not file.by_place:
        return [*zip(own, file.layers, strict=False)]
    key = attrgetter("name" if by_name else "place")
    theirs = {key(layer): layer for layer in reversed(file.layers)}
    return [(layer, theirs.get(key(layer))) for layer in own]


def _listed(layers: Sequence[LayerWeights[Weight]] | Sequence[LayerWeights[str]]) -> str:
    return ", ".join(safe_text(layer.name) for layer in layers[:20])


def _top_and_place(group: str) -> tuple[str, str]:
    """Return an HDF5 group of Keras 3 in two: the layer's, such as `layers/lstm_1`, and the path in it."""
    parts = group.split("/")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _of_keras_3(arrays: Hdf5) -> Iterable[LayerWeights[str]]:
    groups: dict[str, dict[str, list[str]]] = {}
    for group, numbered in variables(arrays).items():
        top, place = _top_and_place(group)
        if top.startswith("layers/"):
            groups.setdefault(top, {})[place] = [path for _, path in sorted(numbered.items())]
    for top, places in sorted(groups.items(), key=lambda item: _natural_key(item[0])):
        yield LayerWeights(arrays.text(f"{top}/vars", "name") or top.partition("/")[2], top, places)


def _before_keras_3(arrays: Hdf5, group: str, names: Sequence[str]) -> Iterable[LayerWeights[str]]:
    for name in names:
        place = f"{group}/{name}".strip("/")
        if paths := listed(arrays, place):
            yield LayerWeights(name, place, {"": paths})


def _natural_key(place: str) -> tuple[str, int]:
    """Return a key that sorts numbered layer names naturally: dense, dense_1, dense_2, dense_10."""
    base, _, number = place.rpartition("_")
    return (base, int(number)) if number.isdecimal() else (place, 0)


def _as_written(entries: Iterable[Entry], weights: Sequence[Weight]) -> list[LayerWeights[Weight]]:
    layers: dict[str, tuple[str, BaseLayer, list[Weight]]] = {}
    shared: dict[str, LayerWeights[Weight]] = {}
    for entry in entries:
        if isinstance(entry, Call) and entry.of.layer is None:
            inside = tuple(_as_written(entry.of.entries, weights))
            shared[entry.of.weights] = LayerWeights(entry.of.name, "", {}, inside)
            continue
        node = entry.nodes[0] if isinstance(entry, Call) else entry
        own = [weight for weight in weights if weight.name.startswith(f"{node.weights_name}/")]
        if own:
            layers.setdefault(node.weights_name, (node.weights_name.rpartition("/")[2], node.layer, own))
    places = numbered_groups(type(layer).__name__ for _, layer, _ in layers.values())
    return [
        LayerWeights(name, f"layers/{place}", weights_by_path(layer, prefix, own))
        for place, (prefix, (name, layer, own)) in zip(places, layers.items(), strict=True)
    ] + [each for each in shared.values() if each.inside]
