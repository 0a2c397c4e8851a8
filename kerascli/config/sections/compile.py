"""The `compile:` section: for every output its target, loss and metrics; the optimizer; precision."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator

from kerascli.component import plain
from kerascli.config.sections.fit import OfAllPhases
from kerascli.config.sections.per_output import by_output
from kerascli.errors import one_of, show
from kerascli.metrics.comparisons import OutputTarget
from kerascli.optimizers.base import OPTIMIZERS, BaseOptimizer, Optimizer
from kerascli.optimizers.loss_scale_optimizer import LossScaleOptimizer
from kerascli.optimizers.rmsprop import RMSprop
from kerascli.section import BaseSection


def _on_off_auto(value: Any) -> Any:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError(f"expected true, false or auto, got {show(value)}")
    return value


def _known_precision(value: Any) -> Any:
    if value not in get_args(Precision):
        raise ValueError(f"expected {one_of(get_args(Precision))}, got {show(value)}")  # none is near to another
    return value


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
JitCompile = Annotated[bool | Literal["auto"], BeforeValidator(_on_off_auto)]


class ComputeSection(BaseSection):
    """How a training computes, whatever it trains: what `compile` may have beside `fit.train_step`."""

    title: ClassVar[str] = "compile"

    precision: Annotated[Precision, BeforeValidator(_known_precision)] = "float32"
    """Of the arithmetic."""
    jit_compile: Annotated[JitCompile, OfAllPhases("it is one for all phases")] = "auto"
    """Compile the training step; auto: where it pays."""


class _Objective(BaseSection):
    """What the model is trained towards, by output."""

    optimizer: Annotated[BaseOptimizer, OPTIMIZERS.field()] = RMSprop()
    """The rule that changes the weights."""
    loss: Annotated[Any, by_output({"x-component": "loss"})] = None
    """What is made small; may be by output."""
    loss_weights: Annotated[Any, by_output({"type": "number"})] = 1.0
    """What each output's loss counts in the sum."""
    metrics: Annotated[Any, by_output({"x-component": "metric"})] = None
    """Figures to log, as plain means over the samples."""
    weighted_metrics: Annotated[Any, by_output({"x-component": "metric"})] = None
    """Figures to log that respect sample and class weights."""


class CompileSection(ComputeSection, _Objective):  # in this order: the fields of the last base come first
    """What the model is trained towards, how, and in what precision."""


def scaled(optimizer: BaseOptimizer, precision: Precision) -> BaseOptimizer:
    """As Keras does: in half precision small gradients become zero unless the loss is scaled."""
    if precision == "mixed_float16" and isinstance(optimizer, Optimizer) and optimizer.loss_scale_factor is None:
        return LossScaleOptimizer(inner_optimizer=optimizer)
    return optimizer


@dataclass(frozen=True, slots=True)
class CompileSpec:
    optimizer: BaseOptimizer
    pairs: tuple[OutputTarget, ...]
    compute: ComputeSection = field(default_factory=ComputeSection)
    figures: tuple[str, ...] = ()
    """Of the model's own, from add_loss and add_metric: they are logged under their names."""

    @property
    def optimizers(self) -> dict[str, BaseOptimizer]:
        """The one, under no name: a `train_step` has several."""
        return {"": self.optimizer}

    def dump(self) -> dict[str, Any]:
        """As YAML-ready data, defaults included, per output."""
        pairs = self.pairs
        by_output = {
            "loss": {g.output: plain(g.loss) for g in pairs if g.loss is not None},
            "loss_weights": {g.output: g.weight for g in pairs if g.loss is not None},
            "metrics": {g.output: [u.metric.dump() for u in g.metrics if not u.weighted] for g in pairs},
            "weighted_metrics": {g.output: [u.metric.dump() for u in g.metrics if u.weighted] for g in pairs},
        }
        return {
            "optimizer": self.optimizer.dump(),
            **{key: value for key, value in by_output.items() if value},
            **self.compute.model_dump(),
        }

    def log_names(self) -> dict[str, Literal["min", "max"]]:
        """Every figure that training logs (without `val_`), and which way it is better. The names are Keras's."""
        names: dict[str, Literal["min", "max"]] = {"loss": "min"}
        if self.logs_each_loss:
            names.update({f"{pair.output}_loss": "min" for pair in self.pairs if pair.loss is not None})
        names.update(dict.fromkeys(self.figures, "min"))
        for pair in self.pairs:
            for use in pair.metrics:
                names.update({f"{pair.prefix}{column}": use.metric.direction for column in use.columns})
        return names

    def several(self) -> dict[str, tuple[str, ...]]:
        """The metrics of several values, by name, with the columns of each."""
        return {
            f"{pair.prefix}{use.name}": tuple(f"{pair.prefix}{column}" for column in use.columns)
            for pair in self.pairs
            for use in pair.metrics
            if use.columns != (use.name,)
        }

    @property
    def logs_each_loss(self) -> bool:
        """One loss alone is the whole, penalties aside."""
        return sum(pair.loss is not None for pair in self.pairs) > 1
