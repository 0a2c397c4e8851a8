"""Parser of the `compile:` section into a CompileSpec (optimizer, and target, loss and metrics of every output)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerascli.config.sections.compile import OWN_COLUMNS, CompileSection, CompileSpec, ComputeSection, scaled
from kerascli.foundation.errors import Path, show, suggestion
from kerascli.foundation.shapes import Specs, TensorSpec
from kerascli.language.component import Invalid, Registry
from kerascli.language.section import meant_keys
from kerascli.losses.base import LOSSES, Loss
from kerascli.metrics.base import METRICS, Metric
from kerascli.metrics.comparisons import MetricUse, OutputTarget
from kerascli.model.syntax.faults import Faults

_ONE_EACH = frozenset({"loss", "loss_weights"})
"""Keys of `compile` with one value for each output; the other keys have a list of values for each."""
Written = dict[str, tuple[Any, Path]]
"""Type of a mapping from output name to the config's value for it and the path of that value."""
_PATH: Path = ("compile",)
ANY = "?"
"""Placeholder for the name of a model's output when the outputs are unknown."""


@dataclass(slots=True)
class CompileReader:
    """Parser of the `compile` section, which collects config errors and pairs outputs with targets and losses."""

    outputs: Mapping[str, TensorSpec | None] | None
    """Outputs of the model by name, each with its spec (shape, dtype); None: the outputs, or the spec of one, are
    unknown and not checked."""
    targets: Specs | None
    """Targets of the data by name, each with its spec (shape, dtype); None: they are unknown and not checked."""
    logged: Mapping[str, Path] = field(default_factory=dict)
    """Names of the values that the `add_loss` and `add_metric` layers of the model log, with the layers' paths."""
    named: Collection[str] = ()
    """Names of the targets that formulas in the model's layers use."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the classes of each target."""
    section: CompileSection = field(init=False)
    """The `compile` section with its optimizer, precision ... checked; `read` sets it."""
    faults: Faults = field(default_factory=Faults)
    names: set[str] = field(default_factory=set)
    """Names of the columns of the history (history.csv) that have been assigned so far."""

    def read(self, section: Any, *, extra_losses: bool) -> CompileSpec:
        """Parse a `compile` section into a CompileSpec. Raises Invalid with every config error.

        With `extra_losses`, layers of the model add losses, so that `loss` may be missing.
        """
        if not isinstance(section, dict):
            raise Invalid(f"compile: expected a mapping with 'loss', got {show(section)}", _PATH)
        self.section = self.faults.read(CompileSection, section, _PATH)
        pairs = self._pairs()
        losses = self._losses(needs_loss=not extra_losses and "loss" not in meant_keys(CompileSection, section))
        weights = self._loss_weights(losses)
        for output, (_, path) in losses.items() if len(losses) > 1 else ():
            self._check_name(f"{output}_loss", path)
        for name, path in self.logged.items():
            self._check_name(name, path)
        metrics = self._metrics("metrics", pairs)
        weighted = self._metrics("weighted_metrics", pairs)
        targets = []
        for output in self.outputs or ():
            loss, path = losses.get(output, (None, (*_PATH, "metrics", output)))
            uses = (*metrics.get(output, ()), *weighted.get(output, ()))
            if loss is None and not uses:
                continue
            target = self._target(output, pairs, path)
            if loss is not None:
                self._check(loss, output, target, path)
            targets.append(OutputTarget(output, target, loss, weights.get(output, 1.0), uses, self._prefix(output)))
        if self.faults.count:
            raise Invalid(self.faults.all())
        compute = ComputeSection(**{name: getattr(self.section, name) for name in ComputeSection.model_fields})
        optimizer = scaled(self.section.optimizer, compute.precision)
        return CompileSpec(optimizer, tuple(targets), compute, tuple(self.logged))

    def _pairs(self) -> dict[str, str]:
        """Return a mapping from each output to its target: by equal names, or the only output to the only target."""
        if self.outputs is None:
            return {}
        if self.targets is None:
            return {name: name for name in self.outputs}
        pairs = {name: name for name in self.outputs if name in self.targets}
        if len(self.outputs) == 1 and not pairs and self.targets:  # whatever they are called
            pairs = {next(iter(self.outputs)): next(iter(self.targets))}
        for name in self.targets:
            if name not in self.named and name not in pairs.values():
                text = f"target '{name}' has no output of that name{suggestion(name, self.outputs)}"
                remedy = f"give its layer name: {name}, or list it under model.outputs"
                hint = f"outputs: {', '.join(self.outputs)}; {remedy}"
                self.faults.add(text, ("data", "targets", name), "key", hint=hint)
        return pairs

    def _per_output(self, key: str, registry: Registry[Any] | None = None) -> Written:
        """Return, by output, the value of a key of `compile` for that output and the value's config path; `registry`
        is that of the values' kind (None: they are numbers)."""
        value, path = getattr(self.section, key) if self.section.has(key) else None, (*_PATH, key)
        if value is None:
            return {}
        if isinstance(value, dict) and value and _is_by_output(value, self.outputs, registry):
            wrong = [] if self.outputs is None else [name for name in value if name not in self.outputs]
            for name in wrong:
                text = f"there is no output '{name}'{suggestion(str(name), self.outputs or ())}"
                if name in (self.targets or ()):
                    text = f"'{name}' is a target; expected the name of an output"
                self.faults.add(text, (*path, name), "key", hint=f"outputs: {', '.join(self.outputs or ())}")
            return {} if wrong else {name: (written, (*path, name)) for name, written in value.items()}
        if self.outputs is None or len(self.outputs) == 1:
            name = ANY if self.outputs is None else next(iter(self.outputs))
            alone = isinstance(value, list) and len(value) == 1 and key in _ONE_EACH
            return {name: (value[0], (*path, 0)) if alone else (value, path)}
        return self._by_position(value, path, list(self.outputs))

    def _by_position(self, value: Any, path: Path, outputs: list[str]) -> Written:
        """Return a value for several outputs that does not name them: a list with an item for each, or one for all."""
        key = path[-1]
        # a flat list of metrics belongs to a single output
        has_items = isinstance(value, list) and (key in _ONE_EACH or all(isinstance(item, list) for item in value))
        if has_items and len(value) == len(outputs):
            return {name: (value[index], (*path, index)) for index, name in enumerate(outputs)}
        if key == "loss" and not isinstance(value, list):
            return dict.fromkeys(outputs, (value, path))
        text = f"{key}: the model has {len(outputs)} outputs; name one of them"
        self.faults.add(text, path, hint=f"{key}: {{{outputs[0]}: ...}}")
        return {}

    def _losses(self, *, needs_loss: bool) -> dict[str, tuple[Loss, Path]]:
        """Return, by output, the loss of that output and the loss's path in the config."""
        before = self.faults.count
        losses: dict[str, tuple[Loss, Path]] = {}
        for output, (value, path) in self._per_output("loss", LOSSES).items():
            with self.faults.absorbing(path):
                losses |= {} if value is None else {output: (LOSSES.parse(value), path)}
        if needs_loss and not losses and self.faults.count == before:
            self.faults.add("compile needs 'loss'", _PATH, "key", hint="add loss: mse, categorical_crossentropy ...")
        return losses

    def _loss_weights(self, losses: Collection[str]) -> dict[str, float]:
        weights: dict[str, float] = {}
        for output, (value, path) in self._per_output("loss_weights").items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.faults.add(f"loss_weights: expected a number, got {show(value)}", path)
            elif output not in losses and not self.faults.count:
                self.faults.add(f"loss_weights: output '{output}' has no loss", path, "key")
            else:
                weights[output] = float(value)
        return weights

    def _target(self, output: str, pairs: Mapping[str, str], path: Path) -> str:
        """Return the name of the target that an output is compared with; report a config error if there is none."""
        if output in pairs or self.targets is None:
            return pairs.get(output, output)
        if not self.targets:
            hint = "add targets to data: targets: {y: []}"
            self.faults.add(f"output '{output}' has no target: the data has none", path, hint=hint)
        elif all(name in self.named or name in (self.outputs or ()) for name in self.targets):  # else it has a fault
            text = f"output '{output}' has no target: the targets are {', '.join(self.targets)}"
            self.faults.add(text, path, hint="targets and outputs are matched by name")
        return output

    def _check(self, component: Loss | Metric, output: str, target: str, path: Path) -> None:
        """Report a config error if a loss or metric does not fit its target and output."""
        expected, spec = (self.targets or {}).get(target), (self.outputs or {}).get(output)
        if expected is not None and spec is not None and (problem := component.check(expected, spec)):
            self.faults.add(problem, path)

    def _prefix(self, output: str) -> str:
        is_one_of_several = output != ANY if self.outputs is None else len(self.outputs) > 1  # None: unknown, if named
        return f"{output}_" if is_one_of_several else ""

    def _check_name(self, name: str, path: Path) -> None:
        """Report a config error if the name of a loss or metric is reserved, or is that of another column of
        history.csv."""
        if name in OWN_COLUMNS:
            self.faults.add(f"'{name}' is a column of the history already; choose another name for the metric", path)
        elif name.startswith("val_"):
            text = f"the column '{name}' of the history would begin with 'val_', as those of validation do"
            self.faults.add(text, path, hint="choose another name for the metric or the output")
        elif name in self.names:
            self.faults.add(f"two metrics are called '{name}'", path, hint="give one of them another name: name: ...")
        self.names.add(name)

    def _metrics(self, key: str, pairs: Mapping[str, str]) -> dict[str, list[MetricUse]]:
        uses: dict[str, list[MetricUse]] = {}
        for output, (value, path) in self._per_output(key, METRICS).items():
            target, own = pairs.get(output, ""), uses.setdefault(output, [])
            for index, entry in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
                where = (*path, index) if isinstance(value, list) else path
                with self.faults.absorbing(where):
                    metric = METRICS.parse(entry)
                    own.append(self._use(metric, output, target, where, weighted=key == "weighted_metrics"))
        return uses

    def _use(self, metric: Metric, output: str, target: str, path: Path, *, weighted: bool) -> MetricUse:
        """Return a metric of an output with its names in the history; report a config error if it does not fit."""
        spec, name, classes = (self.outputs or {}).get(output), metric.log_name(), self.classes.get(target)
        columns = metric.columns(name, spec, classes)
        if weighted and any(f"{self._prefix(output)}{each}" in self.names for each in columns):
            name = f"weighted_{name}"  # as in Keras, if a metric is both weighted and unweighted
            columns = metric.columns(name, spec, classes)
        self._check(metric, output, target, path)
        for column in columns:
            self._check_name(f"{self._prefix(output)}{column}", path)
        return MetricUse(name, metric, weighted, columns)


def _is_by_output(value: dict[Any, Any], outputs: Collection[str] | None, registry: Registry[Any] | None) -> bool:
    """Return True if the keys of a mapping are (perhaps misspelt) output names; False if it is a component with its
    arguments."""
    if registry is None or any(name in (outputs or ()) for name in value):
        return True
    if any(registry.find(str(name)) for name in value):
        return False
    return all(_is_component_form(written, registry) for written in value.values())


def _is_component_form(written: Any, registry: Registry[Any]) -> bool:
    """Return True for a value that is a component (`mse`, `{mse: ...}`) or a list of components."""
    if isinstance(written, list):
        return all(_is_component_form(item, registry) for item in written)
    name = next(iter(written)) if isinstance(written, dict) and len(written) == 1 else written
    return isinstance(name, str) and registry.find(name) is not None
