"""Every network of keras.applications, in every size, with and without its top, on several shapes of images."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import numpy as np

from benchmarks.keras_files.models import KerasModel, Made

_LEAST = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
"""Smallest side of an image where it is not 32."""
_IMAGES = 2


def models() -> Iterator[KerasModel]:
    """Yield each network with a top of 10 classes, without a top, and without a top on images that are not square."""
    for name in networks():
        side = _LEAST.get(name, 32)
        wide = (side, side + 32, 3)
        yield KerasModel(f"{name}, top", partial(make, name, (side, side, 3), include_top=True))
        yield KerasModel(f"{name}, no top", partial(make, name, (side, side, 3), include_top=False, pooling="avg"))
        yield KerasModel(f"{name}, no top, {wide[0]} x {wide[1]}", partial(make, name, wide, include_top=False))


def networks() -> list[str]:
    """Return the names of the functions in keras.applications that build a network."""
    found = (name for name in dir(keras.applications) if name[0].isupper())
    return [name for name in found if callable(getattr(keras.applications, name))]


def make(name: str, shape: tuple[int, int, int], **settings: Any) -> Made:
    """Return a network and images; vectors of weights are drawn, since zeros and ones would hide a mix-up."""
    if settings["include_top"]:
        settings |= {"classes": 10, "classifier_activation": None}
    model = getattr(keras.applications, name)(weights=None, input_shape=shape, **settings)
    generator = np.random.default_rng(2)
    for weight in model.weights:
        if len(weight.shape) == 1:
            mean = 1.0 if weight.path.endswith(("gamma", "variance")) else 0.0
            weight.assign(generator.normal(mean, 0.05, weight.shape).astype("float32"))
    images = generator.uniform(0, 255, (_IMAGES, *shape)).astype("float32")
    return Made(model, {model.inputs[0].name: images})
