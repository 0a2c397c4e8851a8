"""Read forward passes of `fit.train_step`: lists of layers over the data's inputs, which call the model's
shared layers."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from kerascli.foundation.errors import Fault, Path
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.dead_nodes import dead_node_faults
from kerascli.model.ir.nodes import Entry, Input, Model, Node, flat
from kerascli.model.ir.targets import targets_of
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.layers import read_layer
from kerascli.model.syntax.reader import TooManyNodes
from kerascli.model.syntax.schema import NodeKeys
from kerascli.model.syntax.section import is_list, read_entries
from kerascli.model.syntax.views import Scope, called_by, forked
from kerascli.model.syntax.written import WrittenNode


class Forward:
    """Reader of one forward pass of `fit.train_step`: of its own `layers`, or (without these) of the model's nodes.

    Paths are those of the config.
    """

    def __init__(
        self,
        scope: Scope,
        inputs: Mapping[str, TensorSpec],
        targets: Mapping[str, TensorSpec] | None,
        path: Path,
        *,
        own: bool,
    ) -> None:
        self.faults = Faults(())
        self._scope = scope
        self._own = own
        self._path = path
        self._targets = targets or {}
        self.reading = forked(scope.reading, self.faults, path, own=own)
        self.inputs = scope.inputs
        if not own:
            self.reading.entries += scope.reading.entries
            return
        self.inputs = tuple(Input(name, spec, ("data", "inputs", name)) for name, spec in inputs.items())
        self.reading.inputs = tuple(inputs)
        names = self.reading.names
        names.see_targets(None if targets is None else tuple(targets))
        for given in self.inputs:
            names.give(given.name, given.path)
        names.previous = next(iter(inputs)) if len(inputs) == 1 else None

    def read(self, layers: Any, whose: str) -> tuple[Entry, ...]:
        """Return the nodes and calls in the list `layers` of an update of `fit.train_step`."""
        path = (*self._path, "layers")
        if is_list(layers, whose, path, self.faults):
            with suppress(TooManyNodes):
                read_entries(self.reading, layers, path)
        else:
            self.reading.names.inputs_known = False  # any unknown name may be that of a layer that could not be read
        return tuple(self.reading.entries)

    def formula(self, cls: type[BaseLayer], text: Any, path: Path, settings: Mapping[str, Any]) -> Node | None:
        """Add the formula at the config path `path` as a layer `cls` without outputs; return its node, None after an
        error.

        Returns the node, or None after a config error.
        """
        entries = self.reading.entries
        before = len(entries)
        read_layer(self.reading, WrittenNode(cls, str(path[-1]), text, NodeKeys(), {}, path[:-1], path))
        if len(entries) == before:
            return None
        node = entries[-1]
        assert isinstance(node, Node)
        entries[-1] = replace(node, layer=node.layer.model_copy(update=settings))
        return entries[-1]

    def model(self, outputs: Iterable[str], at: str) -> Model:
        """Return the forward pass as a model with these `outputs`; `at` is the config key to name in errors about the
        outputs.

        Raises Invalid.
        """
        outputs, entries = tuple(dict.fromkeys(outputs)), tuple(self.reading.entries)
        if not self.faults.found and self._own:
            self.faults.found += dead_node_faults((), entries, outputs, at=at, inside=False)
        for node in flat(entries):
            if node.layer.keeps_states():
                text, hint = f"'{node.name}' is stateful, which train_step does not support", "remove stateful"
                self.faults.found.append(Fault(text, node.path, "key", hint=hint))
        if self.faults.all():
            raise Invalid(self.faults.all())
        used = {name for node in flat(entries) for name in node.used_names()}
        given = tuple(each for each in self.inputs if each.name in used or each.name in outputs)
        shared = called_by(self._scope.reading.shared.values(), entries)
        return Model(given, entries, outputs, shared, targets=targets_of(flat(entries), self._targets))
