"""SampleImages: images that a generator makes of fixed noise."""

from typing import Literal

import torch

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Images, Mismatch, ModelFacts, SampleContext, ShowsImages
from kerascli.foundation.shapes import PositiveInt


@callback()
class SampleImages(ShowsImages):
    """Draw a grid of images that the model, or its view (submodel), generates from the same noise in every epoch.

    An integer input is taken as a class label; the columns cycle through the classes.
    """

    rows: PositiveInt = 4
    """Number of rows of the grid of images."""
    columns: PositiveInt = 8
    """Number of columns of the grid of images."""
    noise: Literal["normal", "uniform"] = "normal"
    """Distribution of the noise: normal (mean 0, standard deviation 1) or uniform (from -1 to 1)."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        for name, spec in model.inputs.items():
            if None in spec.shape:
                return "view", f"its input '{name}' has no fixed size: {spec}"
            if spec.is_integer and spec.shape not in ((), (1,)):
                return "view", f"its input '{name}' is neither noise nor one class label: {spec} of {spec.dtype}"
        return super().mismatch(model)

    def sample(self, context: SampleContext) -> Images:
        model, count = context.facts(self.view), self.rows * self.columns
        inputs = {}
        for name, spec in model.inputs.items():
            shape = (count, *(size or 1 for size in spec.shape))
            if spec.is_integer:
                classes = model.classes.get(name, self.columns)
                inputs[name] = (torch.arange(count) % self.columns % classes).reshape(shape)
            else:
                inputs[name] = context.noise(shape, self.noise, self.seed)
        pixels = self.pixels(self.chosen(context.run(self.view, inputs)))
        if not model.inputs:
            columns = len(pixels) if len(pixels) % self.columns else self.columns
            return Images(pixels.reshape(-1, columns, *pixels.shape[1:]), "weights")
        return Images(pixels.reshape(self.rows, self.columns, *pixels.shape[1:]), "generated from noise")
