"""Parser of the losses and metrics in an update (item) of `fit.train_step`: of tensors, targets and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from kerascli.config.sections.train_step import FormulaSection, LossSection, MetricSection
from kerascli.foundation.errors import Path, show, suggestion
from kerascli.foundation.shapes import Specs
from kerascli.language.component import Component
from kerascli.layers.expressions.added import AddLoss
from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric
from kerascli.metrics.comparisons import Comparison, LossTerm, UpdateMetric
from kerascli.model.ir.analysis import PREFIX
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.views import Forward

Pending = tuple[Loss | Metric, Comparison, Path]
"""Type of a loss or metric whose tensor shapes are yet to be checked, with what it compares and its config path."""

_NEEDED = {
    "loss": ", or expr, a formula",
    "metric": "",
    "y_pred": ", the node with the prediction",
    "y_true": ", a number, a node or a target",
}
"""Keys that a loss or metric in `fit.train_step` must have, each with the end of the error message if it is missing."""

T = TypeVar("T", LossSection, MetricSection)


@dataclass(slots=True)
class TermReader:
    """Parser of the losses and metrics of those updates (items) of `fit.train_step` that share a forward pass."""

    _forward: Forward
    """Reader of the forward pass, to which the nodes of formulas are added."""
    _targets: Specs | None
    """Targets of the data by name; None: they are unknown."""
    _classes: Mapping[str, Sequence[str]]
    """Names of the classes of each target."""
    faults: Faults
    outputs: list[str] = field(default_factory=list)
    """Tensors of the forward pass that the losses and metrics parsed so far use."""
    _pending: list[Pending] = field(default_factory=list)
    """Losses and metrics to check once the shapes are known, each with what it compares and its config path."""

    def losses(self, written: Any, path: Path) -> tuple[LossTerm, ...]:
        """Parse `written`, the mapping `loss` of an update (item of `fit.train_step`) at `path`; collect its errors."""
        terms = [self._term(name, each, (*path, name)) for name, each in self._items(written, path, "loss")]
        return tuple(term for term in terms if term is not None)

    def metrics(self, written: Any, path: Path) -> tuple[UpdateMetric, ...]:
        """Parse `written`, the mapping `metrics` of an update (item of `fit.train_step`) at `path`; collect errors."""
        uses: list[UpdateMetric] = []
        for name, each in self._items(written, path, "metric"):
            where = (*path, name)
            section = self._read(MetricSection, each, where)
            metric = section.metric if section.has("metric") else None
            of = self._compared(section, where, metric)
            if metric is not None and of is not None:
                self._pending.append((metric, of, (*where, "metric")))
                uses.append(UpdateMetric(name, metric, False, (name,), of))
        return tuple(uses)

    def check(self, specs: Specs) -> None:
        """Add a config error to `faults` for each parsed loss or metric whose tensors have unfit shapes.

        `specs` maps tensor names of the forward pass to shapes and dtypes.
        """
        for component, of, path in self._pending:
            if isinstance(of.y_true, str):
                expected = (self._targets or {}).get(of.y_true) if of.is_target else specs[of.y_true]
                problem = None if expected is None else component.check(expected, specs[of.y_pred])
                if problem:
                    self.faults.add(problem, path)

    def with_columns(self, use: UpdateMetric, specs: Specs) -> UpdateMetric:
        """Return the metric `use` with the names of its columns in history.csv, which may depend on a tensor's shape.

        `specs` maps tensor names of the forward pass to shapes and dtypes.
        """
        classes = self._classes.get(str(use.of.y_true)) if use.of.is_target else None
        return replace(use, columns=use.metric.columns(use.name, specs[use.of.y_pred], classes))

    def _items(self, written: Any, path: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the valid items of `loss` or `metrics` in an item of `fit.train_step` as (name, mapping); report
        config errors of the others."""
        if written is None:
            return []
        hint = f"{path[-1]}: {{real: {{{kind}: ..., y_true: 1, y_pred: ...}}}}"
        if not isinstance(written, dict) or not written:
            self.faults.add(f"{path[-1]}: expected a mapping of names, got {show(written)}", path, hint=hint)
            return []
        items = []
        for name, each in written.items():
            if (problem := Names().refuse(str(name), own=str(name))) is not None:
                self.faults.add(problem.text, (*path, name), "key")
            elif not isinstance(each, dict):
                text = f"{path[-1]}: {name}: expected a mapping with {kind}, y_true and y_pred, got {show(each)}"
                self.faults.add(text, (*path, name), hint=hint)
            else:
                items.append((str(name), each))
        return items

    def _term(self, name: str, written: dict[str, Any], path: Path) -> LossTerm | None:
        if "expr" in written:
            formula = self.faults.read(FormulaSection, written, path, name)
            node = self._forward.formula(AddLoss, formula.expr, (*path, "expr"), {"weight": formula.weight})
            return None if node is None else LossTerm(name, formula.weight, node=node.name)
        section = self._read(LossSection, written, path)
        loss = section.loss if section.has("loss") else None
        of = self._compared(section, path, loss)
        if loss is None or of is None:
            return None
        self._pending.append((loss, of, (*path, "loss")))
        return LossTerm(name, section.weight, loss, of)

    def _read(self, cls: type[T], written: dict[str, Any], path: Path) -> T:
        section = self.faults.read(cls, written, path, str(path[-1]))
        for key, what in _NEEDED.items():
            if key in cls.model_fields and key not in written:
                self.faults.add(f"'{path[-1]}' needs '{key}'{what}", path, "key")
        return section

    def _compared(
        self, section: LossSection | MetricSection, path: Path, component: Component | None
    ) -> Comparison | None:
        if not section.model_fields_set >= {"y_pred", "y_true"}:
            return None
        y_pred = self._forward.reading.tensor(section.y_pred, (*path, "y_pred"))
        y_true, is_target = self._y_true(section.y_true, (*path, "y_true"))
        if y_pred is None or y_true is None:
            return None
        self.outputs += [y_pred, *([y_true] if isinstance(y_true, str) and not is_target else [])]
        return Comparison(y_pred, y_true, is_target, class_numbers=getattr(component, "sparse_targets", False))

    def _y_true(self, value: Any, path: Path) -> tuple[str | float | None, bool]:
        """Return `y_true` of a loss or metric (a number, or the name of a target or tensor; None after a config error),
        and True if it is a target."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value), False
        names, targets = self._forward.reading.names, self._targets
        if isinstance(value, str) and (value.startswith(PREFIX) or not names.knows(value)):
            name = value.removeprefix(PREFIX)
            if name in (targets or ()) or (targets is None and name != value):
                return name, True
            if targets is None or name != value or suggestion(value, targets):
                close = suggestion(name, targets or ())
                self.faults.add(f"y_true: there is no target or node '{value}'{close}", path)
                return None, False
        return self._forward.reading.tensor(value, path), False
