"""Read views (`model.views`, submodels) and forward passes of `fit.train_step`, which share a model's weights."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from kerascli.foundation.errors import Fault, Path, show
from kerascli.foundation.shapes import Specs
from kerascli.language.component import Invalid
from kerascli.language.section import Written, meant_keys
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.analysis import PREFIX, called_in, dead_node_faults, targets_of
from kerascli.model.ir.nodes import Entry, Input, Model, Node, Shared, View, flat, names_used_by
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.inputs import from_data, read_declared
from kerascli.model.syntax.layers import SplitEntry, read_layer
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import MODEL, Reading, TooManyNodes, is_list
from kerascli.model.syntax.schema import NodeKeys, ViewSection
from kerascli.model.syntax.shared import read_shared


@dataclass(frozen=True, slots=True)
class Scope:
    """Names of a model that its views (submodels) may use: of shared layers and models, blocks, inputs, nodes."""

    reading: Reading
    """State of the parser after the model has been read, with the names that it defines."""
    inputs: tuple[Input, ...]
    """Inputs of the model."""
    data_inputs: tuple[Input, ...] = ()
    """Inputs in the data section that only the forward passes of `train_step` take, not the model."""

    def fork(self, faults: Faults, path: Path, *, own: bool) -> Reading:
        """Return a copy of the model's reading state, with which to read a view (submodel) at the config path `path`.

        With `own`, the view has inputs of its own, and sees no names of the model's nodes and inputs.
        """
        reading = self.reading
        return reading.inner(
            faults=faults,
            prefix="/".join(map(str, path)) + "/",
            names=Names() if own else copy.deepcopy(reading.names),
            inputs=() if own else reading.inputs,
        )


def read_views(scope: Scope, section: Any) -> dict[str, View]:
    """Return the views (submodels) in the section `model.views`, by name; config errors are added to the model's."""
    faults, views = scope.reading.faults, {}
    if section is not None and (not isinstance(section, dict) or not section):
        text = f"model.views: expected a mapping of names to models, got {show(section)}"
        faults.add(text, (*MODEL, "views"), hint="views: {encode: {outputs: z}}")
    for name, written in section.items() if isinstance(section, dict) else ():
        path = (*MODEL, "views", name)
        if problem := Names().refuse(str(name)):
            faults.add(problem.text, path, "key")
        with faults.absorbing():
            view = read_view_at(scope, f"view '{name}'", written, path)
            if problems := [*_training_faults(view), *_target_faults(view, str(name), path)]:
                raise Invalid(problems)
            views[str(name)] = view
    return views


def _training_faults(view: View) -> Iterator[Fault]:
    """Yield a config error for each node of a view that computes a loss or metric or updates a weight."""
    for node in flat(view.entries):
        if not node.outputs:
            text = f"'{node.name}' is used in training only; a view is never trained"
            yield Fault(text, node.path, "key", hint="move it to model.layers")


def _target_faults(view: View, name: str, path: Path) -> Iterator[Fault]:
    """Yield a config error for each target that a view (submodel) uses: views only predict, so no targets are
    available."""
    hint = "use targets in add_loss, add_metric and what leads to them"
    uses = [(each, entry) for entry in view.model.entries for each in entry.used_names()]
    for each, entry in [*uses, *((output, None) for output in view.model.outputs)]:
        if not each.startswith(PREFIX):
            continue
        what = f"'{entry.name}' needs '{each}', which" if entry is not None else f"the output '{each}'"
        place = entry.path if entry is not None and entry in view.entries else path
        yield Fault(f"view '{name}': {what} is not available when the model predicts", place, "key", hint=hint)


def read_view_at(scope: Scope, whose: str, written: Any, path: Path) -> View:
    """Return the view (submodel) at a config path, which uses the weights of the model of `scope`.

    A view that declares inputs may use only these inputs. A view without inputs may use the data's inputs, and the
    inputs and nodes of the model of `scope`. `whose` names the view in errors. Raises Invalid (config errors).
    """
    faults = Faults()
    view = faults.read(ViewSection, written if isinstance(written, dict) else {}, path, whose)
    if not view.has("layers") and not view.has("outputs"):
        if not isinstance(written, dict) or not meant_keys(ViewSection, written):
            faults.add(f"{whose}: expected a mapping with outputs, layers or both, got {show(written)}", path)
        raise Invalid(faults.all())
    reading = scope.fork(faults, path, own=(own := view.has("inputs")))
    if own:
        declared = read_declared(reading, view.inputs, {}, path)
        inputs, reading.inputs = tuple(declared.values()), tuple(declared)
    else:
        inputs = (*scope.inputs, *scope.data_inputs)
        for each in scope.data_inputs:
            reading.names.give(each.name, each.path)
    # `shared` is reported as an unknown key; it is read so that calls of what it defines cause no further errors
    read_shared(reading, written.get("shared"), path)
    outputs = reading.read_body(view, path)
    entries = leading_to([*([] if own else scope.reading.entries), *reading.entries], outputs)
    if not faults.count and not reading.names.has_broken():  # else report no consequences
        at = ".".join((*map(str, path), "outputs"))
        faults.take(dead_node_faults(inputs if own else (), reading.entries, outputs, at, inside=False))
        if not faults.count and not entries:
            faults.add(f"{whose}: no layer leads to its outputs", path, "key")
    if faults.count:
        raise Invalid(faults.all())
    model = Model(_used(inputs, entries, outputs), entries, outputs, called_by(scope.reading.shared.values(), entries))
    return View(model, tuple(reading.entries), own)


def leading_to(entries: Sequence[Entry], outputs: Iterable[str]) -> tuple[Entry, ...]:
    """Return those nodes, and calls of shared models, on which the tensors `outputs` of a model depend, in order."""
    needed, kept = set(outputs), []
    for entry in reversed(entries):
        if needed & {output for node in flat([entry]) for output in (*node.outputs, *entry.outputs)} - {"_"}:
            kept.append(entry)
            needed.update(entry.used_names())
    return tuple(reversed(kept))


def _used(inputs: Iterable[Input], entries: Sequence[Entry], outputs: Iterable[str]) -> tuple[Input, ...]:
    """Return those inputs that nodes use or that are outputs themselves."""
    used = {*outputs, *names_used_by(entries)}
    return tuple(each for each in inputs if each.name in used)


def called_by(shared: Iterable[Shared | None], entries: Sequence[Entry]) -> tuple[Shared, ...]:
    """Return those of `shared` (layers and models) that `entries` (nodes of a model) call, also indirectly."""
    called = called_in(entries)
    return tuple(each for each in shared if each is not None and each.weights in called)


class Forward:
    """Reader of a forward pass of `fit.train_step`: the `layers` of an update, or (without these) the model's nodes."""

    def __init__(self, scope: Scope, inputs: Specs, targets: Specs | None, path: Path, update: Written) -> None:
        self.faults = Faults()
        self._scope = scope
        self._targets = targets or {}
        own = "layers" in update
        self.reading = scope.fork(self.faults, path, own=own)
        self.inputs = scope.inputs
        self.layers: tuple[Entry, ...] | None = None
        """Nodes and calls of shared models in the update's `layers`; None without these."""
        if not own:
            self.reading.entries += scope.reading.entries
            return
        self.inputs = tuple(from_data(inputs).values())
        self.reading.inputs = tuple(inputs)
        names = self.reading.names
        names.see_targets(None if targets is None else tuple(targets))
        for each in self.inputs:
            names.give(each.name, each.path)
        names.previous = next(iter(inputs)) if len(inputs) == 1 else None
        path = (*path, "layers")
        if is_list(update["layers"], str(update.get("name", "train_step")), path, self.faults):
            with suppress(TooManyNodes):
                self.reading.read_entries(update["layers"], path)
        else:
            names.has_inputs = False  # any unknown name may be that of a layer that could not be read
        self.layers = tuple(self.reading.entries)

    def formula(self, cls: type[BaseLayer], text: Any, path: Path, settings: Mapping[str, Any]) -> Node | None:
        """Add a layer without output tensors (`cls`: `add_loss` ...) for the formula `text` at a config path.

        `settings` are further arguments of the layer. Return its node, or None after a config error.
        """
        entries = self.reading.entries
        before = len(entries)
        read_layer(self.reading, SplitEntry(cls, str(path[-1]), text, NodeKeys(), {}, path[:-1], path))
        if len(entries) == before:
            return None
        node = entries[-1]
        assert isinstance(node, Node)
        entries[-1] = replace(node, layer=node.layer.model_copy(update=settings))
        return entries[-1]

    def model(self, outputs: Iterable[str]) -> Model:
        """Return the forward pass as a model with the given `outputs`, which losses use. Raises Invalid."""
        outputs, entries = tuple(dict.fromkeys(outputs)), tuple(self.reading.entries)
        if not self.faults.count and self.layers is not None:
            self.faults.take(dead_node_faults((), entries, outputs, at="a loss", inside=False))
        for node in flat(entries):
            if node.layer.keeps_states():
                text, hint = f"'{node.name}' is stateful, which train_step does not support", "remove stateful"
                self.faults.add(text, node.path, "key", hint=hint)
        if self.faults.count:
            raise Invalid(self.faults.all())
        shared = called_by(self._scope.reading.shared.values(), entries)
        targets = targets_of(flat(entries), self._targets)
        return Model(_used(self.inputs, entries, outputs), entries, outputs, shared, targets=targets)
