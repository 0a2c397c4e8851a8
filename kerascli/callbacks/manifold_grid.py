"""ManifoldGrid: what a decoder makes of the points of its plane."""

from statistics import NormalDist

import numpy as np
import torch

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Images, ModelFacts, ShowsImages, Studio
from kerascli.shapes import PositiveFloat, PositiveInt, show_shape


@callback()
class ManifoldGrid(ShowsImages):
    """Images that a decoder makes of a grid of points, as Keras's variational autoencoders are shown.

    The points are quantiles of the normal distribution from 5 to 95 per cent, or with `extent` evenly spaced.
    """

    size: PositiveInt = 15
    """How many images on a side."""
    extent: PositiveFloat | None = None
    """The grid goes from -extent to extent in even steps; null: by quantiles."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        shapes = [spec.shape for spec in model.inputs.values()]
        if shapes != [(2,)]:
            words = ", ".join(show_shape((None, *shape)) for shape in shapes)
            return "view", f"needs a model or a view whose one input is two numbers a row, got {words}"
        return super().misfit(model)

    def sample(self, studio: Studio) -> Images:
        if self.extent is not None:
            steps = np.linspace(-self.extent, self.extent, self.size)
        else:
            steps = np.array([NormalDist().inv_cdf(q) for q in np.linspace(0.05, 0.95, self.size)])
        across, up = np.meshgrid(steps, steps[::-1])
        points = torch.from_numpy(np.stack([across.ravel(), up.ravel()], 1).astype(np.float32))
        (name,) = studio.facts(self.view).inputs
        pixels = self.pixels(self.chosen(studio.run(self.view, {name: points})))
        grid = pixels.reshape(self.size, self.size, *pixels.shape[1:])
        return Images(grid, f"made of {name}", across=steps.tolist(), down=steps[::-1].tolist())
