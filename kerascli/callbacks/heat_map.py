"""HeatMap: draws an output for one data row as heat maps, such as attention weights, memory accesses, activations."""

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Heat, Mismatch, ModelFacts, Rows, SampleContext, ShowsRows
from kerascli.foundation.errors import suggestion
from kerascli.foundation.shapes import NonNegativeInt, show_shape

_MOST_PANELS = 16
_AXES = ("panels", "down", "across")


@callback(aliases=("activation_map",))
class HeatMap(ShowsRows):
    """Draw an output of one data row as heat maps: a single matrix (rows, columns), or several, each as a panel.

    Attention weights have the shape (heads, queries, keys), with one panel per head; feature maps (height, width,
    channels) have one panel per channel with `channels_last`. At most 16 panels are drawn.
    """

    row: NonNegativeInt = 0
    """Index of the data row to draw, from 0."""
    channels_last: bool = False
    """Use the last axis of the output, not the first, for the panels."""
    down: str | None = None
    """Text input or target whose tokens label the matrix's rows; padding after the tokens is cut off."""
    across: str | None = None
    """Text input or target whose tokens label the matrix's columns; padding after the tokens is cut off."""
    panels: str | None = None
    """Text input or target whose tokens label the panels; padding after the tokens is cut off."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if fault := super().mismatch(model):
            return fault
        for setting in _AXES:
            name = getattr(self, setting)
            if name is not None and name not in model.texts:
                available = suggestion(name, model.texts) or f"; there are {', '.join(sorted(model.texts)) or 'none'}"
                return setting, f"'{name}' is not a text input or target{available}"
        shape = self.chosen(model.outputs).shape
        return None if len(shape) in (2, 3) else ("output", f"needs an output of matrices, got {show_shape(shape)}")

    def sample(self, context: SampleContext) -> Heat:
        rows = context.rows(self.row + 1, self.split)
        index = min(self.row, rows.rows - 1)
        outputs = self.outputs_for(context, {name: x[index : index + 1] for name, x in rows.inputs.items()})
        name = self.chosen_name(outputs)
        values = outputs[name][0].float().numpy()
        values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1) if self.channels_last else values
        names = []
        for axis, setting in enumerate(_AXES):
            words = self._words(context, rows, index, getattr(self, setting))
            values = values.take(range(min(len(words) or values.shape[axis], values.shape[axis])), axis)
            names.append(words[: values.shape[axis]])
        axes = (self.across or "second axis", self.down or "first axis")
        panels, down, across = names
        return Heat(values[:_MOST_PANELS], f"'{name}' of row {index}", axes, (panels[:_MOST_PANELS], down, across))

    @staticmethod
    def _words(context: SampleContext, rows: Rows, index: int, name: str | None) -> list[str]:
        """Return the tokens of a row's text, as labels for rows or columns of a heat map; padding is cut off."""
        if name is None:
            return []
        numbers = rows.targets[name] if name in rows.targets else rows.inputs[name].cpu().numpy()
        words = context.words(name, numbers[index])
        return words[: max((place for place, word in enumerate(words, 1) if word), default=0)]
