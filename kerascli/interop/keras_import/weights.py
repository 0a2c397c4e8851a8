"""Read weights from a Keras file into the imported model; shapes are compared before any value is read.

Statistics that a layer adapted to data, which Keras stores as weights, become arguments of the layer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.objects import short_number
from kerascli.interop.keras.places import Owner, weights_by_group, weights_by_layer
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.layers.base import BaseLayer
from kerascli.model.runtime.weights import Weight, finite_as

Pairs = list[tuple[Weight, str]]
"""Type of a list of pairs: a weight of the model, and the HDF5 path of its array in the Keras file."""
_KERAS_1 = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
"""Names of weights in files that Keras 1 wrote, such as `block1_conv1_W_1:0` of a published VGG16."""
_VARIABLE = re.compile(r"(?:(.*)/)?vars/(\d+)", re.DOTALL)


def read_weights(file: Hdf5, weights: Sequence[Weight], owners: Sequence[Owner], *, legacy: str | None) -> Pairs:
    """Return, in Keras's order, each weight of an imported model paired with the HDF5 path of its array in the Keras
    file.

    `legacy` is the group in Keras 2's layout (`model_weights`, or '' in a weights file); None for Keras 3's layout.
    Raises FileRefused.
    """
    if legacy is not None:
        layers = weights_by_layer(owners, weights)
        return [pair for name, own in layers for pair in _of_layer(file, f"{legacy}/{name}".strip("/"), own)]
    pairs, groups, own_groups = Pairs(), variables(file), set[str]()
    for group, own in weights_by_group(owners, weights):
        paths = groups.get(group, {})
        if sorted(paths) != list(range(len(own))):
            raise _mismatch(own, group, len(paths), None if paths else "was the model built before it was saved?")
        pairs += [(weight, paths[number]) for number, weight in enumerate(own)]
        own_groups.add(group)
    by_place = {owner.place: owner for owner in owners}
    for group in groups.keys() - own_groups:
        above = map(by_place.get, accumulate(group.split("/"), "{}/{}".format))
        if (owner := next(filter(None, above), None)) is not None:
            where = safe_text("/".join(owner.path))
            raise FileRefused(f"the file has weights of '{where}' that the layer does not have")
    return pairs


def variables(file: Hdf5) -> dict[str, dict[int, str]]:
    """Return the paths of arrays in a file in Keras 3's layout, by group (`layers/lstm/cell`) and number in it.

    The weights of a layer's parts are in groups of their own: vars/0, cell/vars/0, forward_layer/cell/vars/0.
    """
    groups: dict[str, dict[int, str]] = {}
    for path in file.datasets:
        if (match := _VARIABLE.fullmatch(path)) is not None and "seed_generator" not in path:
            groups.setdefault(match[1] or "", {})[int(match[2])] = path
    return groups


def refuse_other_layers(file: ModelFile, layers: Mapping[str, Mapping[str, str]]) -> None:
    """Raise FileRefused if layers of the file's weights are not in its model, whether the model uses them or not.

    `layers` are those of each model in the file: HDF5 group by name, by the HDF5 group of the model, '' for the whole
    one. Keras 2's layout has the names of the whole model's layers only.
    """
    if file.arrays is None:
        return
    if file.legacy is not None:
        names = set(file.arrays.texts(file.legacy, "layer_names")) - layers[""].keys()
        more = {name for name in names if file.arrays.texts(f"{file.legacy}/{name}", "weight_names")}
    else:
        paths = [path.split("/") for path in file.arrays.datasets]
        at = [(path, number) for path in paths for number, part in enumerate(path[:-1]) if part == "layers"]
        places = {("/".join(path[:number]), "/".join(path[: number + 2])) for path, number in at}
        more = {layer for model, layer in places if model in layers and layer not in layers[model].values()}
    if more:
        text = f"'{file.name}' has weights of a layer that its model does not have: '{safe_text(min(more))}'"
        raise FileRefused(text)


def check_shapes(file: Hdf5, pairs: Pairs) -> None:
    """Raise FileRefused if a weight's shape and its array's differ; called before weights are allocated and read."""
    for weight, path in pairs:
        shape, there = tuple(weight.spec.shape), file.datasets[path].shape
        if there != shape:
            raise FileRefused(f"weight '{weight.name}' has shape {shape}, but {there} in the file")


def fill(file: Hdf5, pairs: Pairs) -> None:
    """Read values of weights from a Keras file one at a time, so that memory holds them once. Raises FileRefused."""
    for weight, values in tensors(file, pairs):
        weight.take(values)


def tensors(file: Hdf5, pairs: Pairs) -> Iterator[tuple[Weight, torch.Tensor]]:
    """Yield each weight with the values of its array in a Keras file. Raises FileRefused if a shape differs."""
    check_shapes(file, pairs)
    for (weight, _), array in zip(pairs, file.arrays(path for _, path in pairs), strict=True):
        yield weight, torch.from_numpy(array)


def _mismatch(weights: Sequence[Weight], group: str, count: int, hint: str | None) -> FileRefused:
    own = weights[0].name.rpartition("/")[0]
    text = f"layer '{own}' has {len(weights)} weights, but '{safe_text(group)}' in the file has {count}"
    return FileRefused(text, hint=hint)


def listed(file: Hdf5, group: str) -> list[str]:
    """Return the paths of a layer's arrays in a file in Keras 2's layout, in order. Raises FileRefused if one is
    missing."""
    paths = [f"{group}/{name}" for name in file.texts(group, "weight_names")]
    if unknown := [path for path in paths if path not in file.datasets]:
        raise FileRefused(f"the file lists a weight '{safe_text(unknown[0])}' that it does not contain")
    return paths


def _of_layer(file: Hdf5, group: str, weights: Sequence[Weight]) -> Pairs:
    """Pair a layer's weights, in Keras 2's order, with arrays of a file in Keras 2's layout. Raises FileRefused."""
    paths = listed(file, group) if weights else []
    if len(paths) != len(weights):
        hint = "a part of it may lead to no output: save the model as .keras, which stores weights by layer"
        raise _mismatch(weights, group, len(paths), hint if len(paths) > len(weights) else None)
    pairs = list(zip(weights, paths, strict=True))
    for weight, path in pairs:
        name, old = path.rpartition("/")[2].partition(":")[0], _KERAS_1.get(weight.spec.name, weight.spec.name)
        named = name == weight.spec.name or re.fullmatch(rf"\w+_{old}(_\d+)?", name) is not None
        if not named and not name.lower().startswith("variable"):  # LayerScale's weight has no name
            text = f"weight '{weight.name}' would get '{safe_text(path)}': the file has another order of weights"
            raise FileRefused(text)
    return pairs


def with_statistics(owner: Owner, model: ModelFile) -> BaseLayer:
    """Return a layer with the mean and variance that the Keras file stores for it as weights. Raises FileRefused."""
    file, where = model.arrays, safe_text("/".join(owner.path))
    if file is None:
        text = f"the mean of '{where}', adapted to data, is not in the file"
        raise FileRefused(text, hint="import the .keras or .h5 file with the weights")
    statistics: dict[str, Any] = {}
    for number, name in enumerate(("mean", "variance")):
        path = f"{owner.place}/vars/{number}"
        if model.legacy is not None:
            paths, end = listed(file, f"{model.legacy}/{owner.path[0]}"), [owner.path[-1], name]
            path = next((path for path in paths if path.partition(":")[0].split("/")[-2:] == end), "")
        if path not in file.datasets:
            raise FileRefused(f"the file has no {name} of '{where}'")
        values = file.array(path)
        finite_as(torch.from_numpy(values.astype(np.float64)), torch.float32, f"the {name} of '{where}'")
        statistics[name] = short_number(values.tolist())
    return type(owner.layer).model_validate({**dict(owner.layer), **statistics})
