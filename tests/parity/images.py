"""Test images, image operations outside a graph, and their random draws as arguments of Keras's layers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import TensorSpec
from kerascli.preprocessing.images.base import ImageOperation
from tests.support import layer_harness as harness

FIRST = {"data_format": "channels_first"}
UNIT = {"value_range": [0.0, 1.0]}


def images_for(config: dict[str, Any], count: int = 6, height: int = 7, width: int = 9) -> Tensor:
    """Return images with integers from 0 to 255, scaled to another range of values if given."""
    shape = (count, 3, height, width) if config.get("data_format") == "channels_first" else (count, height, width, 3)
    values = np.random.default_rng(3).integers(0, 256, shape).astype(np.float64)
    return torch.tensor(values / 255 if config.get("value_range") == [0.0, 1.0] else values)


def drawn_for(operation: ImageOperation, images: Tensor) -> tuple[Any, Tensor]:
    """Return what an operation draws for images, and the images as passed to it."""
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


Translate = Callable[[Any, Any, Tensor], Any]


def flat(x: Tensor) -> Tensor:
    return x.reshape(len(x))


DEGREE = float(np.float32(math.pi / 180))
"""A degree in radians as in Keras, whatever the precision of the rest."""


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
