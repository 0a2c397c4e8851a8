"""Reconstructions: held-out images, and below each what the model makes of it."""

import numpy as np

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Images, ModelFacts, ShowsImages, Studio, image_shape
from kerascli.shapes import PositiveInt, show_shape


@callback()
class Reconstructions(ShowsImages):
    """Held-out images in the upper row, the model's output for each below it; `value_range` is that of both."""

    count: PositiveInt = 10
    """How many images."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        found = super().misfit(model)
        if found is not None:
            return found
        if not model.reads_data:
            return "view", "a view with inputs of its own is given no images of the data"
        shape = next(iter(model.inputs.values())).shape
        if image_shape(shape, None if len(shape) > 1 else self.image_shape) is None:
            return "view", f"the model's first input is no image: {show_shape(shape)}"
        return None

    def sample(self, studio: Studio) -> Images:
        rows = studio.rows(self.count)
        names = list(studio.facts(self.view).inputs)
        given = self.pixels(rows.inputs[names[0]])
        made = self.pixels(self.chosen(studio.run(self.view, {name: rows.inputs[name] for name in names})))
        channels = max(given.shape[-1], made.shape[-1])
        pair = [np.repeat(each, channels, -1) if each.shape[-1] < channels else each for each in (given, made)]
        if pair[0].shape != pair[1].shape:  # an image that comes out larger is compared with the one enlarged
            factor = pair[1].shape[1] // pair[0].shape[1]
            pair[0] = pair[0].repeat(factor, 1).repeat(factor, 2)[:, : pair[1].shape[1], : pair[1].shape[2]]
        return Images(np.stack(pair), "held-out images, and what is made of them", ("input", "output"))
