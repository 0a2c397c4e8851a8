"""LatentScatter: scatter plot of an encoder's outputs."""

from collections.abc import Sequence

import numpy as np

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Mismatch, ModelFacts, Points, Rows, SampleContext, ShowsRows
from kerascli.foundation.shapes import PositiveInt, show_shape


@callback()
class LatentScatter(ShowsRows):
    """Draw a scatter plot of data rows by an output of shape (None, 2), coloured by class if the data has classes."""

    count: PositiveInt = 2000
    """Maximum number of data rows to plot."""
    colour: str | None = None
    """Target, or column of the data that is no input of the model, whose classes colour the points.

    null: the first target with integer class labels, if any.
    """

    def shown(self) -> dict[str, str]:
        return {} if self.colour is None else {"colour": self.colour}

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if fault := super().mismatch(model):
            return fault
        shape = self.chosen(model.outputs).shape
        return None if shape == (2,) else ("output", f"needs an output (None, 2), got {show_shape((None, *shape))}")

    def sample(self, context: SampleContext) -> Points:
        rows = context.rows(self.count, self.split)
        outputs = self.outputs_for(context, rows.inputs)
        name = self.chosen_name(outputs)
        classes, names = self._classes(context, rows)
        return Points(outputs[name].numpy(), f"{rows.rows:,} rows", (f"{name}[0]", f"{name}[1]"), classes, names)

    def _classes(self, context: SampleContext, rows: Rows) -> tuple[np.ndarray | None, Sequence[str]]:
        if self.colour is not None and self.colour in rows.aside:
            return rows.aside[self.colour]
        of_classes = (n for n, v in rows.targets.items() if v.size == rows.rows and v.dtype.kind in "iu")
        target = self.colour or next(of_classes, None)
        if target is None:
            return None, ()
        return rows.targets[target].reshape(-1).astype(np.int64), context.class_names(target)
