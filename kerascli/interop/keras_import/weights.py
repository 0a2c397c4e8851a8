"""The weights of a Keras file -> ours by name; shapes are compared before a number is read."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import torch

from kerascli.errors import FileRefused, safe_text
from kerascli.interop.keras.hdf5 import Dataset, Hdf5
from kerascli.interop.keras.places import parts_of
from kerascli.interop.keras_import.reading import Owner
from kerascli.model.runtime.weights import Weight

Pairs = list[tuple[Weight, str]]
"""Our weight and the path of its numbers."""


def read_weights(file: Hdf5, weights: Sequence[Weight], owners: Sequence[Owner], *, legacy: str | None) -> Pairs:
    """Which numbers of the file belong to which weight, in Keras's order.

    `legacy` is the group of Keras 2's layout (`model_weights`, or `` for a file of weights), None: Keras 3's.
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


class _Tree:
    """Names with slashes; those below a place are found without a look at the others."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._sorted = sorted((name, number) for number, name in enumerate(self.names))

    def below(self, place: str) -> list[int]:
        """The numbers of the names that begin with `place/`, in their order."""
        first, last = (bisect_left(self._sorted, (f"{place}{end}",)) for end in "/0")  # 0 comes after /
        return sorted(number for _, number in self._sorted[first:last])


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
    arrays = file.arrays((path, datasets[path]) for _, path in pairs)
    for (weight, _), array in zip(pairs, arrays, strict=True):
        weight.take(torch.from_numpy(array.astype(array.dtype.newbyteorder("="))))


def _of_owner(owner: Owner, weights: Sequence[Weight], below: Sequence[str]) -> Pairs:
    """`below` are the paths of the file below the layer's place.

    Keras 3 puts the weights of a layer's parts below it: vars/0, cell/vars/0, forward_layer/cell/vars/0."""
    groups: dict[str, dict[int, str]] = {}
    for path in below:
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


def _of_group(file: Hdf5, group: str, weights: Sequence[Weight], datasets: Mapping[str, Dataset]) -> Pairs:
    """Keras 2 lists a layer's weights by name: of a whole nested model first what is trained, then the rest."""
    if not weights:
        return []
    names = file.texts(group, "weight_names")
    ordered = sorted(weights, key=lambda weight: not weight.trainable)
    if len(names) != len(ordered):
        hint = "part of it may lead to no output: save the model as .keras, which says whose weights are whose"
        text = f"'{safe_text(group)}' has {len(ordered)} weights, in the file {len(names)}"
        raise FileRefused(text, hint=hint if len(names) > len(ordered) else None)
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
