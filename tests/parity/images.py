"""Images, and operations on them outside of a graph."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerascli import draws
from kerascli.preprocessing.images.base import ImageOperation
from kerascli.shapes import TensorSpec
from tests import layer_harness as harness

FIRST = {"data_format": "channels_first"}
UNIT = {"value_range": [0.0, 1.0]}


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
