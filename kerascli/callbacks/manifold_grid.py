"""ManifoldGrid: images that a decoder makes of a grid of latent points."""

from statistics import NormalDist

import numpy as np
import torch

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Images, Mismatch, ModelFacts, SampleContext, ShowsImages
from kerascli.foundation.shapes import PositiveFloat, PositiveInt, show_shape


@callback()
class ManifoldGrid(ShowsImages):
    """Draw the images that a decoder makes of a grid of points of a two-dimensional latent space.

    As in Keras's examples of variational autoencoders. The coordinates are the quantiles of the standard normal
    distribution from 5 to 95 per cent, or with `extent` evenly spaced.
    """

    size: PositiveInt = 15
    """Number of images along each side of the grid."""
    extent: PositiveFloat | None = None
    """Extent e of the grid, which is evenly spaced from -e to e; null: quantiles of the normal distribution."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        shapes = [spec.shape for spec in model.inputs.values()]
        if shapes != [(2,)]:
            words = ", ".join(show_shape((None, *shape)) for shape in shapes)
            return "view", f"needs a model or view with a single input of shape (None, 2), got {words}"
        return super().mismatch(model)

    def sample(self, context: SampleContext) -> Images:
        if self.extent is not None:
            steps = np.linspace(-self.extent, self.extent, self.size)
        else:
            steps = np.array([NormalDist().inv_cdf(q) for q in np.linspace(0.05, 0.95, self.size)])
        across, up = np.meshgrid(steps, steps[::-1])
        points = torch.from_numpy(np.stack([across.ravel(), up.ravel()], 1).astype(np.float32))
        (name,) = context.facts(self.view).inputs
        pixels = self.pixels(self.chosen(context.run(self.view, {name: points})))
        grid = pixels.reshape(self.size, self.size, *pixels.shape[1:])
        return Images(grid, f"decoded from {name}", across=steps.tolist(), down=steps[::-1].tolist())
