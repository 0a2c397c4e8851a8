"""Parser of `fit.train_step` into a TrainStepSpec: forward passes, each with the parameter updates that use it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kerascli.config.sections.compile import OWN_COLUMNS, ComputeSection, Precision, scaled
from kerascli.config.sections.read_terms import TermReader
from kerascli.config.sections.train_step import ForwardPassSpec, TrainStepSpec, UpdateSection, UpdateSpec
from kerascli.foundation.errors import Fault, Path, Related, show, suggestion
from kerascli.foundation.shapes import Specs
from kerascli.language.component import Invalid
from kerascli.language.section import Written, meant_keys
from kerascli.model.inference.build import build_forward_pass
from kerascli.model.ir.analysis import called_in
from kerascli.model.ir.nodes import Node, flat
from kerascli.model.runtime.built import Built, Modules
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import as_list, each_at
from kerascli.model.syntax.views import Forward, Scope

PATH: Path = ("fit", "train_step")


@dataclass(frozen=True, slots=True)
class _Written:
    """Item of `fit.train_step` (an update): its config path, its keys as written, and the section parsed from them."""

    path: Path
    keys: Written
    section: UpdateSection


def _compile_faults(section: Any) -> list[Fault]:
    """Return a config error for every key of `compile` that conflicts with `fit.train_step`."""
    if section is None:
        return []
    if not isinstance(section, dict):
        return [Fault(f"compile: expected a mapping, got {show(section)}", ("compile",))]
    text = f"with fit.train_step, compile takes only {' and '.join(ComputeSection.model_fields)}"
    return [
        Fault(f"compile: {key}: {text}", ("compile", key), "key", hint=f"remove '{key}'")
        for key in section
        if key not in ComputeSection.model_fields
    ]


@dataclass(slots=True)
class StepReader:
    """Parser of `fit.train_step`, a list of parameter updates (optimizer, weights, losses); collects config errors."""

    scope: Scope
    """Names of the model that the layers of an update may use."""
    built: Built
    """Model of the config."""
    inputs: Specs
    """Inputs of the data by name, each with its spec (shape, dtype)."""
    targets: Specs | None
    """Targets of the data by name; None: they are unknown."""
    classes: Mapping[str, Sequence[str]]
    """Names of the classes of each target."""
    precision: Precision = "float32"
    owners: Modules = field(default_factory=dict)
    """Mapping from weight name prefix to module, for the weights of the model and of the forward passes read so far."""
    faults: Faults = field(default_factory=Faults)
    names: dict[str, Path] = field(default_factory=dict)
    """Mapping from the name of each update read so far to the config path of the name."""
    columns: dict[str, Path] = field(default_factory=lambda: dict.fromkeys(OWN_COLUMNS, ()))
    """Mapping from each column of history.csv assigned so far to the config path of the value that it logs."""
    named: set[str] = field(default_factory=set)
    """Names under `train` in all items of `fit.train_step`."""
    trained: dict[str, tuple[str, Path]] = field(default_factory=dict)
    """Mapping from each name under `train` in the items of `fit.train_step` read so far to (item that trains it, config
    path of the name)."""

    def read(self, section: Any, compiled: Any) -> TrainStepSpec:
        """Parse `fit.train_step` into a TrainStepSpec. Raises Invalid with every config error.

        `compiled` is the `compile` section.
        """
        self.faults.take(_compile_faults(compiled))
        settings = compiled if isinstance(compiled, dict) else {}
        settings = {key: value for key, value in settings.items() if key in ComputeSection.model_fields}
        compute = self.faults.read(ComputeSection, settings, ("compile",))
        self.precision, self.owners = compute.precision, self.built.owners
        passes: list[ForwardPassSpec] = []
        if isinstance(section, list) and section:
            self.named = {
                str(name) for each in section if isinstance(each, dict) for name in as_list(each.get("train"))
            }
            passes = self._passes(section)
        else:
            hint = "train_step: [{name: ..., train: ..., optimizer: ..., layers: [...], loss: {...}}]"
            self.faults.add(f"train_step: expected a list of updates, got {show(section)}", PATH, hint=hint)
        if self.faults.count:
            raise Invalid(self.faults.all())
        return TrainStepSpec(tuple(passes), compute)

    def _passes(self, section: list[Any]) -> list[ForwardPassSpec]:
        """Return the forward passes of `fit.train_step`: an update with `layers` begins one, which the next updates
        share."""
        groups: list[list[_Written]] = []
        for number, written in enumerate(section):
            path = (*PATH, number)
            if not isinstance(written, dict):
                self.faults.add(f"train_step: expected an update, a mapping, got {show(written)}", path)
                continue
            if "layers" in written or not groups:
                groups.append([])
            groups[-1].append(_Written(path, written, self.faults.read(UpdateSection, written, path)))
        unused = self.built.model.nodes if all("layers" in lead.keys for lead, *_ in groups) else ()
        for node in (node for node in unused if not node.outputs and node.path[1] == "layers"):  # not of a shared model
            text = f"'{node.name}' has no effect: every update has 'layers' of its own"
            hint = "an update without 'layers' uses the model's own forward pass"
            self.faults.add(text, node.path, "key", hint=hint)
        return list(filter(None, map(self._forward_pass, groups)))

    def _forward_pass(self, group: list[_Written]) -> ForwardPassSpec | None:
        before = self.faults.count
        lead = group[0]
        forward = Forward(self.scope, self.inputs, self.targets, lead.path, lead.keys)
        terms = TermReader(forward, self.targets, self.classes, self.faults)
        read = [(each.path, self._update(each, forward if each is lead else None, terms)) for each in group]
        updates = [(path, update) for path, update in read if update is not None]
        repeat = self._repeat(group)
        if self.faults.count > before:  # a node without consumers may lead to one that could not be parsed
            self.faults.take(forward.faults.all())
            return None
        with self.faults.absorbing():
            built = build_forward_pass(forward.model(terms.outputs), self.owners)
            self.owners = built.owners
            terms.check(built.specs)
            for _, update in updates:
                if self.faults.count == before:
                    self._check_trained(update, built)
            specs = [self._with_columns(update, path, terms, built.specs) for path, update in updates]
            return ForwardPassSpec(built, tuple(specs), repeat) if self.faults.count == before else None

    def _update(self, written: _Written, forward: Forward | None, terms: TermReader) -> UpdateSpec | None:
        """Return an update; `forward` is the forward pass that it begins, whose losses and metrics are its own."""
        path, section = written.path, written.section
        before = self.faults.count
        if meant_keys(UpdateSection, written.keys) - set(written.keys):
            return None  # a missing key is present, misspelt
        name = self._name(section.name, path)
        train = self._train(section.train, path, name)
        if "optimizer" not in written.keys:
            hint = "optimizer: {adam: {learning_rate: 2e-4, beta_1: 0.5}}"
            self.faults.add(f"'{name}' needs 'optimizer'", path, "key", hint=hint)
        losses = terms.losses(section.loss, (*path, "loss"))
        metrics = terms.metrics(section.metrics, (*path, "metrics"))
        layers = forward and forward.layers
        own = () if forward is None else self.built.model.nodes if layers is None else flat(layers)
        if not section.loss and not any(node.layer.adds_losses() for node in own):
            hint = "loss: {real: {loss: binary_crossentropy, y_true: 1, y_pred: ...}}"
            self.faults.add(f"'{name}' has no loss to minimize", path, "key", hint=hint)
        if not section.has("optimizer") or self.faults.count > before:
            return None
        optimizer = scaled(section.optimizer, self.precision)
        logged = tuple(node.name for node in own if node.layer.logs)
        update = UpdateSpec(name, train, optimizer, losses, metrics, logged, layers, self._called(name, train, path))
        self._check_columns(update, path)
        return update

    def _name(self, name: Any, path: Path) -> str:
        where = (*path, "name")
        if not isinstance(name, str):
            text = "an update needs 'name'" if name is None else f"name: expected text, got {show(name)}"
            hint = "its columns in the history begin with it"
            self.faults.add(text, path if name is None else where, "key" if name is None else "value", hint=hint)
            return "?"
        if (problem := Names().refuse(name)) is not None:
            self.faults.add(problem.text, where)
        elif name == "val" or name.startswith("val_"):
            self.faults.add(f"'{name}' begins with 'val', as the columns of validation in the history do", where)
        elif name in self.names:
            self.faults.add(f"two updates are called '{name}'", where, related=_first(self.names[name]))
        self.names.setdefault(name, where)
        return name

    def _train(self, value: Any, path: Path, update: str) -> tuple[str, ...]:
        """Return the shared layers, shared models and nodes whose weights an update of `fit.train_step` trains: the
        weights' names begin with theirs."""
        nodes = [each.name for each in self.built.model.entries if isinstance(each, Node)]
        known = list(dict.fromkeys([*self.scope.reading.shared, *nodes]))
        where = (*path, "train")
        if not as_list(value):
            hint = f"train: {next(iter(known), 'generator')}"
            text, at = f"'{update}' has nothing to train", path if value is None else where
            self.faults.add(text, at, "key" if value is None else "value", hint=hint)
        trained: list[str] = []
        for name, at in each_at(value, where) if as_list(value) else ():
            if name not in known:
                wrong = f"the model has no '{name}'{suggestion(name, known)}" if isinstance(name, str) else None
                text = f"train: {wrong or f'expected a name, got {show(name)}'}"
                self.faults.add(text, at, hint=f"available: {', '.join(known)}")
                continue
            other, first = self.trained.setdefault(name, (update, at))
            if first != at:
                text = f"'{name}' is trained by '{other}' already: a weight has one optimizer"
                self.faults.add(text, at, hint="put both losses into one update", related=_first(first))
            trained.append(name)
        return tuple(trained)

    def _called(self, update: str, train: tuple[str, ...], path: Path) -> tuple[str, ...]:
        """Return the shared layers and models that those of `train` call, and that no update names."""
        shared = [each for name in train if (each := self.scope.reading.shared.get(name)) is not None]
        called = called_in(entry for each in shared for entry in each.entries) & self.scope.reading.shared.keys()
        for name in sorted(called - self.named):
            other, _ = self.trained.setdefault(name, (update, path))
            if other != update:
                text = f"'{name}' is called by what '{other}' and '{update}' train: a weight has one optimizer"
                self.faults.add(text, (*path, "train"), hint=f"put {name} under 'train' of one of them")
        return tuple(sorted(called - self.named))

    def _repeat(self, group: Sequence[_Written]) -> int:
        for number, each in enumerate(group):
            if each.section.repeat > 1 and len(group) > 1:
                other = str(group[1 if number == 0 else 0].section.name)
                text = f"repeat: '{other}' shares the forward pass of this update and would be repeated, too"
                hint = f"give {'it' if number == 0 else 'this update'} layers of its own"
                self.faults.add(text, (*each.path, "repeat"), hint=hint)
        return group[0].section.repeat

    def _with_columns(self, update: UpdateSpec, path: Path, terms: TermReader, specs: Specs) -> UpdateSpec:
        """Return an update (an item of `fit.train_step`) with the names of its metrics' columns in history.csv, some of
        which depend on output shapes."""
        update = replace(update, metrics=tuple(terms.with_columns(use, specs) for use in update.metrics))
        for use in update.metrics:
            if use.columns != (use.name,):
                self._claim_columns(update, [(name, (*path, "metrics", use.name)) for name in use.columns])
        return update

    def _logging(self, update: UpdateSpec) -> list[Node]:
        """Return the nodes of the model or of an update's layers that log a loss or metric of the update."""
        nodes = self.built.model.nodes if update.layers is None else flat(update.layers)
        return [node for node in nodes if node.name in update.logged]

    def _check_columns(self, update: UpdateSpec, path: Path) -> None:
        named = [("loss", path), ("learning_rate", path)]
        named += [(term.name, (*path, "loss", term.name)) for term in update.terms]
        named += [(use.name, (*path, "metrics", use.name)) for use in update.metrics]
        named += [(node.name, node.path) for node in self._logging(update)]
        self._claim_columns(update, named)

    def _claim_columns(self, update: UpdateSpec, named: Iterable[tuple[str, Path]]) -> None:
        """Reserve the names under which an update of `train_step` logs to history.csv; report a config error for each
        name that is already in use."""
        for name, where in named:
            column = f"{update.name}_{name}"
            if column in self.columns:
                text = f"two columns of the history would be called '{column}'"
                self.faults.add(text, where, "key", hint="choose another name")
            self.columns[column] = where

    def _check_trained(self, update: UpdateSpec, built: Built) -> None:
        """Report a config error for each layer that an update (an item of `fit.train_step`) is to train, but on which
        its loss does not depend."""
        own = [node.name for node in self._logging(update) if node.layer.adds_losses()]
        reached = built.reached(_compared(update), [*own, *(term.node for term in update.terms)])
        owners = {node.weights_name for node in (*self.built.model.nodes, *built.model.nodes)}
        trainable = self.built.trainable() | built.trainable()
        for name in update.train:
            _, place = self.trained[name]
            if _has(reached, name):
                continue
            if _has({f"{owner}/" for owner in owners}, name) and not _has(trainable, name):
                self.faults.add(f"'{name}' has no trainable weights", place)
            else:
                text = f"'{update.name}' trains '{name}', but its loss does not depend on it"
                self.faults.add(text, place, hint=f"call '{name}' in its layers, on the way to the loss")


def _compared(update: UpdateSpec) -> list[str]:
    """Return the names of the tensors that an update's losses compare."""
    pairs = [term.of for term in update.terms if term.of is not None]
    return [*(of.y_pred for of in pairs), *(str(of.y_true) for of in pairs if not of.is_target)]


def _has(weights: Iterable[str], prefix: str) -> bool:
    return any(weight.startswith(f"{prefix}/") for weight in weights)


def _first(path: Path) -> tuple[Related, ...]:
    return (Related("first used here", path),)
