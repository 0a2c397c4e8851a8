"""Read views of a model (`model.views`: models that share its weights), and other models that call its shared
layers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerascli.foundation.errors import Fault, Path, show
from kerascli.language.component import Invalid
from kerascli.language.section import meant_keys
from kerascli.model.ir.dead_nodes import called_in, dead_node_faults
from kerascli.model.ir.nodes import Entry, Input, Model, Shared, View, flat
from kerascli.model.ir.targets import PREFIX
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.inputs import read_declared
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import ReadBody, Reading
from kerascli.model.syntax.schema import ViewSection
from kerascli.model.syntax.shared import read_shared


@dataclass(frozen=True, slots=True)
class Scope:
    """Names of a model that its views (submodels) may use: names of shared layers and models, blocks, inputs and
    nodes."""

    reading: Reading
    inputs: tuple[Input, ...]
    read: ReadBody
    data_inputs: tuple[Input, ...] = ()
    """Inputs in the data section that only the forward passes of `train_step` take, not the model."""


def read_views(scope: Scope, section: Any) -> dict[str, View]:
    """Return the views (models that share the model's weights) in `model.views`, by name; config errors are added to
    the model's."""
    faults, found = scope.reading.faults, {}
    if section is None:
        return {}
    if not isinstance(section, dict) or not section:
        hint = "views: {encode: {outputs: z}}"
        text = f"model.views: expected a mapping of names to models, got {show(section)}"
        faults.add(text, ("views",), hint=hint)
        return {}
    for name, written in section.items():
        path = scope.reading.place(("views", name))
        problem = Names().refuse(str(name))
        if problem is not None:
            faults.add(problem.text, ("views", name), at="key")
        try:
            found[str(name)] = _read_view(scope, str(name), written, path)
        except Invalid as invalid:
            faults.take(invalid.faults)
    return found


def _read_view(scope: Scope, name: str, written: Any, path: Path) -> View:
    view = read_view_at(scope, f"view '{name}'", written, path)
    faults: list[Fault] = []
    for node in flat(view.entries):
        if not node.outputs:
            text = f"'{node.name}' is used in training only; a view is never trained"
            faults.append(Fault(text, node.path, "key", hint="move it to model.layers"))
    faults += _target_faults(view, name, path)
    if faults:
        raise Invalid(faults)
    return view


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
    """Return the view at a config path: a model that uses the weights of the model whose names `scope` has. Raises
    Invalid.

    A view with inputs of its own may use only those; one without continues from the data's inputs, and from the
    inputs and nodes of the scope's model.
    """
    faults, keys = Faults(()), written if isinstance(written, dict) else {}
    view = faults.read(ViewSection, keys, path, whose)
    if not view.has("layers") and not view.has("outputs"):
        if not meant_keys(ViewSection, keys):
            faults.add(f"{whose}: expected a mapping with outputs, layers or both, got {show(written)}", path)
        raise Invalid(faults.found)
    own = view.has("inputs")
    reading = forked(scope.reading, faults, path, own=own)
    inputs = (*scope.inputs, *scope.data_inputs)
    for given in () if own else scope.data_inputs:
        reading.names.give(given.name, given.path)
    if own:
        declared = read_declared(view.inputs, {}, reading.names, faults, path)
        inputs, reading.inputs = tuple(declared.values()), tuple(declared)
    read_shared(
        reading, keys.get("shared"), path, scope.read
    )  # reported as an unknown key; read so that calls of it are no faults
    outputs = scope.read(reading, view, path)
    is_whole = (
        not faults.found and not reading.names.has_broken()
    )  # report no consequences of nodes that could not be read
    if is_whole:
        hidden = inputs if own else ()
        at = ".".join((*map(str, path), "outputs"))
        faults.found += dead_node_faults(hidden, reading.entries, outputs, at, inside=False)
    before = [] if own else scope.reading.entries
    entries = leading_to([*before, *reading.entries], outputs)
    if is_whole and not faults.found and not entries:
        faults.add(f"{whose}: no layer leads to its outputs", path, at="key")
    if faults.all():
        raise Invalid(faults.all())
    used = {*outputs, *(name for node in flat(entries) for name in node.used_names())}
    given = tuple(each for each in inputs if each.name in used)
    model = Model(given, entries, outputs, called_by(scope.reading.shared.values(), entries))
    return View(model, tuple(reading.entries), own)


def forked(reading: Reading, faults: Faults, path: Path, *, own: bool) -> Reading:
    """Return a copy of a model's reading state, with which to read a view (submodel); paths are relative to the whole
    config."""
    section = reading.faults.section
    blocks = {n: block and replace(block, path=(*section, *block.path)) for n, block in reading.blocks.items()}
    return replace(
        reading,
        faults=faults,
        prefix="/".join(map(str, path)) + "/",
        names=Names() if own else reading.names.fork(),
        entries=[],
        inputs=() if own else reading.inputs,
        shared=reading.shared.new_child(),
        blocks=blocks,
    )


def leading_to(entries: Sequence[Entry], outputs: Iterable[str]) -> tuple[Entry, ...]:
    """Return the nodes and calls of a model that `outputs` depend on, in order."""
    wanted, kept = set(outputs), []
    for entry in reversed(entries):
        if wanted & {output for node in flat([entry]) for output in (*node.outputs, *entry.outputs)} - {"_"}:
            kept.append(entry)
            wanted.update(entry.used_names())
    return tuple(reversed(kept))


def called_by(shared: Iterable[Shared | None], entries: Sequence[Entry]) -> tuple[Shared, ...]:
    """Return the shared layers and models that nodes call, directly or through other shared models."""
    called = called_in(entries)
    return tuple(each for each in shared if each is not None and each.weights in called)
