"""LatentScatter: where an encoder puts the held-out rows."""

import numpy as np

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import ModelFacts, Points, Rows, Studio, WithOutput
from kerascli.shapes import PositiveInt, show_shape


@callback()
class LatentScatter(WithOutput):
    """Held-out rows as points, by an output of two numbers; coloured by class, if the data has a target of classes."""

    count: PositiveInt = 2000
    """How many rows, at most."""
    target: str | None = None
    """The target that colours the points; null: the first that holds class numbers."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        found = super().misfit(model)
        if found is not None:
            return found
        if not model.reads_data:
            return "view", "a view with inputs of its own is given no rows of the data"
        shape = self.chosen(model.outputs).shape
        return None if shape == (2,) else ("output", f"needs two numbers a row, got {show_shape((None, *shape))}")

    def sample(self, studio: Studio) -> Points:
        rows = studio.rows(self.count)
        inputs = {name: rows.inputs[name] for name in studio.facts(self.view).inputs}
        outputs = studio.run(self.view, inputs)
        name = self.output or next(iter(outputs))
        target = self._target(rows)
        classes = None if target is None else rows.targets[target].reshape(-1).astype(np.int64)
        names = () if target is None else studio.class_names(target)
        return Points(outputs[name].numpy(), f"{rows.rows:,} rows", (f"{name}[0]", f"{name}[1]"), classes, names)

    def _target(self, rows: Rows) -> str | None:
        found = [
            name for name, values in rows.targets.items() if values.size == rows.rows and values.dtype.kind in "iu"
        ]
        return self.target if self.target in found else next(iter(found), None)
