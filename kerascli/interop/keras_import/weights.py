"""Read weights from a Keras file into the imported model; shapes are compared before any value is read."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.hdf5 import Dataset, Hdf5
from kerascli.interop.keras.objects import short_number
from kerascli.interop.keras.places import weights_by_path
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.interop.keras_import.reading import Owner, Reading
from kerascli.layers.base import BaseLayer
from kerascli.layers.preprocessing.normalization import Normalization
from kerascli.model.runtime.weights import Weight, finite_as

Pairs = list[tuple[Weight, str]]
"""Type of a list of pairs: a weight of the model, and the HDF5 path of its array in the Keras file."""


def read_weights(file: Hdf5, weights: Sequence[Weight], owners: Sequence[Owner], *, legacy: str | None) -> Pairs:
    """Return, in Keras's order, each weight of an imported model paired with the HDF5 path of its array in the Keras
    file.

    `legacy` is the group in Keras 2's layout (`model_weights`, or '' in a weights file); None for Keras 3's layout.
    Raises FileRefused.
    """
    datasets = file.datasets()
    names, paths = _Tree(weight.name for weight in weights), _Tree(datasets)
    own = [[weights[number] for number in names.below(owner.prefix)] for owner in owners]
    if legacy is None:
        return [
            pair
            for owner, its in zip(owners, own, strict=True)
            for pair in _of_owner(owner, its, [paths.names[number] for number in paths.below(owner.place)])
        ]
    tops: dict[str, list[Weight]] = {}
    for owner, its in zip(owners, own, strict=True):
        tops.setdefault(owner.path[0], []).extend(its)
    return [pair for top, its in tops.items() for pair in _of_group(file, f"{legacy}/{top}".strip("/"), its, datasets)]


def layer_groups(file: ModelFile) -> dict[str, set[str]]:
    """Return the layers that have weights in a Keras file, by the place of the model that they are in.

    Layers and models are HDF5 groups in Keras 3's layout, and '' is the whole model. Keras 2's layout has the names of
    the whole model's layers only.
    """
    if file.arrays is None:
        return {}
    if file.legacy is not None:
        return {"": set(file.arrays.texts(file.legacy, "layer_names"))}
    found: dict[str, set[str]] = {}
    for path in file.arrays.datasets():
        parts = path.split("/")
        for number in [number for number, part in enumerate(parts[:-1]) if part == "layers"]:
            found.setdefault("/".join(parts[:number]), set()).add("/".join(parts[: number + 2]))
    return found


def refuse_other_layers(groups: Set[str], reading: Reading, file: ModelFile) -> None:
    """Raise FileRefused if layers of the file's weights are not in its model, whether the model uses them or not."""
    known = reading.places.values() if file.legacy is None else reading.model.layers
    more = sorted(groups - set(known))
    if file.legacy is not None and file.arrays is not None:
        more = [name for name in more if file.arrays.texts(f"{file.legacy}/{name}", "weight_names")]
    if more:
        raise FileRefused(f"'{file.name}' has weights of a layer that its model does not have: '{safe_text(more[0])}'")


class _Tree:
    """Index of paths such as `layers/dense/vars/0`, to look up quickly all paths that are below a given one."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._sorted = sorted((name, number) for number, name in enumerate(self.names))

    def below(self, place: str) -> list[int]:
        """Return the indices of the paths that begin with `place` and a slash, in ascending order."""
        first, last = (bisect_left(self._sorted, (f"{place}{end}",)) for end in "/0")  # 0 comes after /
        return sorted(number for _, number in self._sorted[first:last])


def check_shapes(file: Hdf5, pairs: Pairs) -> None:
    """Raise FileRefused if a weight's shape and its array's differ; called before weights are allocated and read."""
    datasets = file.datasets()
    for weight, path in pairs:
        shape, there = tuple(weight.spec.shape), datasets[path].shape
        if there != shape:
            raise FileRefused(f"weight '{weight.name}' has shape {shape}, but {there} in the file")


def fill(file: Hdf5, pairs: Pairs) -> None:
    """Read values of weights from a Keras file one at a time, so that memory holds them once. Raises FileRefused."""
    check_shapes(file, pairs)
    datasets = file.datasets()
    arrays = file.arrays((path, datasets[path]) for _, path in pairs)
    for (weight, _), array in zip(pairs, arrays, strict=True):
        weight.take(torch.from_numpy(array.astype(array.dtype.newbyteorder("="))))


def _of_owner(owner: Owner, weights: Sequence[Weight], below: Sequence[str]) -> Pairs:
    """Pair a layer's weights with arrays of a file in Keras 3's layout; `below` are the paths of all arrays in the
    layer's HDF5 group.

    The weights of a layer's parts are in groups of their own: vars/0, cell/vars/0, forward_layer/cell/vars/0.
    """
    groups: dict[str, dict[int, str]] = {}
    for path in below:
        part, _, number = path[len(owner.place) + 1 :].rpartition("/")
        if "seed_generator" not in path and part.split("/")[-1] == "vars" and number.isdecimal():
            groups.setdefault(part.removesuffix("vars").rstrip("/"), {})[int(number)] = path
    pairs: Pairs = []
    for place, ordered in weights_by_path(owner.layer, owner.prefix, weights).items():
        paths = groups.pop(place, {})
        if sorted(paths) != list(range(len(ordered))):
            where = safe_text("/".join(owner.path))
            text = f"layer '{where}' has {len(ordered)} weights, but {len(paths)} in the file"
            raise FileRefused(text, hint=None if paths else "was the model built before it was saved?")
        pairs += [(weight, paths[number]) for number, weight in enumerate(ordered)]
    if groups:
        raise FileRefused(f"the file has weights of '{safe_text('/'.join(owner.path))}' that the layer does not have")
    return pairs


def _of_group(file: Hdf5, group: str, weights: Sequence[Weight], datasets: Mapping[str, Dataset]) -> Pairs:
    """Pair a layer's weights with arrays of a file in Keras 2's layout, which lists trainable weights first."""
    if not weights:
        return []
    names = file.texts(group, "weight_names")
    ordered = sorted(weights, key=lambda weight: not weight.trainable)
    if len(names) != len(ordered):
        hint = "a part of it may lead to no output: save the model as .keras, which stores weights by layer"
        text = f"'{safe_text(group)}' has {len(ordered)} weights, but {len(names)} in the file"
        raise FileRefused(text, hint=hint if len(names) > len(ordered) else None)
    pairs: Pairs = []
    for weight, name in zip(ordered, names, strict=True):
        path, leaf = f"{group}/{name}", name.rpartition("/")[2].partition(":")[0]
        if path not in datasets:
            raise FileRefused(f"the file lists a weight '{safe_text(path)}' that it does not contain")
        if leaf != weight.spec.name:
            text = f"weight '{weight.name}' would get '{safe_text(leaf)}': the file has another order of weights"
            raise FileRefused(text)
        pairs.append((weight, path))
    return pairs


def is_adapted(layer: BaseLayer) -> bool:
    """Return True if the layer's mean and variance are stored as weights in the Keras file, not in its config."""
    return isinstance(layer, Normalization) and layer.mean is None


def with_statistics(owner: Owner, model: ModelFile) -> BaseLayer:
    """Return a layer with the mean and variance that the Keras file stores for it as weights. Raises FileRefused."""
    file, legacy = model.arrays, model.legacy
    if file is None:
        text = f"the mean of '{safe_text('/'.join(owner.path))}', adapted to data, is not in the file"
        raise FileRefused(text, hint="import the .keras or .h5 file with the weights")
    datasets = file.datasets()
    found: dict[str, Any] = {}
    for number, name in enumerate(("mean", "variance")):
        path = (
            f"{owner.place}/vars/{number}" if legacy is None else _named(file, f"{legacy}/{owner.path[0]}", owner, name)
        )
        if path not in datasets:
            raise FileRefused(f"the file has no {name} of '{safe_text('/'.join(owner.path))}'")
        values = file.array(path, datasets[path])
        what = f"the {name} of '{safe_text('/'.join(owner.path))}'"
        finite_as(torch.from_numpy(values.astype(np.float64)), torch.float32, what)
        found[name] = short_number(values.tolist())
    return type(owner.layer).model_validate({**dict(owner.layer), **found})


def _named(file: Hdf5, group: str, owner: Owner, name: str) -> str:
    """Return the HDF5 path of a layer's weight named `name` in a file of Keras 2's layout."""
    names = [each.partition(":")[0].split("/") for each in file.texts(group, "weight_names")]
    whole = file.texts(group, "weight_names")
    own = [text for text, parts in zip(whole, names, strict=True) if parts[-2:] == [owner.path[-1], name]]
    return f"{group}/{own[0] if own else name}"
