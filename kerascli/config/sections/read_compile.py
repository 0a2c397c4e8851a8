"""Parser of the `compile:` section into a CompileSpec (optimizer, and target, loss and metrics of every output)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from kerascli.config.sections.compile import CompileSection, CompileSpec, ComputeSection, scaled
from kerascli.config.sections.per_output import Written, per_output
from kerascli.foundation.errors import Fault, Path, show, suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid, Registry
from kerascli.language.section import meant_keys, read_section
from kerascli.losses.base import LOSSES, Loss
from kerascli.metrics.base import METRICS
from kerascli.metrics.comparisons import MetricUse, OutputTarget

_COLUMNS = ("loss", "epoch", "learning_rate", "epoch_seconds")


def parse_compile(
    section: Any,
    outputs: Mapping[str, TensorSpec | None] | None,
    targets: Mapping[str, TensorSpec] | None,
    *,
    extra_losses: bool,
    figures: Sequence[str] = (),
    named: Collection[str] = (),
    classes: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> CompileSpec:
    """Return the compile section, parsed as a CompileSpec. Raises Invalid with every config error.

    `outputs`, `targets` and the shape of an output may be None: then they are unknown and not checked. `extra_losses`
    tells that the model adds losses itself, `figures` are the names of values it logs, `named` the targets in its
    formulas, `classes` the class names of each target.
    """
    if not isinstance(section, dict):
        raise Invalid([Fault(f"compile: expected a mapping with 'loss', got {show(section)}", ("compile",))])
    written, faults = read_section(CompileSection, section, ("compile",))
    resolver = _Resolver(written, faults, outputs, targets, tuple(figures), named, classes)
    return resolver.resolve(needs_loss=not extra_losses and "loss" not in meant_keys(CompileSection, section))


@dataclass(slots=True)
class _Resolver:
    """Parser that pairs the model's outputs with targets, losses and metrics, and collects the config errors."""

    section: CompileSection
    faults: list[Fault]
    outputs: Mapping[str, TensorSpec | None] | None
    targets: Mapping[str, TensorSpec] | None
    figures: tuple[str, ...]
    named: Collection[str]
    classes: Mapping[str, Sequence[str]]
    names: set[str] = field(default_factory=set)
    """Names of the columns of the history (history.csv) that have been assigned so far."""

    def resolve(self, *, needs_loss: bool) -> CompileSpec:
        pairs = self._pairs()
        losses = self._losses(needs_loss=needs_loss)
        weights = self._loss_weights(losses)
        self.names = {f"{output}_loss" for output in losses} if len(losses) > 1 else set()
        for name in self.figures:
            self._check_name(name, ())
        metrics = self._metrics("metrics", pairs)
        weighted = self._metrics("weighted_metrics", pairs)
        found = []
        for output in self.outputs or ():
            loss, path = losses.get(output, (None, ("metrics", output)))
            uses = (*metrics.get(output, ()), *weighted.get(output, ()))
            if loss is None and not uses:
                continue
            target = self._target(output, pairs, path)
            self._check_loss(output, target, loss, path)
            prefix = f"{output}_" if len(self.outputs or ()) > 1 else ""
            found.append(OutputTarget(output, target, loss, weights.get(output, 1.0), uses, prefix))
        if self.faults:
            raise Invalid(self.faults)
        compute = ComputeSection(**{name: getattr(self.section, name) for name in ComputeSection.model_fields})
        optimizer = scaled(self.section.optimizer, compute.precision)
        return CompileSpec(optimizer, tuple(found), compute, self.figures)

    def fault(self, text: str, path: Path, *, at: Literal["key", "value"] = "value", hint: str | None = None) -> None:
        self.faults.append(Fault(text, ("compile", *path), at, hint=hint))

    def _absorb(self, invalid: Invalid, path: Path) -> None:
        self.faults += invalid.below(("compile", *path)).faults

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
                self.faults.append(Fault(text, ("data", "targets", name), "key", hint=hint))
        return pairs

    def _per_output(self, key: str, registry: Registry[Any] | None = None) -> Written:
        """Return, by output, the value of a key of `compile` for that output and the value's config path."""
        if key not in self.section.model_fields_set:
            return {}
        written, targets = getattr(self.section, key), self.targets or ()
        try:
            return per_output(key, written, self.outputs, registry=registry, targets=targets)
        except Invalid as invalid:
            self._absorb(invalid, ())
            return {}

    def _losses(self, *, needs_loss: bool) -> dict[str, tuple[Loss, Path]]:
        """Return, by output, the loss of that output and the loss's path in the config."""
        faults_before = len(self.faults)
        found: dict[str, tuple[Loss, Path]] = {}
        for output, (value, path) in self._per_output("loss", LOSSES).items():
            if value is None:
                continue
            try:
                found[output] = LOSSES.parse(value), path
            except Invalid as invalid:
                self._absorb(invalid, path)
        if needs_loss and not found and len(self.faults) == faults_before:
            self.fault("compile needs 'loss'", (), at="key", hint="add loss: mse, categorical_crossentropy ...")
        return found

    def _loss_weights(self, losses: Collection[str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for output, (value, path) in self._per_output("loss_weights").items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.fault(f"loss_weights: expected a number, got {show(value)}", path)
            elif output not in losses and not self.faults:
                self.fault(f"loss_weights: output '{output}' has no loss", path, at="key")
            else:
                found[output] = float(value)
        return found

    def _target(self, output: str, pairs: Mapping[str, str], path: Path) -> str:
        """Return the name of the target that an output is compared with; report a config error if there is none."""
        if output in pairs or self.targets is None:
            return pairs.get(output, output)
        if not self.targets:
            hint = "add targets to data: targets: {y: []}"
            self.fault(f"output '{output}' has no target: the data has none", path, hint=hint)
        elif all(name in self.named or name in (self.outputs or ()) for name in self.targets):  # else it has a fault
            text = f"output '{output}' has no target: the targets are {', '.join(self.targets)}"
            self.fault(text, path, hint="targets and outputs are matched by name")
        return output

    def _check_loss(self, output: str, target: str, loss: Loss | None, path: Path) -> None:
        expected, given = (self.targets or {}).get(target), (self.outputs or {}).get(output)
        if loss is not None and expected is not None and given is not None:
            problem = loss.check(expected, given)
            if problem:
                self.fault(problem, path)

    def _full(self, output: str, name: str) -> str:
        return f"{output}_{name}" if len(self.outputs or ()) > 1 else name

    def _check_name(self, name: str, path: Path) -> None:
        """Report a config error if a metric's name is reserved, or is the name of another column of history.csv."""
        if name in _COLUMNS or name.startswith("val_"):
            self.fault(f"'{name}' is a column of the history already; choose another name for the metric", path)
        elif name in self.names:
            self.fault(f"two metrics are called '{name}'", path, hint="give one of them another name: name: ...")
        self.names.add(name)

    def _metrics(self, key: str, pairs: Mapping[str, str]) -> dict[str, list[MetricUse]]:
        found: dict[str, list[MetricUse]] = {}
        for output, (value, path) in self._per_output(key, METRICS).items():
            expected = (self.targets or {}).get(pairs.get(output, ""))
            given = (self.outputs or {}).get(output)
            uses = found.setdefault(output, [])
            for index, entry in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
                where = (*path, index) if isinstance(value, list) else path
                try:
                    metric = METRICS.parse(entry)
                except Invalid as invalid:
                    self._absorb(invalid, where)
                    continue
                name, classes = metric.log_name(), self.classes.get(pairs.get(output, ""))
                columns = metric.columns(name, given, classes)
                if key == "weighted_metrics" and any(self._full(output, each) in self.names for each in columns):
                    name = f"weighted_{name}"  # as in Keras, if a metric is both weighted and unweighted
                    columns = metric.columns(name, given, classes)
                problem = metric.check(expected, given) if expected is not None and given is not None else None
                if problem:
                    self.fault(problem, where)
                for column in columns:
                    self._check_name(self._full(output, column), where)
                uses.append(MetricUse(name, metric, key == "weighted_metrics", columns))
        return found
