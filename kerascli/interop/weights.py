"""The weights of a Keras file -> ours by name; shapes are compared before a number is read."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from kerascli.errors import FileRefused, safe_text
from kerascli.graph.weights import Weight
from kerascli.interop.hdf5 import Dataset, Hdf5
from kerascli.interop.places import parts_of
from kerascli.interop.reading import Owner

Pairs = list[tuple[Weight, str]]
"""Our weight and the path of its numbers."""


def read_weights(file: Hdf5, weights: Sequence[Weight], owners: Sequence[Owner], *, legacy: str | None) -> Pairs:
    """Which numbers of the file belong to which weight, in Keras's order.

    `legacy` is the group of Keras 2's layout (`model_weights`, or `` for a file of weights), None: Keras 3's.
    Raises FileRefused.
    """
    datasets = file.datasets()
    if legacy is None:
        return [pair for owner in owners for pair in _of_owner(owner, _under(weights, owner.prefix), datasets)]
    pairs: Pairs = []
    for top in dict.fromkeys(owner.path[0] for owner in owners):
        own = [w for o in owners if o.path[0] == top for w in _under(weights, o.prefix)]
        pairs += _of_group(file, f"{legacy}/{top}".strip("/"), own, datasets)
    return pairs


def check_shapes(file: Hdf5, pairs: Pairs) -> None:
    """Before there is memory for the weights, and before their numbers are read. Raises FileRefused."""
    datasets = file.datasets()
    for weight, path in pairs:
        shape, there = tuple(weight.spec.shape), datasets[path].shape
        if there != shape:
            raise FileRefused(f"weight '{weight.name}' has the shape {shape}, in the file {there}")


def fill(file: Hdf5, pairs: Pairs) -> None:
    """Give the weights their numbers, one after the other: there is never a second copy of all. Raises FileRefused."""
    check_shapes(file, pairs)
    datasets = file.datasets()
    for weight, path in pairs:
        array = file.array(path, datasets[path])
        if not np.isfinite(array).all():
            raise FileRefused(f"weight '{weight.name}' is not finite: the file holds nan or infinite numbers")
        weight.assign(torch.from_numpy(array.astype(array.dtype.newbyteorder("="))))


def _under(weights: Sequence[Weight], prefix: str) -> list[Weight]:
    return [weight for weight in weights if weight.name.startswith(f"{prefix}/")]


def _of_owner(owner: Owner, weights: Sequence[Weight], datasets: Mapping[str, Dataset]) -> Pairs:
    """Keras 3 puts the weights of a layer's parts below it: vars/0, cell/vars/0, forward_layer/cell/vars/0."""
    groups: dict[str, dict[int, str]] = {}
    for path in _below(datasets, owner.place):
        part, _, number = path[len(owner.place) + 1 :].rpartition("/")
        if "seed_generator" not in path and part.split("/")[-1] == "vars" and number.isdecimal():
            groups.setdefault(part.removesuffix("vars").rstrip("/"), {})[int(number)] = path
    pairs: Pairs = []
    for place, ordered in parts_of(owner.layer, owner.prefix, weights).items():
        paths = groups.pop(place, {})
        if sorted(paths) != list(range(len(ordered))):
            where = safe_text("/".join(owner.path))
            text = f"layer '{where}' has {len(ordered)} weights, in the file {len(paths)}"
            raise FileRefused(text, hint=None if paths else "the file may hold no weights of it: was the model built?")
        pairs += [(weight, paths[number]) for number, weight in enumerate(ordered)]
    if groups:
        raise FileRefused(f"the file has weights of '{safe_text('/'.join(owner.path))}' that the layer does not have")
    return pairs


def _below(datasets: Mapping[str, Dataset], place: str) -> Iterator[str]:
    return (path for path in datasets if path.startswith(f"{place}/"))


def _of_group(file: Hdf5, group: str, weights: Sequence[Weight], datasets: Mapping[str, Dataset]) -> Pairs:
    """Keras 2 lists a layer's weights by name: of a whole nested model first what is trained, then the rest."""
    if not weights:
        return []
    names = file.texts(group, "weight_names")
    ordered = sorted(weights, key=lambda weight: not weight.trainable)
    if len(names) != len(ordered):
        raise FileRefused(f"'{safe_text(group)}' has {len(ordered)} weights, in the file {len(names)}")
    pairs: Pairs = []
    for weight, name in zip(ordered, names, strict=True):
        path, leaf = f"{group}/{name}", name.rpartition("/")[2].partition(":")[0]
        if path not in datasets:
            raise FileRefused(f"the file names a weight '{safe_text(path)}' that is not in it")
        if leaf != weight.spec.name:
            text = f"weight '{weight.name}' meets '{safe_text(leaf)}' in the file: its weights are in another order"
            raise FileRefused(text)
        pairs.append((weight, path))
    return pairs
