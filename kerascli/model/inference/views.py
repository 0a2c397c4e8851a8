"""Further models over the weights of one: its views, and the forward passes of a training with several updates."""

from collections.abc import Mapping

from torch import nn

from kerascli.component import Invalid
from kerascli.errors import Fault
from kerascli.model.inference.build import build
from kerascli.model.ir.dead_nodes import called_in
from kerascli.model.ir.nodes import Call, Entry, Model, Node, flat
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.submodules import parts_of


def build_views(model: Model, owners: Mapping[str, nn.Module], batch_size: int | None = None) -> dict[str, Built]:
    """The views, with the weights of the model and of its training, `owners`, and none beside. Raises Invalid."""
    faults: list[Fault] = []
    views: dict[str, Built] = {}
    for name, view in model.views.items():
        try:
            views[name] = build(view.model, owners, batch_size)
        except Invalid as invalid:
            faults += invalid.faults
            continue
        for entry in view.entries:
            own = [p for node in flat([entry]) for p in parts_of(node, views[name].modules[node.name])]
            if any(any(part.weights()) for part in own if part.name not in owners):
                faults.append(_own_weights(entry, name))
    if faults:
        raise Invalid(faults)
    return views


def _own_weights(entry: Entry, view: str) -> Fault:
    if isinstance(entry, Call):
        text = f"'{entry.of.name}' is called by the view '{view}' alone: nothing would ever train it"
        return Fault(text, entry.path, "key", hint="call it in model.layers, or in an update of fit.train_step")
    text = f"'{entry.name}' has weights that the model does not have: a view has none of its own"
    hint = f"put it into model.layers, or under model.shared to call it there and in '{view}'"
    return Fault(text, entry.path, "key", hint=hint)


def build_forward_pass(model: Model, owners: Mapping[str, nn.Module]) -> Built:
    """A forward pass whose weights are those of `owners`, or of what is shared. Raises Invalid."""
    built = build(model, owners)
    faults: list[Fault] = []
    for entry in model.entries:
        if not isinstance(entry, Node):
            continue
        shared = tuple(f"{name}/" for name in called_in([entry]))
        own = [p for p in parts_of(entry, built.modules[entry.name]) if p.name not in owners]
        if any(any(part.weights()) for part in own if not f"{part.name}/".startswith(shared)):
            text = f"'{entry.name}' would have weights of its own, which the model does not have"
            hint = "put it under model.shared, and call it here by its name"
            faults.append(Fault(text, entry.path, "key", hint=hint))
    if faults:
        raise Invalid(faults)
    return built
