"""The `compile:` section of a config: the optimizer, precision, and target, loss and metrics of every output."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, WithJsonSchema

from kerascli.config.sections.fit import NotPerPhase
from kerascli.foundation.errors import one_of, show
from kerascli.language.component import plain
from kerascli.language.section import BaseSection
from kerascli.metrics.comparisons import MetricUse, OutputTarget
from kerascli.optimizers.adaptive import RMSprop
from kerascli.optimizers.base import OPTIMIZERS, BaseOptimizer, Optimizer
from kerascli.optimizers.loss_scale_optimizer import LossScaleOptimizer


def _by_output(schema: dict[str, Any]) -> WithJsonSchema:
    """Return the annotation of a `compile` field with one value for all outputs, or one for each by position or
    name."""
    forms = [schema, {"type": "array", "items": schema}]
    named = {"type": "object", "additionalProperties": {"anyOf": [*forms, {"type": "null"}]}}
    return WithJsonSchema({"anyOf": [*forms, named]})


def _on_off_auto(value: Any) -> Any:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError(f"expected true, false or auto, got {show(value)}")
    return value


def _checked_precision(value: Any) -> Any:
    if value not in get_args(Precision):
        text = f"expected {one_of(get_args(Precision))}, got {show(value)}"
        raise ValueError(text)  # no suggestion: a similar name is another precision
    return value


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
JitCompile = Annotated[bool | Literal["auto"], BeforeValidator(_on_off_auto)]


OWN_COLUMNS = ("loss", "epoch", "phase", "learning_rate", "epoch_seconds")
"""Names of the columns of the history (history.csv) that are no loss, metric or update of the config."""


class ComputeSection(BaseSection):
    """Settings of the computation: precision and compilation, the keys of `compile` allowed with `fit.train_step`."""

    title: ClassVar[str] = "compile"

    precision: Annotated[Precision, BeforeValidator(_checked_precision)] = "float32"
    """Dtype policy of Keras; mixed policies compute in half precision (torch's autocast), with float32 variables."""
    jit_compile: Annotated[JitCompile, NotPerPhase("it applies to all phases")] = "auto"
    """Compile the training step with torch's compiler; auto: if the run saves more time than compiling takes."""


class _Objective(BaseSection):
    """Keys of the `compile` section that define the optimizer, and the losses and metrics of each output."""

    optimizer: Annotated[BaseOptimizer, OPTIMIZERS.field()] = RMSprop()
    """Optimizer that updates the weights."""
    loss: Annotated[Any, _by_output({"x-component": "loss"})] = None
    """Loss to minimize; for several outputs: one loss for all, a list by position, or a mapping from output to loss."""
    loss_weights: Annotated[Any, _by_output({"type": "number"})] = 1.0
    """Coefficient of each output's loss in the weighted sum that is minimized."""
    metrics: Annotated[Any, _by_output({"x-component": "metric"})] = None
    """Metrics to evaluate and log in training and validation, unweighted; for several outputs, by position or name."""
    weighted_metrics: Annotated[Any, _by_output({"x-component": "metric"})] = None
    """Metrics to log, weighted by `data.sample_weight` or `fit.class_weight`; for several outputs, also by name."""


class CompileSection(ComputeSection, _Objective):  # in this order: the fields of the last base come first
    """Configuration of the training: optimizer, losses, metrics, precision and compilation."""


def scaled(optimizer: BaseOptimizer, precision: Precision) -> BaseOptimizer:
    """Return an optimizer, wrapped in a LossScaleOptimizer if the precision is mixed_float16, as Keras does.

    Small gradients would underflow to zero in float16. An optimizer with a `loss_scale_factor` stays as it is.
    """
    if precision == "mixed_float16" and isinstance(optimizer, Optimizer) and optimizer.loss_scale_factor is None:
        return LossScaleOptimizer(inner_optimizer=optimizer)
    return optimizer


class Logged(ABC):
    """Base class of parsed sections that define which losses and metrics an epoch logs to history.csv."""

    __slots__ = ()

    @abstractmethod
    def logged_losses(self) -> list[str]:
        """Return the names of the logged losses, as in history.csv but without `val_`; the first is the total loss.

        The values logged by layers (`add_loss`, `add_metric`) are the last. The states (sums over rows) that an
        objective, the module that computes losses and metrics, returns for a batch are those of these losses, in this
        order, and then those of the metrics.
        """

    @abstractmethod
    def logged_metrics(self) -> Iterator[tuple[str, MetricUse]]:
        """Yield (prefix, metric) for each logged metric, whose column names in history.csv begin with the prefix."""

    def log_names(self) -> dict[str, Literal["min", "max"]]:
        """Return a mapping from each value that training logs to its better direction, `min` or `max`.

        Names are Keras's, without `val_`, in the order of the metric states.
        """
        names: dict[str, Literal["min", "max"]] = dict.fromkeys(self.logged_losses(), "min")
        for prefix, use in self.logged_metrics():
            names.update({f"{prefix}{column}": use.metric.direction for column in use.columns})
        return names

    def several(self) -> dict[str, tuple[str, ...]]:
        """Return a mapping from each metric that has several values to the names of its columns in history.csv."""
        return {
            f"{prefix}{use.name}": tuple(f"{prefix}{column}" for column in use.columns)
            for prefix, use in self.logged_metrics()
            if use.columns != (use.name,)
        }


@dataclass(frozen=True, slots=True)
class CompileSpec(Logged):
    """Parsed `compile:` section, in which every model output is paired with its target in the data."""

    optimizer: BaseOptimizer
    pairs: tuple[OutputTarget, ...]
    """Model outputs with a loss or metrics, each with its target."""
    compute: ComputeSection = field(default_factory=ComputeSection)
    """Precision and compilation (`jit_compile`)."""
    logged: tuple[str, ...] = ()
    """Names of the values logged by the `add_loss` and `add_metric` layers of the model."""

    @property
    def optimizers(self) -> dict[str, BaseOptimizer]:
        """Mapping from update name to optimizer, as with `fit.train_step`; here it has one optimizer, named ""."""
        return {"": self.optimizer}

    def dump(self) -> dict[str, Any]:
        """Return the `compile` section, with every default, as data to write as YAML; losses are by output."""
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

    def logged_losses(self) -> list[str]:
        names = [f"{pair.output}_loss" for pair in self.pairs if pair.loss is not None]
        # the loss of a single output equals the total loss, apart from regularization
        return ["loss", *(names if len(names) > 1 else ()), *self.logged]

    def logged_metrics(self) -> Iterator[tuple[str, MetricUse]]:
        yield from ((pair.prefix, use) for pair in self.pairs for use in pair.metrics)
