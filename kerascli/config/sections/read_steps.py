"""Parser of the `fit.train_step:` section into a TrainStepSpec (forward passes, each with its updates of weights)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from kerascli.config.sections.compile import ComputeSection, Precision, scaled
from kerascli.config.sections.read_terms import TermReader
from kerascli.config.sections.train_step import ForwardPassSpec, TrainStepSpec, UpdateSection, UpdateSpec
from kerascli.foundation.errors import Fault, Path, Related, show, suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.language.section import meant_keys, read_section
from kerascli.model.inference.build import build_forward_pass
from kerascli.model.ir.nodes import Entry, Node, flat
from kerascli.model.runtime.built import Built
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.views import Forward, Scope
from kerascli.optimizers.base import BaseOptimizer

PATH: Path = ("fit", "train_step")


@dataclass(frozen=True, slots=True)
class _Written:
    """Item of `fit.train_step` (an update): its config path, its keys as written, the section parsed from them, and its
    errors."""

    path: Path
    keys: Mapping[Any, Any]
    section: UpdateSection
    faults: list[Fault]


def parse_steps(
    section: Any,
    compiled: Any,
    scope: Scope,
    built: Built,
    inputs: Mapping[str, TensorSpec],
    targets: Mapping[str, TensorSpec] | None,
    classes: Mapping[str, Sequence[str]],
) -> TrainStepSpec:
    """Return `fit.train_step` (a list of updates), parsed as a TrainStepSpec; it may use the model's names. Raises
    Invalid with every config error.

    `compiled` is the `compile` section; `targets` None: they are unknown; `classes` are the class names of each target.
    """
    faults = _compile_faults(compiled)
    if not isinstance(section, list) or not section:
        hint = "train_step: [{name: ..., train: ..., optimizer: ..., layers: [...], loss: {...}}]"
        raise Invalid([*faults, Fault(f"train_step: expected a list of updates, got {show(section)}", PATH, hint=hint)])
    known = compiled if isinstance(compiled, dict) else {}
    known = {key: value for key, value in known.items() if key in ComputeSection.model_fields}
    compute, of_compute = read_section(ComputeSection, known, ("compile",))
    reader = _Reader(scope, built, inputs, targets, classes, compute.precision, built.owners)
    passes = reader.read(section)
    faults += [*of_compute, *reader.faults]
    if faults:
        raise Invalid(faults)
    return TrainStepSpec(tuple(passes), compute)


def _compile_faults(section: Any) -> list[Fault]:
    """Return a config error for every key of `compile` that conflicts with `fit.train_step`."""
    if section is None:
        return []
    if not isinstance(section, dict):
        return [Fault(f"compile: expected a mapping, got {show(section)}", ("compile",))]
    known = " and ".join(ComputeSection.model_fields)
    text = f"with fit.train_step, compile takes only {known}"
    return [
        Fault(f"compile: {key}: {text}", ("compile", key), "key", hint=f"remove '{key}'")
        for key in section
        if key not in ComputeSection.model_fields
    ]


@dataclass(slots=True)
class _Reader:
    scope: Scope
    built: Built
    inputs: Mapping[str, TensorSpec]
    targets: Mapping[str, TensorSpec] | None
    classes: Mapping[str, Sequence[str]]
    precision: Precision
    owners: Mapping[str, nn.Module]
    faults: list[Fault] = field(default_factory=list)
    names: dict[str, Path] = field(default_factory=dict)
    columns: dict[str, Path] = field(default_factory=dict)
    trained: dict[str, tuple[str, Path]] = field(default_factory=dict)
    """Mapping from each name under `train` in the items of `fit.train_step` read so far to (item that trains it, config
    path of the name)."""
    places: dict[str, Path] = field(default_factory=dict)
    """Mapping from the weight name prefix of each entry under an update's `train` key to the config path of that
    entry."""

    def _add(self, text: str, path: Path, *, key: bool = False, hint: str | None = None, also: Path | None = None):
        related = () if also is None else (Related("first used here", also),)
        self.faults.append(Fault(text, path, "key" if key else "value", hint=hint, related=related))

    def read(self, section: list[Any]) -> list[ForwardPassSpec]:
        """Return the forward passes of `fit.train_step`: an update with `layers` begins one, which the next updates
        share."""
        groups: list[list[_Written]] = []
        for number, written in enumerate(section):
            path = (*PATH, number)
            if not isinstance(written, dict):
                self._add(f"train_step: expected an update, a mapping, got {show(written)}", path)
                continue
            if "layers" in written or not groups:
                groups.append([])
            groups[-1].append(_Written(path, written, *read_section(UpdateSection, written, path)))
        found = [self._forward_pass(group) for group in groups]
        return [each for each in found if each is not None]

    def _forward_pass(self, group: list[_Written]) -> ForwardPassSpec | None:
        before = len(self.faults)
        self.faults += [fault for each in group for fault in each.faults]
        lead = group[0]
        own = "layers" in lead.keys
        forward = Forward(self.scope, self.inputs, self.targets, lead.path, own=own)
        layers = forward.read(lead.section.layers, str(lead.keys.get("name", "train_step"))) if own else None
        terms = TermReader(forward, self.targets, self.classes)
        updates = [self._update(each, layers if each is lead else None, terms) for each in group]
        repeat = self._repeat(group)
        self.faults += terms.faults
        terms.faults = []
        if len(self.faults) > before:  # a node without consumers may lead to one that could not be parsed
            self.faults += forward.faults.all()
            return None
        try:
            built = build_forward_pass(forward.model(terms.outputs, "a loss"), self.owners)
        except Invalid as invalid:
            self.faults += invalid.faults
            return None
        self.owners = built.owners
        terms.check(built.specs)
        self.faults += terms.faults
        for update in updates:
            if update is not None and len(self.faults) == before:
                self._check_trained(update, built)
        found = [
            self._with_columns(update, each.path, terms, built.specs)
            for update, each in zip(updates, group, strict=True)
            if update is not None
        ]
        return ForwardPassSpec(built, tuple(found), repeat) if len(self.faults) == before else None

    def _update(self, found: _Written, layers: tuple[Entry, ...] | None, terms: TermReader) -> UpdateSpec | None:
        path, section = found.path, found.section
        before = len(self.faults) + len(terms.faults)
        if meant_keys(UpdateSection, found.keys) - set(found.keys):
            return None  # a missing key is present, misspelt
        name = self._name(section.name, path)
        train = self._train(section.train, path, name)
        optimizer = self._optimizer(found, name)
        losses = terms.losses(section.loss, (*path, "loss"))
        metrics = terms.metrics(section.metrics, (*path, "metrics"))
        own = flat(layers or ())
        if not section.loss and not any(node.layer.adds_losses() for node in own):
            hint = "loss: {real: {loss: binary_crossentropy, y_true: 1, y_pred: ...}}"
            self._add(f"'{name}' has no loss to minimize", path, key=True, hint=hint)
        if optimizer is None or len(self.faults) + len(terms.faults) > before:
            return None
        figures = tuple(node.name for node in own if not node.outputs)
        update = UpdateSpec(name, train, optimizer, losses, metrics, figures, layers)
        self._check_columns(update, path)
        return update

    def _name(self, name: Any, path: Path) -> str:
        where = (*path, "name")
        if not isinstance(name, str):
            text = "an update needs 'name'" if name is None else f"name: expected text, got {show(name)}"
            self._add(
                text, path if name is None else where, key=name is None, hint="its columns in the history begin with it"
            )
            return "?"
        problem = Names().refuse(name)
        if problem is not None or name == "val":
            self._add(problem.text if problem else "'val' is the prefix of validation metrics in the history", where)
        elif name in self.names:
            self._add(f"two updates are called '{name}'", where, also=self.names[name])
        self.names.setdefault(name, where)
        return name

    def _optimizer(self, found: _Written, name: str) -> BaseOptimizer | None:
        if "optimizer" not in found.keys:
            hint = "optimizer: {adam: {learning_rate: 2e-4, beta_1: 0.5}}"
            self._add(f"'{name}' needs 'optimizer'", found.path, key=True, hint=hint)
        is_sound = "optimizer" in found.section.model_fields_set
        return scaled(found.section.optimizer, self.precision) if is_sound else None

    def _train(self, value: Any, path: Path, update: str) -> tuple[str, ...]:
        """Return the name prefixes of the weights that an update of `fit.train_step` trains: those of shared layers,
        shared models and nodes."""
        model = self.built.model
        nodes = {entry.name: entry.weights_name for entry in model.entries if isinstance(entry, Node)}
        known = {**{name: name for name in self.scope.reading.shared}, **nodes}
        where = (*path, "train")
        names = value if isinstance(value, list) else [] if value is None else [value]
        if not names:
            hint = f"train: {next(iter(known), 'generator')}"
            self._add(
                f"'{update}' has nothing to train", path if value is None else where, key=value is None, hint=hint
            )
        for index, name in enumerate(names):
            at = (*where, index) if isinstance(value, list) else where
            hint = f"available: {', '.join(known)}"
            if not isinstance(name, str):
                self._add(f"train: expected a name, got {show(name)}", at, hint=hint)
            elif name not in known:
                text = f"train: the model has no '{name}'{suggestion(name, known)}"
                self._add(text, at, hint=hint)
            elif name in self.trained:
                other, also = self.trained[name]
                text = f"'{name}' is trained by '{other}' already: a weight has one optimizer"
                self._add(text, at, hint="put both losses into one update", also=also)
            else:
                self.trained[name] = (update, at)
                self.places[known[name]] = at
        return tuple(known[name] for name in names if isinstance(name, str) and name in known)

    def _repeat(self, group: Sequence[_Written]) -> int:
        for number, each in enumerate(group):
            if each.section.repeat > 1 and len(group) > 1:
                other = str(group[1 if number == 0 else 0].section.name)
                text = f"repeat: '{other}' shares the forward pass of this update and would be repeated, too"
                hint = f"give {'it' if number == 0 else 'this update'} layers of its own"
                self._add(text, (*each.path, "repeat"), hint=hint)
        return group[0].section.repeat

    def _with_columns(
        self, update: UpdateSpec, path: Path, terms: TermReader, specs: Mapping[str, TensorSpec]
    ) -> UpdateSpec:
        """Return an update (an item of `fit.train_step`) with the names of its metrics' columns in history.csv, some of
        which depend on output shapes."""
        update = replace(update, metrics=tuple(terms.with_columns(use, specs) for use in update.metrics))
        for use in update.metrics:
            if use.columns != (use.name,):
                self._claim_columns(update, [(name, (*path, "metrics", use.name)) for name in use.columns])
        return update

    def _check_columns(self, update: UpdateSpec, path: Path) -> None:
        named = [("loss", path), ("learning_rate", path)]
        named += [(term.name, (*path, "loss", term.name)) for term in update.terms]
        named += [(use.name, (*path, "metrics", use.name)) for use in update.metrics]
        named += [(node.name, node.path) for node in flat(update.layers or ()) if node.name in update.figures]
        self._claim_columns(update, named)

    def _claim_columns(self, update: UpdateSpec, named: Iterable[tuple[str, Path]]) -> None:
        """Reserve the names under which an update of `train_step` logs to history.csv; report a config error for each
        name that is already in use."""
        for name, where in named:
            column = f"{update.name}_{name}"
            if column in self.columns:
                text = f"two columns of the history would be called '{column}'"
                self._add(text, where, key=True, hint="choose another name")
            self.columns[column] = where

    def _check_trained(self, update: UpdateSpec, built: Built) -> None:
        """Report a config error for each layer that an update (an item of `fit.train_step`) is to train, but on which
        its loss does not depend."""
        ends = [term.of.y_pred for term in update.terms if term.of is not None]
        ends += [str(term.of.y_true) for term in update.terms if term.of is not None and not term.of.is_target]
        own = [node.name for node in flat(update.layers or ()) if node.layer.adds_losses()]
        found = built.reached(ends, [*own, *(term.node for term in update.terms)])
        there = {node.weights_name for node in (*self.built.model.nodes, *built.model.nodes)}
        trained = self.built.trainable() | built.trainable()
        for name in update.train:
            if any(weight.startswith(f"{name}/") for weight in found):
                continue
            if any(f"{owner}/".startswith(f"{name}/") for owner in there) and not any(
                weight.startswith(f"{name}/") for weight in trained
            ):
                self._add(f"'{name}' has no trainable weights", self.places[name])
            else:
                text = f"'{update.name}' trains '{name}', but its loss does not depend on it"
                self._add(text, self.places[name], hint=f"call '{name}' in its layers, on the way to the loss")
