"""Every network of keras.applications, in every size, with and without its top, on several shapes of images."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
from keras.src.applications.convnext import LayerScale
from keras.src.backend.common import dtypes

from benchmarks.keras_files.round_trip import KerasModel, Made

_LEAST = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
"""Smallest side of an image where it is not 32."""
_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "MobileNet": [{"alpha": 0.25}, {"depth_multiplier": 2}],
    "MobileNetV2": [{"alpha": 0.35}, {"alpha": 1.4}],
    "MobileNetV3Small": [{"alpha": 0.75}, {"minimalistic": True}, {"include_preprocessing": False}],
    "MobileNetV3Large": [{"alpha": 0.75}, {"minimalistic": True}],
    "EfficientNetV2B0": [{"include_preprocessing": False}],
    "ConvNeXtTiny": [{"include_preprocessing": False}],
}
"""Networks that take settings of their own."""
_IMAGES = 16
"""Number of images that the batch statistics are taken from, and that networks are compared on."""
LEAST_SPREAD = 0.1
"""Least relative difference between the outputs for different images; with less, equal outputs would show nothing."""


def models() -> Iterator[KerasModel]:
    """Yield each network with a top of 10 classes, and without it on squares, on wide images and on any size."""
    for name in networks():
        side = least_side(name)
        square, wide = (side, side, 3), (side, side + 32, 3)
        makers = {
            "top": partial(make, name, square, include_top=True),
            "no top": partial(make, name, square, pooling="avg"),
            f"no top, {wide[0]} x {wide[1]}": partial(make, name, wide),
            "no top, any size": partial(make, name, wide, any_size=True, pooling="max"),
        }
        for settings in _SETTINGS.get(name, ()):
            said = ", ".join(f"{key} {value}" for key, value in settings.items())
            makers[said] = partial(make, name, square, include_top=True, **settings)
        for case, maker in makers.items():
            exact = partial(in_float64, maker)
            yield KerasModel(f"{name}, {case}", maker, least_spread=LEAST_SPREAD, exact=exact)


def least_side(name: str) -> int:
    """Return the least height and width of images that Keras lets a network take."""
    return _LEAST.get(name, 32)


def networks() -> list[str]:
    """Return the names of the functions in keras.applications that build a network."""
    found = (name for name in dir(keras.applications) if name[0].isupper())
    return [name for name in found if callable(getattr(keras.applications, name))]


def make(
    name: str,
    shape: tuple[int, int, int],
    *,
    include_top: bool = False,
    any_size: bool = False,
    build: Callable[..., Any] | None = None,
    **settings: Any,
) -> Made:
    """Return a network whose outputs depend on the image, and images of the shape; `build` makes it if given."""
    if include_top:
        settings |= {"classes": 10, "classifier_activation": None}
    keras.utils.set_random_seed(2)
    given = (None, None, shape[2]) if any_size else shape
    model = (build or getattr(keras.applications, name))(
        weights=None, include_top=include_top, input_shape=given, **settings
    )
    generator = np.random.default_rng(2)
    pictures = images(generator, _IMAGES, shape)
    draw_weights(model, pictures, generator)
    return Made(model, {model.inputs[0].name: pictures})


def in_float64(maker: Callable[[], Made], made: Made, *, drawn: str | None = None) -> Any:
    """Return the model again with the same weights, computing in float64.

    Weights whose path begins with `drawn` are as they were drawn, not rounded to float32. Keras on torch casts float64
    to float32 in normalizations, unlike on TensorFlow: what does so is changed, for the rest of the process.
    """
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model = maker().model
    for weight, value in zip(model.weights, made.model.get_weights(), strict=True):
        if drawn is None or not weight.path.startswith(drawn):
            weight.assign(value)
    return model


def images(generator: np.random.Generator, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return images of large patches and some noise, each with a brightness of its own, from 0 to 255.

    Images of noise alone look the same to a network that takes means over an area.
    """
    height, width, channels = shape
    patches = generator.uniform(0, 1, (count, 4, 4, channels))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    found = 0.8 * patches[:, rows][:, :, columns] + 0.2 * generator.uniform(0, 1, (count, *shape))
    brightness = np.linspace(0.4, 1, count).reshape(-1, 1, 1, 1)
    return (255 * brightness * found).astype("float32")


def draw_weights(model: Any, pictures: np.ndarray, generator: np.random.Generator) -> None:
    """Draw biases and factors, and give the batch normalizations the statistics of the images.

    Zeros and ones would hide a mix-up. With statistics that are not those of the data, the signal of the image dies
    out in a deep network: its output would be the same for every image, and that of a wrong network, too.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if not layer._layers]
    normalizations = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.weights[0].assign([0.485, 0.456, 0.406])  # as learned from ImageNet
            layer.weights[1].assign([0.229**2, 0.224**2, 0.225**2])
            continue
        for weight in layer.weights:
            if len(weight.shape) == 1:
                one = weight.name in {"gamma", "variance", "moving_variance"} or isinstance(layer, LayerScale)
                weight.assign(generator.normal(float(one), 0.05, weight.shape).astype("float32"))
            elif not normalizations:
                weight.assign(weight * 2**0.5)  # He's scale, from Glorot's: relu halves the second moment
    _take_statistics(
        model, normalizations, [layer for layer in layers if isinstance(layer, keras.layers.Dropout)], pictures
    )


def _take_statistics(model: Any, normalizations: list[Any], dropouts: list[Any], pictures: np.ndarray) -> None:
    """Run one batch in training mode without dropout, whose statistics replace those that there are."""
    momenta, rates = [layer.momentum for layer in normalizations], [layer.rate for layer in dropouts]
    for layer in normalizations:
        layer.momentum = 0.0
    for layer in dropouts:
        layer.rate = 0.0
    model(pictures, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum
    for layer, rate in zip(dropouts, rates, strict=True):
        layer.rate = rate
