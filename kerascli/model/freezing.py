"""Freeze layers by patterns over their names, as Keras's `layer.trainable = False` does, or train them by LoRA."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from kerascli.foundation.errors import Fault, Path, suggestion
from kerascli.language.component import Invalid, collected
from kerascli.language.trainable import TrainedByLoRA
from kerascli.layers.base import BaseLayer
from kerascli.layers.lora import LowRank
from kerascli.model.ir.analysis import set_by
from kerascli.model.ir.inner_models import CustomCellRNN, layer_of, wrapped
from kerascli.model.ir.nodes import Call, Entry, Model, Node, Shared, flat

_PATH: Path = ("fit", "trainable")
_RANGE = re.compile(r"(.+?)\.\.(.+)")

Patterns = Mapping[str, bool | TrainedByLoRA]
"""Mapping from a pattern over layer names to True (train the layers), False (freeze them), or LoRA."""
_Chosen = Callable[[str], Mapping[str, Any] | None]
"""Function from a layer's prefix of weight names to settings of the layer, such as `trainable`; None: no settings."""


def with_trainable(model: Model, patterns: Patterns) -> Model:
    """Return a model with `trainable` of its layers set by patterns over layer names, such as `base.block5_*`.

    Of several patterns that match, the last one takes effect; LoRA stays. Raises Invalid (config errors) for a pattern
    that matches no layer, or whose LoRA does not fit.
    """
    names = _Names(model)
    chosen: dict[str, dict[str, Any]] = {}
    faults: list[Fault] = []
    for pattern, value in patterns.items():
        with collected(faults, (*_PATH, pattern)):
            matching = names.matching(pattern)
            for name in matching:
                chosen.setdefault(name, {}).update({"trainable": value} if isinstance(value, bool) else {})
            if isinstance(value, TrainedByLoRA):
                _add_lora(chosen, [names.nodes[name] for name in matching], value)
    for name, node in names.nodes.items():
        if isinstance(node.layer, LowRank) and node.layer.lora_rank and not node.layer.trainable and name not in chosen:
            text = f"'{node.name}' has lora_rank, and trainable: false freezes it: LoRA would train nothing"
            faults.append(Fault(text, node.path, "key", hint="remove trainable: false; LoRA itself freezes the kernel"))
    if faults:
        raise Invalid(faults)
    return _with_settings(model, chosen.get) if chosen else model


def _add_lora(chosen: dict[str, dict[str, Any]], nodes: Sequence[Node], value: TrainedByLoRA) -> None:
    """Add LoRA to the settings `chosen` of the layers of `nodes`, and freeze those that have none. Raises Invalid."""
    settings = {"lora_rank": value.lora.rank, "lora_alpha": value.lora.alpha}
    for node in nodes:
        own = chosen[node.weights_name]
        if isinstance(node.layer, LowRank):
            before = {key: getattr(node.layer, key) for key in settings} | own
            if before["lora_rank"] is not None and any(before[key] != settings[key] for key in settings):
                alpha = before["lora_alpha"] or before["lora_rank"]
                text = f"trainable: '{node.name}' has LoRA of rank {before['lora_rank']} and alpha {alpha:g}"
                hint = "all patterns that match a layer give it one rank and alpha"
                raise Invalid(f"{text}, which stays", at="key", hint=hint)
            own.update(settings)
        has_lora = isinstance(node.layer, LowRank | CustomCellRNN) or wrapped(node) is not None
        own["trainable"] = value.trainable and has_lora
    if not any(isinstance(node.layer, LowRank) for node in nodes):
        hint = "dense, einsum_dense, embedding, reversible_embedding, conv_1d, conv_2d and conv_3d have it"
        raise Invalid("trainable: none of these layers has LoRA", at="key", hint=hint)


def without_lora(model: Model, **settings: bool) -> Model:
    """Return a model whose layers have no LoRA; `settings` are further settings of all layers (`trainable=True`)."""
    return _with_settings(model, lambda _: {"lora_rank": None, "lora_alpha": None, **settings})


def _with_settings(model: Model, chosen: _Chosen) -> Model:
    views = {
        name: replace(view, model=_with_settings(view.model, chosen), entries=_entries(view.entries, chosen))
        for name, view in model.views.items()
    }
    shared = tuple(_shared(each, chosen) for each in model.shared)
    return replace(model, entries=_entries(model.entries, chosen), shared=shared, views=views)


def updated_faults(model: Model, patterns: Patterns) -> list[Fault]:
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
        self.nodes = {node.weights_name: node for node in reversed(nodes)}
        """Mapping from the prefix of a layer's weight names to its first node."""
        self.layers = list(dict.fromkeys(node.weights_name for node in nodes))
        """Name prefixes of the weights of all layers, in order of definition."""
        self._below: dict[str, dict[str, None]] = {}
        called = [(node.name, node.weights_name) for node in nodes]  # `a.features` has the weights of `tower.features`
        for path, name in [*((name.replace("/", "."), name) for name in self.layers), *called]:
            for above in _and_above(path):
                self._below.setdefault(above, {})[name] = None

    def matching(self, pattern: str) -> Sequence[str]:
        """Return the layers that match a pattern: a name, a glob or a range. Raises Invalid if none does."""
        if pattern in self._below:
            return [*self._below[pattern]]
        if ends := _RANGE.fullmatch(pattern):
            return self._between(*ends.groups())
        matches = [name for each, names in self._below.items() if fnmatchcase(each, pattern) for name in names]
        return matches or self._unknown(pattern)

    def _between(self, first: str, last: str) -> Sequence[str]:
        """Return the layers of a pattern `first..last`, both ends included. Raises Invalid for an unknown end.

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
            _refuse(f"'{first}' comes after '{last}': the range is empty")
        return self.layers[start : stop + 1]

    def _unknown(self, name: str) -> NoReturn:
        _refuse(f"nothing in the model is called '{name}'{suggestion(name, self._below)}")


def _refuse(text: str) -> NoReturn:
    hint = "expected a layer, a shared model, base.dense_1, base.block5_*, or first..last"
    raise Invalid(f"trainable: {text}", at="key", hint=hint)


def _and_above(name: str) -> Iterator[str]:
    """Yield a dotted name and its prefixes: a.b.c, a.b, a."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _entries(entries: Iterable[Entry], chosen: _Chosen) -> tuple[Entry, ...]:
    return tuple(_entry(entry, chosen) for entry in entries)


def _entry(entry: Entry, chosen: _Chosen) -> Entry:
    if isinstance(entry, Call):
        nodes = tuple(_node(node, chosen) for node in entry.nodes)
        return replace(entry, of=_shared(entry.of, chosen), nodes=nodes)
    return _node(entry, chosen)


def _node(node: Node, chosen: _Chosen) -> Node:
    layer = _layer(node.layer, chosen(node.weights_name))
    if isinstance(layer, CustomCellRNN):
        entries = _entries(layer.cell.entries, chosen)
        layer = layer.of(replace(layer.cell, entries=entries))
    elif (shared := wrapped(node)) is not None:
        layer = layer.model_copy(update={"layer": layer_of(_shared(shared, chosen))})
    return replace(node, layer=layer)


def _shared(shared: Shared, chosen: _Chosen) -> Shared:
    if shared.layer is not None:
        return replace(shared, layer=_layer(shared.layer, chosen(shared.weights)))
    entries = _entries(shared.entries, chosen)
    return replace(shared, entries=entries, shared=tuple(_shared(each, chosen) for each in shared.shared))


def _layer(layer: BaseLayer, settings: Mapping[str, Any] | None) -> BaseLayer:
    changed = {name: value for name, value in (settings or {}).items() if getattr(layer, name, value) != value}
    return layer.model_copy(update=changed) if changed else layer
