"""Read weights files of Keras 3, Keras 2 and Keras for R; from a file of a whole model, only its weights are read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kerascli.foundation.disk.files import file_digest, open_regular
from kerascli.foundation.errors import ConfigError, FileRefused, counted, nearest, safe_text
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras import archive, hdf5
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.places import layers_place, weights_by_path
from kerascli.interop.keras_export.keras_file import in_group, ordered
from kerascli.interop.keras_export.keras_graph import keras_graph
from kerascli.interop.keras_import.weights import Pairs
from kerascli.model.ir.nodes import Call, Model
from kerascli.model.runtime.weights import Weight

_TOP = re.compile(r"(layers/[^/]+)/(?:(.*)/)?vars/(\d+)\Z")
_MODEL = "model_weights"


@dataclass(frozen=True, slots=True)
class FileLayer:
    """Weights of one layer, or of one nested model, in a Keras weights file."""

    name: str
    place: str
    """Path of the layer's HDF5 group: class and number in Keras 3 (`layers/dense_1`), the layer's name in older
    files."""
    groups: Mapping[str, Sequence[str]]
    """Mapping from a group within the layer to its arrays' paths, in order; in files older than Keras 3, the only key
    is ''."""


@dataclass(frozen=True, slots=True)
class OwnLayer:
    """Weights of one layer, or of one shared model, in the model to fill; the fields mean the same as FileLayer's."""

    name: str
    place: str
    groups: Mapping[str, Sequence[Weight]]


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """An open Keras weights file; `layers` are its layers that have weights, in the file's order."""

    name: str
    digest: str
    arrays: Hdf5
    layers: tuple[FileLayer, ...]
    by_place: bool
    """True if the file's layers and the model's are matched by class and number (Keras 3), False if by their order."""

    def layer(self, name: str) -> FileLayer | None:
        return next((layer for layer in self.layers if layer.name == name), None)

    def pairs(self, own: OwnLayer, layer: FileLayer) -> Pairs:
        """Pair a layer's weights with the file's arrays of `layer`; shapes are not compared. Raises FileRefused."""
        groups = own.groups if self.by_place else {"": in_group([w for ws in own.groups.values() for w in ws])}
        pairs: Pairs = []
        for place, weights in groups.items():
            paths = layer.groups.get(place, ())
            if len(paths) != len(weights):
                where = f"'{safe_text(layer.name)}'"
                raise FileRefused(
                    f"layer '{own.name}' has {len(weights)} weights, but {where} in the file has {len(paths)}"
                )
            pairs += zip(weights, paths, strict=True)
        if more := [place for place in layer.groups if place not in groups]:
            raise FileRefused(
                f"the file has weights of '{safe_text(f'{layer.name}/{more[0]}')}' that '{own.name}' lacks"
            )
        for weight, path in [] if self.by_place else pairs:
            leaf = path.rpartition("/")[2].partition(":")[0]
            if leaf != weight.spec.name:
                text = f"weight '{weight.name}' would get '{safe_text(path)}': the file has another order of weights"
                raise FileRefused(text)
        return pairs


@contextmanager
def open_weights(path: Path) -> Iterator[WeightsFile]:
    """Context manager that opens a Keras weights file of any format. Raises DataError, FileRefused, ConfigError."""
    name = safe_text(str(path))
    with ExitStack() as stack:
        file = stack.enter_context(open_regular(path))
        head = file.read(8)
        file.seek(0)
        size = path.stat().st_size
        weights = archive.ByteRange(file, 0, size)
        if head.startswith(archive.MAGIC):
            weights = archive.read_archive(file, name).weights
            stack.callback(weights.file.close)
        elif head != hdf5.MAGIC:
            raise FileRefused(f"'{name}' is not a weights file of Keras: expected .weights.h5, .h5 or .keras")
        arrays = stack.enter_context(Hdf5(weights.file.fileno(), weights.start, weights.size, name))
        group = _MODEL if any(path.startswith(f"{_MODEL}/") for path in arrays.datasets()) else ""
        names = arrays.texts(group, "layer_names")
        layers = _before_keras_3(arrays, group, names) if names else _of_keras_3(arrays)
        if not layers:
            hint = "only files of Sequential and functional models can be read"
            raise FileRefused(f"'{name}' contains no weights of layers", hint=hint)
        yield WeightsFile(name, file_digest(path), arrays, layers, by_place=not names)


def own_layers(model: Model, specs: Mapping[str, TensorSpec], weights: Sequence[Weight]) -> list[OwnLayer]:
    """Return the layers of the model to fill that have weights, in Keras's order; each has the HDF5 path that Keras 3
    gives it.

    A model that Keras cannot express is taken in the order of its entries.
    """
    try:
        graph = keras_graph(model, specs, name="model", names={}, precision="float32")
    except ConfigError:
        return _as_written(model, weights)
    found: dict[str, dict[str, list[Weight]]] = {}
    names = {node.ours: node.name for node in graph.layers}
    for path, group in ordered(graph.layers, weights):
        top, place = "/".join(path.split("/")[:2]), "/".join(path.split("/")[2:])
        found.setdefault(top, {})[place] = group
    return [OwnLayer(_owner(groups, names), top, groups) for top, groups in found.items()]


def match(file: WeightsFile, own: Sequence[OwnLayer], *, by_name: bool) -> tuple[Pairs, list[str]]:
    """Pair a model's weights with a file's arrays; if `by_name`, also return the names of the layers that the file
    lacks.

    Raises FileRefused if the layers or their weights do not match.
    """
    if by_name:
        found = [(layer, file.layer(layer.name)) for layer in own]
        if not any(other for _, other in found):
            known = [layer.name for layer in file.layers]
            close = nearest(own[0].name, known) or known[0]
            text = f"no layer of the model has the name of a layer in the file, such as '{safe_text(close)}'"
            raise FileRefused(text, hint=f"its layers: {', '.join(map(safe_text, known[:20]))}")
        pairs = [pair for layer, other in found if other is not None for pair in file.pairs(layer, other)]
        return pairs, [layer.name for layer, other in found if other is None]
    theirs = {layer.place: layer for layer in file.layers}
    both = (
        [(layer, theirs.get(layer.place)) for layer in own] if file.by_place else [*zip(own, file.layers, strict=False)]
    )
    if len(own) != len(file.layers) or any(other is None for _, other in both):
        ours, others = (", ".join(safe_text(each.name) for each in layers[:20]) for layers in (own, file.layers))
        text = (
            f"the model has {counted(len(own), 'layer')} with weights ({ours}), the file {len(file.layers)} ({others})"
        )
        raise FileRefused(text, hint="--by-name matches layers by name; the others keep their initial values")
    return [pair for layer, other in both if other is not None for pair in file.pairs(layer, other)], []


def _of_keras_3(arrays: Hdf5) -> tuple[FileLayer, ...]:
    groups: dict[str, dict[str, dict[int, str]]] = {}
    for path in arrays.datasets():
        if "seed_generator" not in path and (found := _TOP.match(path)):
            groups.setdefault(found[1], {}).setdefault(found[2] or "", {})[int(found[3])] = path
    layers: list[FileLayer] = []
    for top, places in sorted(groups.items(), key=lambda item: _natural_key(item[0])):
        name = arrays.text(f"{top}/vars", "name") or top.partition("/")[2]
        paths = {place: [each for _, each in sorted(numbered.items())] for place, numbered in places.items()}
        layers.append(FileLayer(name, top, paths))
    return tuple(layers)


def _before_keras_3(arrays: Hdf5, group: str, names: Sequence[str]) -> tuple[FileLayer, ...]:
    datasets, layers = arrays.datasets(), []
    for name in names:
        place = f"{group}/{name}".strip("/")
        paths = [f"{place}/{weight}" for weight in arrays.texts(place, "weight_names")]
        if unknown := [path for path in paths if path not in datasets]:
            raise FileRefused(f"the file lists a weight '{safe_text(unknown[0])}' that it does not contain")
        if paths:
            layers.append(FileLayer(name, place, {"": paths}))
    return tuple(layers)


def _natural_key(place: str) -> tuple[str, int]:
    """Return a key that sorts numbered layer names naturally: dense, dense_1, dense_2, dense_10."""
    base, _, number = place.rpartition("_")
    return (base, int(number)) if number.isdecimal() else (place, 0)


def _owner(groups: Mapping[str, Sequence[Weight]], names: Mapping[str, str]) -> str:
    weight = next(iter(groups.values()))[0].name
    return next(name for ours, name in names.items() if weight.startswith(f"{ours}/"))


def _as_written(model: Model, weights: Sequence[Weight]) -> list[OwnLayer]:
    counts: dict[str, int] = {}
    found: dict[str, OwnLayer] = {}
    for entry in model.entries:
        if isinstance(entry, Call) and entry.of.layer is None:
            text = f"'{entry.of.name}' is shared in a model that Keras cannot express: its weights cannot be matched"
            raise ConfigError(text, hint="import them into a config that Keras can express")
        node = entry.nodes[0] if isinstance(entry, Call) else entry
        own = [weight for weight in weights if weight.name.startswith(f"{node.weights_name}/")]
        if not own or node.weights_name in found:
            continue
        class_name = type(node.layer).__name__
        number = counts[class_name] = counts.get(class_name, -1) + 1
        groups = weights_by_path(node.layer, node.weights_name, own)
        found[node.weights_name] = OwnLayer(node.weights_name, f"layers/{layers_place(class_name, number)}", groups)
    return list(found.values())
