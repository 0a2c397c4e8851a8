"""The `compile:` section: for every output its target, loss and metrics; the optimizer; precision."""

from dataclasses import dataclass
from typing import Any, Literal

from kerascli.component import plain
from kerascli.config.sections.arithmetic import Precision
from kerascli.metrics.comparisons import OutputTarget
from kerascli.optimizers.base import BaseOptimizer


@dataclass(frozen=True, slots=True)
class CompileSpec:
    optimizer: BaseOptimizer
    pairs: tuple[OutputTarget, ...]
    precision: Precision = "float32"
    jit_compile: bool | Literal["auto"] = "auto"
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
            "precision": self.precision,
            "jit_compile": self.jit_compile,
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
