"""Build models that share the weights of another model: its views (such as an encoder alone), and forward passes of
`train_step`."""

from collections.abc import Mapping

from torch import nn

from kerascli.foundation.errors import Fault
from kerascli.language.component import Invalid
from kerascli.model.inference.build import build
from kerascli.model.ir.dead_nodes import called_in
from kerascli.model.ir.nodes import Call, Entry, Model, Node, flat
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.submodules import submodules_of


def build_views(model: Model, owners: Mapping[str, nn.Module], batch_size: int | None = None) -> dict[str, Built]:
    """Return a model's views (models that share its weights) with their modules, by name; all their weights must be in
    `owners`. Raises Invalid.

    `owners` are the modules with weights of the model and of its training, by the weights' names.
    """
    faults: list[Fault] = []
    views: dict[str, Built] = {}
    for name, view in model.views.items():
        try:
            views[name] = build(view.model, owners, batch_size)
        except Invalid as invalid:
            faults += invalid.faults
            continue
        for entry in view.entries:
            own = [p for node in flat([entry]) for p in submodules_of(node, views[name].modules[node.name])]
            if any(any(part.weights()) for part in own if part.name not in owners):
                faults.append(_own_weights(entry, name))
    if faults:
        raise Invalid(faults)
    return views


def _own_weights(entry: Entry, view: str) -> Fault:
    if isinstance(entry, Call):
        text = f"'{entry.of.name}' is called by the view '{view}' only, so it would never be trained"
        return Fault(text, entry.path, "key", hint="call it in model.layers, or in an update of fit.train_step")
    text = f"'{entry.name}' has weights that the model does not have: a view cannot have weights of its own"
    hint = f"move it to model.layers, or to model.shared to call it there and in '{view}'"
    return Fault(text, entry.path, "key", hint=hint)


def build_forward_pass(model: Model, owners: Mapping[str, nn.Module]) -> Built:
    """Return a forward pass of `fit.train_step` with its modules; each of its weights must be in `owners` or belong to
    a shared layer.

    Raises Invalid.
    """
    built = build(model, owners)
    faults: list[Fault] = []
    for entry in model.entries:
        if not isinstance(entry, Node):
            continue
        shared = tuple(f"{name}/" for name in called_in([entry]))
        own = [p for p in submodules_of(entry, built.modules[entry.name]) if p.name not in owners]
        if any(any(part.weights()) for part in own if not f"{part.name}/".startswith(shared)):
            text = f"'{entry.name}' would have weights of its own, which the model does not have"
            hint = "move it to model.shared, and call it here by its name"
            faults.append(Fault(text, entry.path, "key", hint=hint))
    if faults:
        raise Invalid(faults)
    return built
