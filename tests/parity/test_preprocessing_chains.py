"""Random chains of image operations equal Keras's, given the operations of each image."""

from typing import Any

import pytest
import torch
from torch import Tensor

from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageOperation
from kerascli.preprocessing.images.policies import RandAugment, augmentations
from tests.parity import ledger
from tests.parity.images import TRANSLATE, UNIT, drawn_for, flat, images_for, operation_of, ours
from tests.parity.layers import keras_layer
from tests.support import layer_harness as harness

pytestmark = pytest.mark.filterwarnings("ignore:Tensor.T is deprecated")  # in Keras's count of shades

AUGMENTED = [
    {"factor": 0.7},
    {"factor": [0.2, 0.4], "num_ops": 1, **UNIT},
    {"interpolation": "nearest"},
    {"factor": 0.3, "num_ops": 3},
]


def their_chain(theirs: Any, parts: list[ImageOperation], image: Tensor, x: Tensor, chain: Any, n: int) -> Tensor:
    """Return Keras's output for image n, given the operations it gets and their draws."""
    for index, numbers in chain:
        choice = int(index[n])
        if choice == len(parts):
            continue
        name = type(parts[choice]).__name__
        layer = getattr(theirs, SNAKE[name])
        image = layer.transform_images(image.clone(), TRANSLATE[name](layer, one(numbers[choice], n), x), training=True)
    return image


SNAKE = {operation.__name__: harness.parse(operation.__name__, dict(operation.uses[0])).component_name
         for operation in operations()}  # fmt: skip


def one(drawn: Any, n: int) -> Any:
    """Return the draws of sample n."""
    if isinstance(drawn, tuple):
        return tuple(one(part, n) for part in drawn)
    return None if drawn is None else drawn[n : n + 1]


@pytest.mark.parametrize("config", AUGMENTED)
def test_rand_augment_does_to_each_image_what_keras_does(config):
    images = 0.99 * images_for(config, count=16) + 0.0037  # no shade lies between two bins
    operation = operation_of("RandAugment", config)
    theirs = keras_layer("RandAugment", config)
    drawn, x = drawn_for(operation, images)
    parts = augmentations(RandAugment())
    expected = [their_chain(theirs, parts, images[n : n + 1], x[n : n + 1], drawn, n) for n in range(len(images))]
    assert len({int(i) for index, _ in drawn for i in flat(index)}) > 6
    compared = ledger.Comparison()
    compared.same(ours("RandAugment", config, images), torch.cat(expected))
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap, config=config)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_chains": 2, "alpha": 0.3, "chain_depth": 1, **UNIT},
        {"chain_depth": 2, "all_ops": False},
        {"factor": 0.9, "interpolation": "nearest"},
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
    ledger.note("layer", operation.component_name, ledger.describe(config), compared.gap, config=config)
