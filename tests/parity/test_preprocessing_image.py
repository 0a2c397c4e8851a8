"""Image operations equal Keras's, given the same random parameters; draws are tested separately."""

import keras
import pytest
import torch

from kerascli.preprocessing.images import operations
from tests.parity import ledger
from tests.parity.images import FIRST, TRANSLATE, UNIT, drawn_for, flat, images_for, operation_of, ours
from tests.parity.layers import keras_layer
from tests.support import layer_harness as harness

pytestmark = pytest.mark.filterwarnings("ignore:Tensor.T is deprecated")  # in Keras's count of shades

CASES = [
    ("RandomFlip", {}),
    ("RandomFlip", {"mode": "horizontal"}),
    ("RandomFlip", {"mode": "vertical"}),
    ("RandomFlip", {"mode": "vertical", **FIRST}),
    *[
        ("RandomTranslation", {"height_factor": 0.8, "width_factor": [-0.3, 0.7], "fill_mode": mode, **more})
        for mode in ("reflect", "wrap", "constant", "nearest")
        for more in ({}, {"interpolation": "nearest", "fill_value": 3.0})
    ],
    *[
        ("RandomRotation", {"factor": 0.5, "fill_mode": mode, **more})
        for mode in ("reflect", "wrap", "constant", "nearest")
        for more in ({}, {"interpolation": "nearest", "fill_value": 3.0})
    ],
    ("RandomTranslation", {"height_factor": 0.4, "width_factor": 0.3, **FIRST}),
    ("RandomRotation", {"factor": [0.1, 0.2], "fill_mode": "constant", "fill_value": 7.0, **FIRST}),
    *[
        ("RandomZoom", {"height_factor": [-0.5, 0.9], "fill_mode": mode, **more})
        for mode in ("reflect", "wrap", "constant", "nearest")
        for more in ({}, {"interpolation": "nearest", "width_factor": 0.3, "fill_value": 3.0})
    ],
    ("RandomZoom", {"height_factor": 0.4, **FIRST}),
    *[
        ("RandomShear", {"x_factor": 0.9, "y_factor": [0.2, 0.6], "fill_mode": mode, **more})
        for mode in ("reflect", "wrap", "constant", "nearest")
        for more in ({}, {"interpolation": "nearest", "fill_value": 3.0})
    ],
    ("RandomShear", {"y_factor": 0.4, **FIRST}),
    ("RandomPerspective", {}),
    ("RandomPerspective", {"factor": [1.0, 1.0], "scale": 0.4, "fill_value": 9.0}),
    ("RandomPerspective", {"factor": [1.0, 1.0], "scale": 0.7, "interpolation": "nearest"}),
    ("RandomPerspective", {"factor": [1.0, 1.0], **FIRST}),
    ("RandomBrightness", {"factor": 0.3}),
    ("RandomBrightness", {"factor": [-0.9, -0.2]}),
    ("RandomBrightness", {"factor": [0.2, 0.9], **UNIT}),
    ("RandomBrightness", {"factor": 1.0, **FIRST}),
    ("RandomContrast", {"factor": 0.3}),
    ("RandomContrast", {"factor": [0.2, 0.9]}),
    ("RandomContrast", {"factor": [0.2, 0.9], **UNIT}),
    ("RandomContrast", {"factor": 1.0, **FIRST}),
    ("RandomSaturation", {"factor": [0.2, 0.45]}),
    ("RandomSaturation", {"factor": 0.9}),
    ("RandomSaturation", {"factor": 0.9, **UNIT}),
    ("RandomSaturation", {"factor": [0.5, 0.8], **FIRST}),
    ("RandomHue", {"factor": 1.0}),
    ("RandomHue", {"factor": [0.2, 0.3]}),
    ("RandomHue", {"factor": 0.8, **UNIT}),
    ("RandomHue", {"factor": 0.8, **FIRST}),
    ("RandomColorDegeneration", {"factor": 1.0}),
    ("RandomColorDegeneration", {"factor": [0.3, 0.5]}),
    ("RandomColorDegeneration", {"factor": 0.8, **UNIT}),
    ("RandomColorDegeneration", {"factor": 0.8, **FIRST}),
    ("RandomGrayscale", {}),
    ("RandomGrayscale", {"factor": 0.0}),
    ("RandomGrayscale", {"factor": 1.0}),
    ("RandomGrayscale", {"factor": 0.7, **FIRST}),
    ("RandomPosterization", {"factor": 8}),
    ("RandomPosterization", {"factor": [2, 6]}),
    ("RandomPosterization", {"factor": [3, 3], **UNIT}),
    ("RandomPosterization", {"factor": 1, **FIRST}),
    ("RandomSharpness", {"factor": 1.0}),
    ("RandomSharpness", {"factor": [0.0, 0.4]}),
    ("RandomSharpness", {"factor": [0.6, 0.9], **UNIT}),
    ("RandomSharpness", {"factor": 1.0, **FIRST}),
    ("RandomInvert", {}),
    ("RandomInvert", {"factor": [1.0, 1.0]}),
    ("RandomInvert", {"factor": [0.5, 1.0], **UNIT}),
    ("RandomInvert", {"factor": [0.5, 1.0], **FIRST}),
    ("RandomErasing", {"factor": [1.0, 1.0]}),
    ("RandomErasing", {"scale": [0.3, 0.9], **UNIT}),
    ("RandomErasing", {"factor": [1.0, 1.0], "scale": 0.5, "fill_value": 40.0}),
    ("RandomErasing", {"factor": [1.0, 1.0], "scale": 1.0, "fill_value": [40.0, 50.0, 300.0]}),
    ("RandomErasing", {"factor": [1.0, 1.0], **FIRST}),
    ("Solarization", {}),
    ("Solarization", {"addition_factor": 0.5, "threshold_factor": [0.3, 0.6]}),
    ("Solarization", {"addition_factor": [0.1, 0.2], "threshold_factor": 0.8, **UNIT}),
    ("Solarization", {"threshold_factor": 0.8, **FIRST}),
]


@pytest.mark.parametrize(("name", "config"), CASES)
def test_the_same_parameters_give_the_same_images(name, config):
    images = images_for(config)
    operation = operation_of(name, config)
    theirs = keras_layer(name, config)
    drawn, x = drawn_for(operation, images)
    expected = theirs.transform_images(images.clone(), TRANSLATE[name](theirs, drawn, x), training=True)
    single = name in ("RandomZoom", "RandomHue")  # what Keras computes in float32
    compared = ledger.Comparison(atol=1e-3, rtol=1e-5) if single else ledger.Comparison()
    compared.same(ours(name, config, images), expected)
    ledger.note(
        "layer", operation.component_name, ledger.describe(config, tuple(images.shape)), compared.gap, config=config
    )


@pytest.mark.parametrize(
    "config",
    [
        {"factor": [1.0, 1.0]},
        {"factor": [0.4, 0.9], "kernel_size": 5, "sigma": [0.4, 0.9]},
        {"factor": [1.0, 1.0], "kernel_size": 7, "sigma": [1.0, 1.0], **UNIT},
        {"factor": [1.0, 1.0], "sigma": 0.7, **FIRST},
    ],
)
def test_blur_is_that_of_keras_image_by_image(config):
    images = images_for(config)
    operation, theirs = operation_of("RandomGaussianBlur", config), keras_layer("RandomGaussianBlur", config)
    (which, sigma), _ = drawn_for(operation, images)
    expected = [
        theirs.transform_images(
            images[n : n + 1], {"should_apply_blur": flat(which)[n : n + 1], "blur_factor": sigma[n]}, training=True
        )
        for n in range(len(images))
    ]
    compared = ledger.Comparison()
    compared.same(ours("RandomGaussianBlur", config, images), torch.cat(expected))
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap, config=config)


@pytest.mark.parametrize(
    "config",
    [
        {"factor": [1.0, 1.0]},
        {"factor": [1.0, 1.0], "scale": [0.6, 0.9], "fill_mode": "constant", "fill_value": 8.0},
        {"factor": [1.0, 1.0], "fill_mode": "mirror", "interpolation": "nearest"},
        {"factor": [1.0, 1.0], "scale": [1.0, 1.0], "fill_mode": "wrap"},
        {"factor": [0.3, 0.6], "fill_mode": "nearest", **FIRST},
        {"factor": [1.0, 1.0], "scale": [0.6, 0.9], **UNIT},
    ],
)
def test_elastic_transform_is_that_of_keras_image_by_image(config, monkeypatch):
    images = images_for(config, height=20, width=26)
    operation, theirs = operation_of("RandomElasticTransform", config), keras_layer("RandomElasticTransform", config)
    (which, strength, noise), _ = drawn_for(operation, images)
    expected = []
    for n in range(len(images)):
        numbers = iter(noise[n : n + 1].unbind(1))
        monkeypatch.setattr(torch, "normal", lambda *args, numbers=numbers, **more: next(numbers))
        chosen = {"apply_transform": flat(which)[n : n + 1], "distortion_factor": strength[n, 0], "seed": None}
        expected.append(theirs._transform_images(images[n : n + 1], chosen, theirs.interpolation))
    monkeypatch.undo()
    compared = ledger.Comparison()
    compared.same(ours("RandomElasticTransform", config, images), torch.cat(expected))
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap, config=config)


@pytest.mark.parametrize(
    "config",
    [
        {"brightness_factor": 0.3, "contrast_factor": [0.1, 0.4], "saturation_factor": [0.3, 0.6], "hue_factor": 0.7},
        {"contrast_factor": 0.2, "hue_factor": 0.3, **UNIT},
        {"brightness_factor": [0.1, 0.2], "saturation_factor": 0.4, **UNIT},
        {},
    ],
)
def test_colour_jitter_is_one_operation_after_the_other(config):
    images = images_for(config)
    operation = operation_of("RandomColorJitter", config)
    drawn, x = drawn_for(operation, images)
    theirs = keras_layer("RandomColorJitter", config)
    expected = images
    for part, numbers in zip(operation.parts(), drawn, strict=True):  # type: ignore[attr-defined]
        name = type(part).__name__
        layer = getattr(theirs, part.component_name or harness.parse(name, {"factor": 0.1}).component_name)
        layer = keras.layers.deserialize(keras.layers.serialize(layer))
        layer.dtype_policy = keras.DTypePolicy("float64")
        expected = layer.transform_images(expected.clone(), TRANSLATE[name](layer, numbers, x), training=True)
    compared = ledger.Comparison(atol=1e-3, rtol=1e-5)  # Keras's hue is float32
    compared.same(ours("RandomColorJitter", config, images), expected)
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap, config=config)


@pytest.mark.parametrize("name", [operation.__name__ for operation in operations()])
def test_channels_first_is_channels_last_moved(name):
    """Keras's auto contrast, for example, uses the wrong axes with channels first."""
    config = next(dict(operation.uses[0]) for operation in operations() if operation.__name__ == name)
    images = images_for({})
    got = ours(name, {**config, **FIRST}, images.movedim(-1, 1))
    torch.testing.assert_close(got.movedim(1, -1), ours(name, config, images), atol=1e-9, rtol=1e-9)
