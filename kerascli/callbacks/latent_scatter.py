"""LatentScatter: where an encoder puts rows of the data."""

from collections.abc import Sequence

import numpy as np

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import ModelFacts, Points, Rows, ShowsRows, Studio
from kerascli.shapes import PositiveInt, show_shape


@callback()
class LatentScatter(ShowsRows):
    """Rows as points, by an output of two numbers; coloured by class, where the data has classes."""

    count: PositiveInt = 2000
    """How many rows, at most."""
    colour: str | None = None
    """A target, or a column of the data that the model is not given, whose classes colour the points.

    Null: the first target that holds class numbers.
    """

    def shown(self) -> dict[str, str]:
        return {} if self.colour is None else {"colour": self.colour}

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        if found := super().misfit(model):
            return found
        shape = self.chosen(model.outputs).shape
        return None if shape == (2,) else ("output", f"needs two numbers a row, got {show_shape((None, *shape))}")

    def sample(self, studio: Studio) -> Points:
        rows = studio.rows(self.count, self.split)
        inputs = {name: rows.inputs[name] for name in studio.facts(self.view).inputs}
        outputs = studio.run(self.view, inputs)
        name = self.output or next(iter(outputs))
        classes, names = self._classes(studio, rows)
        return Points(outputs[name].numpy(), f"{rows.rows:,} rows", (f"{name}[0]", f"{name}[1]"), classes, names)

    def _classes(self, studio: Studio, rows: Rows) -> tuple[np.ndarray | None, Sequence[str]]:
        if self.colour is not None and self.colour in rows.aside:
            return rows.aside[self.colour]
        of_classes = (n for n, v in rows.targets.items() if v.size == rows.rows and v.dtype.kind in "iu")
        target = self.colour or next(of_classes, None)
        if target is None:
            return None, ()
        return rows.targets[target].reshape(-1).astype(np.int64), studio.class_names(target)
