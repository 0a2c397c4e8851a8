"""Operations on images do what Keras's do, given the same random parameters; what is drawn is tested on its own."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.torch import nn, numpy
from torch import Tensor

from kerascli import draws
from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageOperation
from kerascli.preprocessing.images.rand_augment import augmentations
from kerascli.preprocessing.images.resizing import Resizing
from kerascli.shapes import TensorSpec
from tests import layer_harness as harness
from tests.parity import ledger
from tests.parity.layers import assert_same, keras_layer

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

FIRST = {"data_format": "channels_first"}
UNIT = {"value_range": [0.0, 1.0]}
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


def images_for(config: dict[str, Any], count: int = 6, height: int = 7, width: int = 9) -> Tensor:
    """Whole numbers from 0 to 255, or what is left of them in another range of values."""
    shape = (count, 3, height, width) if config.get("data_format") == "channels_first" else (count, height, width, 3)
    values = np.random.default_rng(3).integers(0, 256, shape).astype(np.float64)
    return torch.tensor(values / 255 if config.get("value_range") == [0.0, 1.0] else values)


def drawn_for(operation: ImageOperation, images: Tensor) -> tuple[Any, Tensor]:
    """What the module of an operation draws for images, and the images as it sees them."""
    x = images.movedim(-1, 1) if operation.data_format == "channels_last" else images
    with draws.using(draws.Draws(0, "test", 0)):
        return operation.draw(x), x


def ours(name: str, config: dict[str, Any], images: Tensor, training: bool = True) -> Tensor:
    module = harness.make(harness.parse(name, config), TensorSpec(tuple(images.shape[1:]), "float64"))
    return harness.call(module.train(training), images)


def operation_of(name: str, config: dict[str, Any]) -> ImageOperation:
    operation = harness.parse(name, config)
    assert isinstance(operation, ImageOperation)
    return operation


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


RESIZINGS = [
    {"height": 5, "width": 4},
    {"height": 15, "width": 14, "interpolation": "nearest"},
    {"height": 5, "width": 14, "interpolation": "bicubic"},
    {"height": 4, "width": 4, "antialias": True},
    {"height": 4, "width": 4, "interpolation": "bicubic", "antialias": True},
    {"height": 4, "width": 4, "interpolation": "nearest", "antialias": True},
    {"height": 8, "width": 3, "crop_to_aspect_ratio": True},
    {"height": 3, "width": 8, "crop_to_aspect_ratio": True, "interpolation": "nearest"},
    {"height": 8, "width": 3, "pad_to_aspect_ratio": True, "fill_value": 4.0},
    {"height": 3, "width": 8, "pad_to_aspect_ratio": True, "antialias": True},
    {"height": 5, "width": 4, **FIRST},
]


@pytest.mark.parametrize("config", RESIZINGS)
def test_resizing(config):
    shape = (2, 3, 7, 9) if "data_format" in config else (2, 7, 9, 3)
    assert_same("Resizing", config, shape)


@pytest.mark.parametrize("config", RESIZINGS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_resizing_keeps_whole_numbers(config, dtype):
    shape = (2, 3, 7, 9) if "data_format" in config else (2, 7, 9, 3)
    x = torch.tensor(np.random.default_rng(0).integers(0, 256, shape)).to(dtype)
    expected: Any = keras_layer("Resizing", config)(x)
    got = ours("Resizing", config, x)
    assert got.dtype == expected.dtype == dtype
    assert torch.equal(got, expected)


@pytest.mark.parametrize("interpolation", ["lanczos3", "lanczos5"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(5, 4), (12, 17), (7, 9)])
def test_resizing_by_lanczos_is_keras_scale_and_translate(interpolation, antialias, size):
    """Keras's resizing has no lanczos on torch; its scale_and_translate has."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 7, 9, 3)))
    scale = torch.tensor([size[0] / 7, size[1] / 9], dtype=torch.float64)
    expected = keras.ops.image.scale_and_translate(
        x, (2, *size, 3), scale, torch.zeros(2, dtype=torch.float64), (1, 2), interpolation, antialias=antialias
    )
    config = {"height": size[0], "width": size[1], "interpolation": interpolation, "antialias": antialias}
    torch.testing.assert_close(ours("Resizing", config, x), expected, atol=1e-9, rtol=1e-9)


def test_resizing_cannot_crop_and_pad():
    with pytest.raises(ValueError, match="exclude each other"):
        Resizing(height=2, width=2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"height": 4, "width": 5}, (2, 7, 9, 3)),
        ({"height": 7, "width": 9}, (2, 7, 9, 3)),
        ({"height": 3, "width": 4, **FIRST}, (2, 3, 8, 9)),
        ({"height": 8, "width": 5}, (2, 7, 9, 3)),
        ({"height": 12, "width": 20}, (2, 7, 9, 3)),
        ({"height": 4, "width": 20, **FIRST}, (2, 3, 7, 9)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_center_crop(config, shape, training):
    assert_same("CenterCrop", config, shape, training=training)


@pytest.mark.parametrize("config", [{"height": 4, "width": 5}, {"height": 8, "width": 20}, {"height": 4, "width": 12}])
def test_random_crop_rests_as_keras_documents_it(config):
    """At inference, and of what is too small, the largest window of the right aspect ratio, resized."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 7, 9, 3)))
    size = (config["height"], config["width"])
    expected = keras.preprocessing.image.smart_resize(x, size)
    module = harness.make(harness.parse("random_crop", config), TensorSpec((7, 9, 3)))
    for training in (False, True):
        if training and size < (7, 9) and size[1] < 9:
            continue
        torch.testing.assert_close(harness.call(module.train(training), x), expected, atol=1e-9, rtol=1e-9)
    ledger.note("layer", "random_crop", ledger.describe(config))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_random_crop_cuts_each_image_elsewhere(data_format):
    """Every crop is a window of its own image; all windows come up."""
    config = {"height": 4, "width": 5, "data_format": data_format}
    x = torch.arange(6 * 7 * 3, dtype=torch.float64).view(1, 6, 7, 3).expand(400, -1, -1, -1)
    windows = [x[0, i : i + 4, j : j + 5].tolist() for i in range(3) for j in range(3)]
    images = x if data_format == "channels_last" else x.movedim(-1, 1)
    got = ours("RandomCrop", config, images)
    got = got if data_format == "channels_last" else got.movedim(1, -1)
    found = [windows.index(crop.tolist()) for crop in got]
    assert np.bincount(found, minlength=9).min() > 400 / 9 - 5 * (400 / 9) ** 0.5


@pytest.mark.parametrize(
    "config", [{}, {"value_range": [0.0, 1.0]}, {"bins": 16}, {"value_range": [-1.0, 1.0], "bins": 7}, FIRST]
)
def test_equalization_is_that_of_keras_image_by_image(config):
    images = images_for(config)
    images[0] = images[0] * 0 + 0.25  # one shade stays
    if config.get("value_range") == [-1.0, 1.0]:
        images = images / 127.5 - 1
    theirs = keras_layer("Equalization", config)
    expected = [theirs.transform_images(image, None, training=True) for image in images]
    compared = ledger.Comparison()
    compared.same(ours("Equalization", config, images), torch.stack(expected))
    ledger.note("layer", "equalization", ledger.describe(config), compared.gap)


@pytest.mark.parametrize("config", [{}, UNIT, {"value_range": [0.0, 300.0]}, {"value_range": [-1.0, 4.0]}])
@pytest.mark.parametrize("training", [True, False])
def test_auto_contrast(config, training):
    images = images_for(config)
    images[0, ..., 1] = 0.5
    expected = keras_layer("AutoContrast", config)(images, training=training)
    compared = ledger.Comparison()
    compared.same(ours("AutoContrast", config, images, training), expected)
    ledger.note("layer", "auto_contrast", ledger.describe(config, training=training), compared.gap)


@pytest.mark.parametrize("name", sorted(SNAKE))
def test_channels_first_is_channels_last_moved(name):
    """Keras's auto contrast, for one, looks along the wrong axes then."""
    config = next(dict(operation.uses[0].config) for operation in operations() if operation.__name__ == name)
    images = images_for({})
    got = ours(name, {**config, **FIRST}, images.movedim(-1, 1))
    torch.testing.assert_close(got.movedim(1, -1), ours(name, config, images), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    "config",
    [
        {"tile_grid_size": [2, 3]},
        {"tile_grid_size": [8, 8]},
        {"tile_grid_size": 2, "clip_limit": 0.0},
        {"tile_grid_size": [3, 2], "clip_limit": 1.5, **UNIT},
        {"tile_grid_size": [2, 2], **FIRST},
    ],
)
@pytest.mark.parametrize("size", [(16, 18), (13, 11)])
def test_adaptive_equalization(config, size, monkeypatch):
    """Keras computes in float32. Where its torch differs from its TensorFlow we are with the latter: a limit on counts
    may have a fraction, and images are reflected beyond their border."""
    one_hot = nn.one_hot
    monkeypatch.setattr(nn, "one_hot", lambda x, count: one_hot(x, count, dtype="float32"))
    monkeypatch.setattr(numpy, "pad", lambda x, width, mode: torch.tensor(np.pad(x.numpy(), width, mode)))
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    images = images_for(config, 2, *size).float()
    written = {
        key: (value, value) if key == "tile_grid_size" and value == 2 else value for key, value in config.items()
    }
    expected = keras_layer(name, written).transform_images(images)
    compared = ledger.Comparison(atol=1e-3, rtol=1e-5)
    compared.same(ours(name, config, images), expected)
    ledger.note("layer", harness.parse(name).component_name, ledger.describe(config), compared.gap)
