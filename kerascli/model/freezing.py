"""Freeze and unfreeze layers by patterns over their names, as Keras's `layer.trainable = ...` does."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NoReturn

from kerascli.foundation.errors import Fault, Path, suggestion
from kerascli.language.component import Invalid
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.analysis import set_by
from kerascli.model.ir.inner_models import CustomCellRNN, part_of, wrapped
from kerascli.model.ir.nodes import Call, Entry, Model, Node, Shared, flat

_PATH: Path = ("fit", "trainable")
_RANGE = re.compile(r"(.+?)\.\.(.+)")


def with_trainable(model: Model, patterns: Mapping[str, bool]) -> Model:
    """Return a model with `trainable` of its layers set by patterns over layer names, such as `base.block5_*`.

    `patterns` maps each pattern to a bool (True: train the layers); of several that match, the last one takes effect.
    Raises Invalid (config errors) for a pattern that matches no layer.
    """
    if not patterns:
        return model
    names = _Names(model)
    chosen: dict[str, bool] = {}
    faults: list[Fault] = []
    for pattern, value in patterns.items():
        try:
            chosen |= dict.fromkeys(names.matching(pattern), value)
        except LookupError as error:
            hint = "expected a layer, a shared model, base.dense_1, base.block5_*, or first..last"
            faults.append(Fault(f"trainable: {error.args[0]}", (*_PATH, pattern), "key", hint=hint))
    if faults:
        raise Invalid(faults)
    entries = tuple(_entry(entry, chosen) for entry in model.entries)
    return replace(model, entries=entries, shared=tuple(_shared(each, chosen) for each in model.shared))


def updated_faults(model: Model, patterns: Mapping[str, bool]) -> list[Fault]:
    """Return config errors for patterns of `fit.trainable` that would train a weight that an `update` layer assigns.

    `model` is the model after the patterns have been applied.
    """
    names, faults = _Names(model), list[Fault]()
    weights = {node.weights_name for node in set_by(model.nodes).values() if node.layer.trainable}
    for pattern in (each for each in patterns if patterns[each]):
        for name in weights.intersection(names.matching(pattern)):
            text = f"trainable: '{name}' is assigned by an update, so the optimizer cannot train it"
            hint = f"remove the update, or add {name}: false after this pattern"
            faults.append(Fault(text, (*_PATH, pattern), "key", hint=hint))
    return faults


def trained_layers(model: Model) -> dict[str, bool]:
    """Return a mapping from each layer's prefix of weight names to True if the layer is trained, else False."""
    return {node.weights_name: node.layer.trainable for node in _with_inner(model.nodes)}


def _with_inner(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield nodes and the nodes inside them: those of custom cells and of models wrapped by `time_distributed`."""
    for node in nodes:
        yield node
        shared = wrapped(node)
        inner = node.layer.cell.entries if isinstance(node.layer, CustomCellRNN) else shared.entries if shared else ()
        yield from _with_inner(flat(inner))


class _Names:
    """Layers of a model by the names that patterns of `fit.trainable` match: `dense`, `base.block5_conv1`, `base`."""

    def __init__(self, model: Model) -> None:
        nodes = list(_with_inner(model.nodes))
        self.layers = list(dict.fromkeys(node.weights_name for node in nodes))
        """Name prefixes of the weights of all layers, in order of definition."""
        self._below: dict[str, list[str]] = {}
        for name in self.layers:
            for above in _and_above(name.replace("/", ".")):
                self._below.setdefault(above, []).append(name)
        for node in nodes:  # names of calls: `a.features` has the weights of `tower.features`
            for above in _and_above(node.name):
                names = self._below.setdefault(above, [])
                names += [] if node.weights_name in names else [node.weights_name]

    def matching(self, pattern: str) -> Sequence[str]:
        """Return the layers that match a pattern: a name, a glob or a range. Raises LookupError(text) if none does."""
        if pattern in self._below:
            return self._below[pattern]
        if ends := _RANGE.fullmatch(pattern):
            return self._between(*ends.groups())
        matches = [name for each, names in self._below.items() if fnmatchcase(each, pattern) for name in names]
        return matches or self._unknown(pattern)

    def _between(self, first: str, last: str) -> Sequence[str]:
        """Return the layers of a pattern `first..last`, both ends included. Raises LookupError(text) for an unknown
        end.

        `last` may omit its prefix: base.block4_conv1..block5_conv3.
        """
        sibling = f"{first.rpartition('.')[0]}.{last}"
        last = sibling if last not in self._below and sibling in self._below else last
        for end in (first, last):
            if end not in self._below:
                self._unknown(end)
        start = min(map(self.layers.index, self._below[first]))
        stop = max(map(self.layers.index, self._below[last]))
        if start > stop:
            raise LookupError(f"'{first}' comes after '{last}': the range is empty")
        return self.layers[start : stop + 1]

    def _unknown(self, name: str) -> NoReturn:
        raise LookupError(f"nothing in the model is called '{name}'{suggestion(name, self._below)}")


def _and_above(name: str) -> Iterator[str]:
    """Yield a dotted name and its prefixes: a.b.c, a.b, a."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _entry(entry: Entry, chosen: Mapping[str, bool]) -> Entry:
    if isinstance(entry, Call):
        nodes = tuple(_node(node, chosen) for node in entry.nodes)
        return replace(entry, of=_shared(entry.of, chosen), nodes=nodes)
    return _node(entry, chosen)


def _node(node: Node, chosen: Mapping[str, bool]) -> Node:
    layer = _layer(node.layer, chosen.get(node.weights_name))
    if isinstance(layer, CustomCellRNN):
        entries = tuple(_entry(entry, chosen) for entry in layer.cell.entries)
        layer = layer.of(replace(layer.cell, entries=entries))
    elif (shared := wrapped(node)) is not None:
        layer = layer.model_copy(update={"layer": part_of(_shared(shared, chosen))})
    return replace(node, layer=layer)


def _shared(shared: Shared, chosen: Mapping[str, bool]) -> Shared:
    if shared.layer is not None:
        return replace(shared, layer=_layer(shared.layer, chosen.get(shared.weights)))
    entries = tuple(_entry(entry, chosen) for entry in shared.entries)
    return replace(shared, entries=entries, shared=tuple(_shared(each, chosen) for each in shared.shared))


def _layer(layer: BaseLayer, trainable: bool | None) -> BaseLayer:
    unchanged = trainable is None or layer.trainable == trainable
    return layer if unchanged else layer.model_copy(update={"trainable": trainable})
