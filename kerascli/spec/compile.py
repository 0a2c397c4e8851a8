"""The `compile:` section: for every output its target, loss and metrics; the optimizer; precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kerascli.component import Invalid, plain
from kerascli.errors import Fault, Path, one_of, show, suggestion
from kerascli.losses.base import LOSSES, Loss
from kerascli.metrics.base import METRICS, Metric
from kerascli.optimizers.base import OPTIMIZERS, Optimizer
from kerascli.optimizers.rmsprop import RMSprop
from kerascli.shapes import TensorSpec

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_KEYS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "precision", "jit_compile")


@dataclass(frozen=True, slots=True)
class MetricUse:
    """A metric of an output, and what logs call it there (without the output's name)."""

    name: str
    metric: Metric
    weighted: bool


@dataclass(frozen=True, slots=True)
class Goal:
    """What one output is trained towards and judged by."""

    output: str
    target: str
    loss: Loss | None
    weight: float
    metrics: tuple[MetricUse, ...]


@dataclass(frozen=True, slots=True)
class CompileSpec:
    optimizer: Optimizer
    goals: tuple[Goal, ...]
    precision: Precision = "float32"
    jit_compile: bool | Literal["auto"] = "auto"

    def dump(self) -> dict[str, Any]:
        """As YAML-ready data, defaults included, per output."""
        goals = self.goals
        losses = {goal.output: plain(goal.loss) for goal in goals if goal.loss is not None}
        return {
            "optimizer": self.optimizer.dump(),
            "loss": losses,
            "loss_weights": {goal.output: goal.weight for goal in goals if goal.loss is not None},
            "metrics": {g.output: [u.metric.dump() for u in g.metrics if not u.weighted] for g in goals},
            "weighted_metrics": {g.output: [u.metric.dump() for u in g.metrics if u.weighted] for g in goals},
            "precision": self.precision,
            "jit_compile": self.jit_compile,
        }

    def log_names(self) -> dict[str, Literal["min", "max"]]:
        """Every figure that training logs (without `val_`), and which way it is better."""
        names: dict[str, Literal["min", "max"]] = {"loss": "min"}
        several = len(self.goals) > 1
        for goal in self.goals:
            if several and goal.loss is not None:
                names[f"{goal.output}_loss"] = "min"
        for goal in self.goals:
            for use in goal.metrics:
                names[f"{goal.output}_{use.name}" if several else use.name] = use.metric.direction
        return names


def parse_compile(
    section: Any, outputs: Mapping[str, TensorSpec], targets: Mapping[str, TensorSpec] | None, *, extra_losses: bool
) -> CompileSpec:
    """The section as written -> CompileSpec. Raises Invalid with every fault.

    `targets` is None when nothing is known of the data; `extra_losses` says that the model adds its own.
    """
    if not isinstance(section, dict):
        raise Invalid([Fault(f"compile: expected a mapping with 'loss', got {show(section)}", ("compile",))])
    return _Reader(section, outputs, targets).read(extra_losses=extra_losses)


class _Reader:
    def __init__(
        self, section: dict[str, Any], outputs: Mapping[str, TensorSpec], targets: Mapping[str, TensorSpec] | None
    ) -> None:
        self.section = section
        self.outputs = outputs
        self.targets = targets
        self.faults: list[Fault] = []

    def read(self, *, extra_losses: bool) -> CompileSpec:
        for key in self.section:
            if key not in _KEYS:
                self.fault(f"unknown key '{key}' in compile{suggestion(str(key), _KEYS)}", (key,), at="key")
        optimizer = self._optimizer()
        pairs = self._pairs()
        losses = self._losses(extra_losses=extra_losses)
        weights = self._loss_weights(losses)
        goals = []
        for output, target in pairs.items():
            loss = losses.get(output)
            self._check_loss(output, target, loss)
            uses = (*self._metrics("metrics", output, target), *self._metrics("weighted_metrics", output, target))
            if loss is not None or uses:
                goals.append(Goal(output, target, loss, weights.get(output, 1.0), uses))
        precision = self._choice("precision", _PRECISIONS, "float32")
        jit = self.section.get("jit_compile", "auto")
        if jit != "auto" and not isinstance(jit, bool):
            self.fault(f"jit_compile: expected true, false or auto, got {show(jit)}", ("jit_compile",))
        if self.faults:
            raise Invalid(self.faults)
        assert optimizer is not None
        return CompileSpec(optimizer, tuple(goals), precision, jit)  # pyright: ignore[reportArgumentType]

    def fault(self, text: str, path: Path, *, at: Any = "value", hint: str | None = None) -> None:
        self.faults.append(Fault(text, ("compile", *path), at, hint=hint))

    def _absorb(self, invalid: Invalid, path: Path) -> None:
        self.faults += invalid.below(("compile", *path)).faults

    def _optimizer(self) -> Optimizer | None:
        if "optimizer" not in self.section:
            return RMSprop()  # Keras's default
        try:
            return OPTIMIZERS.parse(self.section["optimizer"])
        except Invalid as invalid:
            self._absorb(invalid, ("optimizer",))
            return None

    def _choice(self, key: str, words: tuple[str, ...], default: str) -> Any:
        value = self.section.get(key, default)
        if value not in words:
            close = suggestion(value, words) if isinstance(value, str) else ""
            self.fault(f"{key}: expected {one_of(words)}, got {show(value)}{close}", (key,))
        return value

    def _pairs(self) -> dict[str, str]:
        """The target of each output: one goes with one whatever their names, else the names agree."""
        if self.targets is None:
            return {name: name for name in self.outputs}
        if len(self.outputs) == 1 and len(self.targets) == 1:
            return {next(iter(self.outputs)): next(iter(self.targets))}
        for name in self.targets:
            if name not in self.outputs:
                text = f"target '{name}' has no output of that name{suggestion(name, self.outputs)}"
                hint = f"outputs: {', '.join(self.outputs)}; name the node, or list it under model.outputs"
                self.faults.append(Fault(text, ("data", "targets", name), "key", hint=hint))
        return {name: name for name in self.outputs if name in self.targets}

    def _per_output(self, key: str) -> dict[str, tuple[Any, Path]]:
        """What is written under `key` for each output, with its path."""
        value = self.section.get(key)
        if value is None:
            return {}
        if isinstance(value, dict) and value and all(name in self.outputs for name in value):
            return {name: (value[name], (key, name)) for name in value}
        if len(self.outputs) == 1:
            return {next(iter(self.outputs)): (value, (key,))}
        if isinstance(value, dict):
            wrong = [name for name in value if name not in self.outputs]
            close = suggestion(str(wrong[0]), self.outputs)
            self.fault(f"there is no output '{wrong[0]}'{close}", (key, wrong[0]), at="key",
                       hint=f"outputs: {', '.join(self.outputs)}")  # fmt: skip
            return {}
        if key == "loss" and not isinstance(value, list):
            return {name: (value, (key,)) for name in self.outputs}
        if isinstance(value, list) and len(value) == len(self.outputs) and key != "metrics":
            return {name: (value[i], (key, i)) for i, name in enumerate(self.outputs)}
        self.fault(f"{key}: the model has {len(self.outputs)} outputs; say which", (key,),
                   hint=f"{key}: {{{next(iter(self.outputs))}: ...}}")  # fmt: skip
        return {}

    def _losses(self, *, extra_losses: bool) -> dict[str, Loss]:
        found: dict[str, Loss] = {}
        for output, (value, path) in self._per_output("loss").items():
            if value is None:
                continue
            try:
                found[output] = LOSSES.parse(value)
            except Invalid as invalid:
                self._absorb(invalid, path)
        if "loss" not in self.section and not extra_losses:
            self.fault("compile needs 'loss'", (), at="key", hint="add loss: mse, categorical_crossentropy ...")
        return found

    def _loss_weights(self, losses: dict[str, Loss]) -> dict[str, float]:
        found: dict[str, float] = {}
        for output, (value, path) in self._per_output("loss_weights").items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.fault(f"loss_weights: expected a number, got {show(value)}", path)
            elif output not in losses and not self.faults:
                self.fault(f"loss_weights: output '{output}' has no loss", path, at="key")
            else:
                found[output] = float(value)
        return found

    def _check_loss(self, output: str, target: str, loss: Loss | None) -> None:
        if loss is None or self.targets is None or target not in self.targets:
            return
        problem = loss.check(self.targets[target], self.outputs[output])
        if problem:
            where = ("loss", output) if _is_mapping_of(self.section.get("loss"), output) else ("loss",)
            self.fault(f"{loss.component_name} {problem}", where)

    def _metrics(self, key: str, output: str, target: str) -> tuple[MetricUse, ...]:
        written = self._per_output(key).get(output)
        if written is None or written[0] is None:
            return ()
        value, path = written
        entries = value if isinstance(value, list) else [value]
        uses: list[MetricUse] = []
        spec = self.targets.get(target) if self.targets is not None else None
        for index, entry in enumerate(entries):
            where = (*path, index) if isinstance(value, list) else path
            try:
                metric = METRICS.parse(entry)
            except Invalid as invalid:
                self._absorb(invalid, where)
                continue
            name = metric.log_name()
            problem = metric.check(spec, self.outputs[output]) if spec is not None else None
            if problem:
                self.fault(f"{metric.component_name} {problem}", where)
            if any(use.name == name for use in uses):
                self.fault(f"two metrics are called '{name}'", where, hint="give one of them a name: of its own")
            uses.append(MetricUse(name, metric, key == "weighted_metrics"))
        return tuple(uses)


def _is_mapping_of(value: Any, output: str) -> bool:
    return isinstance(value, dict) and output in value

