"""Operations on images do what Keras's do, given the same random parameters; what is drawn is tested on its own."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageOperation
from kerascli.preprocessing.images.rand_augment import augmentations
from tests import layer_harness as harness
from tests.parity import ledger
from tests.parity.images import FIRST, UNIT, drawn_for, images_for, operation_of, ours
from tests.parity.layers import keras_layer

pytestmark = pytest.mark.filterwarnings("ignore:Tensor.T is deprecated")  # in Keras's count of shades

Translate = Callable[[Any, Any, Tensor], Any]


def flat(x: Tensor) -> Tensor:
    return x.reshape(len(x))


DEGREE = float(np.float32(math.pi / 180))
"""As Keras has it, in whatever precision it computes the rest."""


def _rotation(theirs: Any, angle: Tensor, x: Tensor) -> Any:
    zero = torch.zeros_like(flat(angle))
    matrix = theirs._compute_affine_matrix(
        center_x=0.5, center_y=0.5, angle=flat(angle) / DEGREE, translate_x=zero, translate_y=zero, scale=zero + 1,
        shear_x=zero, shear_y=zero, height=x.shape[-2], width=x.shape[-1],
    )  # fmt: skip
    return {"rotation_matrix": matrix}


def _perspective(theirs: Any, drawn: Any, x: Tensor) -> Any:
    right, bottom = x.shape[-1] - 1, x.shape[-2] - 1
    corners = torch.tensor([[0, 0], [right, 0], [0, bottom], [right, bottom]], dtype=x.dtype).expand(len(x), -1, -1)
    return {
        "apply_perspective": flat(drawn[0]), "start_points": corners, "end_points": corners + corners * drawn[1],
        "input_shape": x.shape,
    }  # fmt: skip


def _erasing(theirs: Any, drawn: Any, x: Tensor) -> Any:
    which, parts, starts, noise = drawn
    lengths = parts * torch.tensor(x.shape[-2:])
    first = starts * (torch.tensor(x.shape[-2:]) - lengths)
    (y0, x0), (y1, x1) = first.unbind(1), (first + lengths).unbind(1)
    images = x.movedim(1, -1) if theirs.data_format == "channels_last" else x
    if noise is None:
        fill = theirs._get_fill_value(images, images.shape, None)
    else:
        noise = noise.movedim(1, -1) if theirs.data_format == "channels_last" else noise
        fill = (noise * theirs.value_range[1]).clip(*theirs.value_range)
    masks = theirs._generate_batch_mask(images.shape, (x0, x1, y0, y1))
    return {"apply_erasing": flat(which), "batch_masks": masks, "fill_value": fill}


def _bits(drawn: Tensor) -> Tensor:
    return flat(drawn).log2().round().to(torch.uint8)


TRANSLATE: dict[str, Translate] = {
    "RandomFlip": lambda theirs, drawn, x: {"flips": drawn},
    "RandomTranslation": lambda theirs, drawn, x: {"translations": torch.stack([flat(drawn[1]), flat(drawn[0])], 1)},
    "RandomRotation": _rotation,
    "RandomZoom": lambda theirs, drawn, x: {"height_zoom": drawn[0][:, 0], "width_zoom": drawn[1][:, 0]},
    "RandomShear": lambda theirs, drawn, x: {"shear_factor": torch.stack([flat(drawn[0]), flat(drawn[1])], 1)},
    "RandomPerspective": _perspective,
    "RandomBrightness": lambda theirs, drawn, x: {"rgb_delta": drawn},
    "RandomContrast": lambda theirs, drawn, x: {"contrast_factor": drawn},
    "RandomSaturation": lambda theirs, drawn, x: {"factor": flat(drawn)},
    "RandomHue": lambda theirs, drawn, x: {"factor": flat(drawn)},
    "RandomColorDegeneration": lambda theirs, drawn, x: {"factor": drawn},
    "RandomGrayscale": lambda theirs, drawn, x: drawn,
    "RandomPosterization": lambda theirs, drawn, x: {"shift_factor": _bits(drawn)},
    "RandomSharpness": lambda theirs, drawn, x: {"factor": flat(drawn) / 2},
    "RandomInvert": lambda theirs, drawn, x: {"apply_inversion": flat(drawn)},
    "RandomErasing": _erasing,
    "Solarization": lambda theirs, drawn, x: {"additions": drawn[0], "thresholds": drawn[1]},
    "AutoContrast": lambda theirs, drawn, x: None,
    "Equalization": lambda theirs, drawn, x: None,
}

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
    ledger.note("layer", operation.component_name, ledger.describe(config, tuple(images.shape)), compared.gap)


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
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap)


@pytest.mark.parametrize(
    "config",
    [
        {"factor": [1.0, 1.0]},
        {"factor": [1.0, 1.0], "scale": [0.6, 0.9], "fill_mode": "constant", "fill_value": 8.0},
        {"factor": [1.0, 1.0], "fill_mode": "mirror", "interpolation": "nearest"},
        {"factor": [1.0, 1.0], "scale": [1.0, 1.0], "fill_mode": "wrap"},
        {"factor": [0.3, 0.6], "fill_mode": "nearest", **FIRST},
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
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap)


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
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap)


AUGMENTED = [
    {"factor": 0.7},
    {"factor": [0.2, 0.4], "num_ops": 1, **UNIT},
    {"interpolation": "nearest"},
    {"factor": 0.3, "num_ops": 3},
]


def their_chain(theirs: Any, parts: list[ImageOperation], image: Tensor, x: Tensor, chain: Any, n: int) -> Tensor:
    """What Keras's own layers make of image n, given which operations it goes through and what they have drawn."""
    for index, numbers in chain:
        choice = int(index[n])
        if choice == len(parts):
            continue
        name = type(parts[choice]).__name__
        layer = getattr(theirs, SNAKE[name])
        image = layer.transform_images(image.clone(), TRANSLATE[name](layer, one(numbers[choice], n), x), training=True)
    return image


SNAKE = {operation.__name__: harness.parse(operation.__name__, dict(operation.uses[0].config)).component_name
         for operation in operations()}  # fmt: skip


def one(drawn: Any, n: int) -> Any:
    """What was drawn for sample n alone."""
    if isinstance(drawn, tuple):
        return tuple(one(part, n) for part in drawn)
    return None if drawn is None else drawn[n : n + 1]


@pytest.mark.parametrize("config", AUGMENTED)
def test_rand_augment_does_to_each_image_what_keras_does(config):
    images = 0.99 * images_for(config, count=16) + 0.0037  # no shade lies between two bins
    operation = operation_of("RandAugment", config)
    theirs = keras_layer("RandAugment", config)
    drawn, x = drawn_for(operation, images)
    parts = augmentations((0, 0.5), (0, 255), "bilinear")
    expected = [their_chain(theirs, parts, images[n : n + 1], x[n : n + 1], drawn, n) for n in range(len(images))]
    assert len({int(i) for index, _ in drawn for i in flat(index)}) > 6
    compared = ledger.Comparison()
    compared.same(ours("RandAugment", config, images), torch.cat(expected))
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_chains": 2, "alpha": 0.3, "chain_depth": 1, **UNIT},
        {"chain_depth": 2, "all_ops": False},
        {"factor": 0.9},
    ],
)
def test_aug_mix_mixes_what_keras_layers_make_of_an_image(config):
    images = 0.99 * images_for(config, count=4) + 0.0037
    operation = operation_of("AugMix", config)
    theirs = keras_layer("AugMix", config)
    (versions, weight, chains), x = drawn_for(operation, images)
    parts = operation.parts()  # type: ignore[attr-defined]
    expected = []
    for n in range(len(images)):
        image = images[n : n + 1]
        mixed = [their_chain(theirs, parts, image, x[n : n + 1], chain, n) for chain in chains]
        total = sum(w * version for w, version in zip(versions[n], mixed, strict=True))
        expected.append((weight[n] * image + (1 - weight[n]) * total).clip(*theirs.value_range))
    compared = ledger.Comparison()
    compared.same(ours("AugMix", config, images), torch.cat(expected))
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap)


@pytest.mark.parametrize("name", sorted(SNAKE))
def test_channels_first_is_channels_last_moved(name):
    """Keras's auto contrast, for one, looks along the wrong axes then."""
    config = next(dict(operation.uses[0].config) for operation in operations() if operation.__name__ == name)
    images = images_for({})
    got = ours(name, {**config, **FIRST}, images.movedim(-1, 1))
    torch.testing.assert_close(got.movedim(1, -1), ours(name, config, images), atol=1e-9, rtol=1e-9)
