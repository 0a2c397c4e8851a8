"""HeatMap: a tensor of one held-out row as colours: attention, what a memory reads and writes, activations."""

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Heat, ModelFacts, Studio, WithOutput
from kerascli.shapes import NonNegativeInt, show_shape

_MOST_PANELS = 16


@callback(aliases=("activation_map",))
class HeatMap(WithOutput):
    """An output (rows, columns) of one held-out row as a picture; of several matrices each has a panel.

    Attention weights are (heads, to, from); of feature maps (height, width, channels) every channel is a panel.
    """

    row: NonNegativeInt = 0
    """Which held-out row, from 0."""
    channels_last: bool = False
    """The panels are on the last axis, not on the first."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        found = super().misfit(model)
        if found is not None:
            return found
        if not model.reads_data:
            return "view", "a view with inputs of its own is given no rows of the data"
        shape = self.chosen(model.outputs).shape
        return None if len(shape) in (2, 3) else ("output", f"needs one or several matrices, got {show_shape(shape)}")

    def sample(self, studio: Studio) -> Heat:
        rows = studio.rows(self.row + 1)
        index = min(self.row, rows.rows - 1)
        inputs = {name: rows.inputs[name][index : index + 1] for name in studio.facts(self.view).inputs}
        outputs = studio.run(self.view, inputs)
        name = self.output or next(iter(outputs))
        values = outputs[name][0].float().numpy()
        values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1) if self.channels_last else values
        return Heat(values[:_MOST_PANELS], f"'{name}' of row {index}", ("second axis", "first axis"))
