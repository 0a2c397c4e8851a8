"""Reconstructions: input images and the model's outputs for them."""

from collections.abc import Sequence

import numpy as np

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Images, Mismatch, ModelFacts, SampleContext, ShowsImages, ShowsRows, image_shape
from kerascli.foundation.shapes import PositiveInt, Words, show_shape


@callback()
class Reconstructions(ShowsRows, ShowsImages):
    """Draw input images in the upper row, and the model's output for each below; both have the range `value_range`."""

    count: PositiveInt = 10
    """Number of images to draw, each with the model's output for it."""
    outputs: Words = ()
    """Names of outputs to draw, a row of images for each; empty: a row of inputs and a row of the model's output."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if self.outputs and self.output is not None:
            return "outputs", "give 'outputs' or 'output', not both"
        for each in self._each():
            fault = super(Reconstructions, each).mismatch(model)
            if fault is not None:
                return ("outputs" if self.outputs and fault[0] == "output" else fault[0]), fault[1]
        if self.outputs:
            return _unlike(self.outputs, model)
        shape = next(iter(model.inputs.values())).shape
        original = image_shape(shape, None if len(shape) > 1 else self.image_shape)
        if original is None:
            return "view", f"the model's first input is not an image: {show_shape(shape)}"
        made = image_shape(self.chosen(model.outputs).shape, self.image_shape)
        if made != original:
            words = f"images of shape {made} do not fit below the input's, {original}"
            return "output", f"{words}; name 'outputs' of one shape to show"
        return None

    def sample(self, context: SampleContext) -> Images:
        rows = context.rows(self.count, self.split)
        outputs = self.outputs_for(context, rows.inputs)
        if self.outputs:
            shown = np.stack([self.pixels(outputs[name]) for name in self.outputs])
            return Images(shown, f"outputs for {rows.split} images", self.outputs)
        original = rows.inputs[next(iter(context.facts(self.view).inputs))]
        shown = np.stack([self.pixels(each) for each in (original, self.chosen(outputs))])
        return Images(shown, f"{rows.split} images and their reconstructions", ("input", "output"))

    def _each(self) -> list["Reconstructions"]:
        """Return copies of the callback, one for each output of the model to draw."""
        return [self.model_copy(update={"output": name}) for name in self.outputs] or [self]


def _unlike(outputs: Sequence[str], model: ModelFacts) -> Mismatch | None:
    """Return (argument's name, error message) if outputs drawn in one grid differ in shape; else None."""
    shapes = {name: model.outputs[name].shape for name in outputs}
    if len(set(shapes.values())) == 1:
        return None
    words = ", ".join(f"'{name}' {show_shape(shape)}" for name, shape in shapes.items())
    return "outputs", f"expected images of one shape, got {words}"
