"""Pooling layers: outputs and gradients equal Keras's."""

from functools import partial, reduce
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from tests.parity.layers import assert_same, mask_of
from tests.support import layer_harness as harness

SEQUENCES = [
    ({"pool_size": 2}, (2, 6, 3)),
    ({"pool_size": 2}, (2, 7, 3)),
    ({"pool_size": 3, "strides": 1}, (2, 7, 3)),
    ({"pool_size": 2, "strides": 3}, (2, 9, 3)),
    ({"pool_size": 3, "strides": 1, "padding": "same"}, (2, 7, 3)),
    ({"pool_size": 3, "strides": 2, "padding": "same"}, (2, 7, 3)),
    ({"pool_size": 2, "data_format": "channels_first"}, (2, 3, 7)),
    ({"pool_size": 3, "padding": "same", "data_format": "channels_first"}, (2, 3, 7)),
]
IMAGES = [
    ({"pool_size": 2}, (2, 6, 8, 3)),
    ({"pool_size": 2}, (2, 7, 9, 3)),
    ({"pool_size": [3, 2]}, (2, 7, 9, 3)),
    ({"pool_size": 3, "strides": 1}, (2, 7, 9, 3)),
    ({"pool_size": 3, "strides": 1, "padding": "same"}, (2, 7, 9, 3)),
    ({"pool_size": 3, "strides": 2, "padding": "same"}, (2, 7, 9, 3)),
    ({"pool_size": 2, "strides": 3, "padding": "same"}, (2, 6, 9, 3)),
    ({"pool_size": 2, "data_format": "channels_first"}, (2, 3, 6, 8)),
]
VOLUMES = [
    ({"pool_size": 2}, (2, 4, 5, 6, 2)),
    ({"pool_size": [1, 2, 3], "strides": [2, 1, 2]}, (2, 4, 5, 6, 2)),
    ({"pool_size": 3, "strides": 1, "padding": "same"}, (2, 4, 5, 6, 2)),
    ({"pool_size": 3, "strides": 2, "padding": "same"}, (2, 3, 5, 7, 2)),
    ({"pool_size": 2, "data_format": "channels_first"}, (2, 2, 4, 5, 6)),
]
# Padding that is not the same on both sides; of averages Keras on torch differs, see below.
UNEVEN = [
    ("MaxPooling1D", {"pool_size": 2, "strides": 1, "padding": "same"}, (2, 7, 3)),
    ("MaxPooling1D", {"pool_size": 4, "strides": 3, "padding": "same"}, (2, 8, 3)),
    ("MaxPooling2D", {"pool_size": [2, 3], "strides": [1, 2], "padding": "same"}, (2, 7, 8, 3)),
    ("MaxPooling3D", {"pool_size": 2, "padding": "same"}, (2, 4, 5, 7, 2)),
    ("MaxPooling3D", {"pool_size": [2, 3, 4], "strides": 1, "padding": "same"}, (2, 4, 5, 6, 2)),
]
POOLINGS = [
    (f"{kind}Pooling{rank}D", config, shape)
    for kind in ("Max", "Average")
    for rank, cases in enumerate((SEQUENCES, IMAGES, VOLUMES), 1)
    for config, shape in cases
]


@pytest.mark.parametrize(("name", "config", "shape"), [*POOLINGS, *UNEVEN])
def test_pooling(name, config, shape):
    assert_same(name, config, shape)


@pytest.mark.parametrize("kind", ["Average", "Max"])
@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 3, 4, 5), (2, 3, 4, 5, 2)])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_global_pooling(kind, shape, keepdims, data_format):
    assert_same(f"Global{kind}Pooling{len(shape) - 2}D", {"keepdims": keepdims, "data_format": data_format}, shape)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_masked_steps_do_not_count_in_the_mean(keepdims, data_format):
    shape = (3, 4, 5) if data_format == "channels_last" else (3, 5, 4)
    mask = mask_of("1101", "1111", "0100")
    assert_same("GlobalAveragePooling1D", {"keepdims": keepdims, "data_format": data_format}, shape, mask=mask)


@pytest.mark.parametrize("kind", ["Average", "Max"])
@pytest.mark.parametrize(
    ("output_size", "shape", "data_format"),
    [
        (4, (2, 8, 3), "channels_last"),
        (3, (2, 7, 3), "channels_last"),
        ([5], (2, 3, 4), "channels_first"),
        (1, (2, 3, 7), "channels_first"),
        (3, (2, 6, 9, 2), "channels_last"),
        ([2, 5], (2, 7, 8, 2), "channels_last"),
        ([1, 4], (2, 2, 5, 3), "channels_first"),
        (2, (2, 2, 7, 6), "channels_first"),
        (2, (2, 4, 5, 6, 2), "channels_last"),
        ([1, 4, 5], (2, 3, 4, 7, 2), "channels_last"),
        ([3, 2, 1], (2, 2, 4, 5, 6), "channels_first"),
        (3, (2, 2, 3, 3, 5), "channels_first"),
    ],
)
def test_adaptive_pooling(kind, output_size, shape, data_format):
    config = {"output_size": output_size, "data_format": data_format}
    assert_same(f"Adaptive{kind}Pooling{len(shape) - 2}D", config, shape)


class TestWhatKerasOnTorchCannotShow:
    """Keras's average pooling on torch repeats the border; on TensorFlow, as here, padding is not averaged."""

    @pytest.mark.parametrize(("size", "strides"), [(2, 1), (2, 2), (3, 2), (4, 3), (5, 4)])
    @pytest.mark.parametrize("sizes", [(5,), (6,), (7,), (5, 6), (7, 8), (4, 5, 6), (6, 7, 8)], ids=str)
    def test_average_pooling_with_uneven_padding_is_the_mean_of_what_is_there(self, size, strides, sizes):
        x = torch.randn(2, *sizes, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        config = {"pool_size": size, "strides": strides, "padding": "same"}
        layer = harness.parse(f"average_pooling_{len(sizes)}d", config)
        got = harness.make(layer, TensorSpec(tuple(x.shape[1:])))(x)
        # the mean over a box is the mean along one axis after the other
        expected = reduce(partial(self._averaged, size=size, strides=strides), range(1, len(sizes) + 1), x)
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)

    @staticmethod
    def _averaged(x: Tensor, axis: int, *, size: int, strides: int) -> Tensor:
        length = x.shape[axis]
        count = -(-length // strides)
        before = max(0, (count - 1) * strides + size - length) // 2
        starts = [i * strides - before for i in range(count)]
        kept = [range(max(0, start), min(length, start + size)) for start in starts]
        return torch.stack([x.index_select(axis, torch.tensor(list(r))).mean(axis) for r in kept], axis)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("max_pooling", {"padding": "same", "pool_size": 3}),
        ("average_pooling", {"padding": "same", "pool_size": 3}),
        ("max_pooling", {"padding": "same"}),
        ("average_pooling", {"padding": "same"}),
        ("adaptive_max_pooling", {"output_size": 3}),
        ("adaptive_average_pooling", {"output_size": 3}),
        ("global_max_pooling", {}),
        ("global_average_pooling", {}),
    ],
)
@pytest.mark.parametrize("sizes", [(9,), (9, 8), (5, 6, 7)], ids=str)
def test_the_kernels_for_float32_agree_with_those_for_float64(name: str, config: dict[str, Any], sizes) -> None:
    """On a CPU, float32 uses other kernels, and channels-last data others again."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, *sizes, 8)), dtype=torch.float32)
    module = harness.make(harness.parse(f"{name}_{len(sizes)}d", config), TensorSpec((*sizes, 8)))
    torch.testing.assert_close(module(x), module(x.double()).float(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["max_pooling_1d", "average_pooling_1d", "max_pooling_2d", "average_pooling_2d"])
def test_images_and_sequences_stay_in_channels_last_format(name: str) -> None:
    shape = (8, 4) if name.endswith("1d") else (8, 6, 4)
    assert harness.make(harness.parse(name), TensorSpec(shape))(torch.randn(2, *shape)).is_contiguous()
