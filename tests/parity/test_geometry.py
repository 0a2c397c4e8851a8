"""Padding, cropping and up-sampling: outputs and gradients equal Keras's."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
from typing import Any

import keras
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS, ShapeMismatch
from tests.parity.layers import assert_same
from tests.support import layer_harness as harness

FIRST = {"data_format": "channels_first"}


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("ZeroPadding1D", {}, (2, 5, 3)),
        ("ZeroPadding1D", {"padding": 0}, (2, 5, 3)),
        ("ZeroPadding1D", {"padding": [2, 0]}, (2, 5, 3)),
        ("ZeroPadding1D", {"padding": [1, 3], **FIRST}, (2, 3, 5)),
        ("ZeroPadding2D", {}, (2, 4, 5, 3)),
        ("ZeroPadding2D", {"padding": 2}, (2, 4, 5, 3)),
        ("ZeroPadding2D", {"padding": [0, 3]}, (2, 4, 5, 3)),
        ("ZeroPadding2D", {"padding": [[2, 0], [1, 4]]}, (2, 4, 5, 3)),
        ("ZeroPadding2D", {"padding": [1, [0, 2]], **FIRST}, (2, 3, 4, 5)),
        ("ZeroPadding3D", {}, (2, 2, 3, 4, 2)),
        ("ZeroPadding3D", {"padding": 2}, (2, 2, 3, 4, 2)),
        ("ZeroPadding3D", {"padding": [0, 1, 2]}, (2, 2, 3, 4, 2)),
        ("ZeroPadding3D", {"padding": [[2, 0], [1, 4], [0, 3]], **FIRST}, (2, 2, 2, 3, 4)),
        ("Cropping1D", {}, (2, 5, 3)),
        ("Cropping1D", {"cropping": 2}, (2, 5, 3)),
        ("Cropping1D", {"cropping": [0, 3]}, (2, 5, 3)),
        ("Cropping1D", {"cropping": [4, 0]}, (2, 5, 3)),
        ("Cropping2D", {}, (2, 4, 5, 3)),
        ("Cropping2D", {"cropping": 1}, (2, 4, 5, 3)),
        ("Cropping2D", {"cropping": [1, 2]}, (2, 4, 5, 3)),
        ("Cropping2D", {"cropping": [[3, 0], [0, 2]]}, (2, 4, 5, 3)),
        ("Cropping2D", {"cropping": [[0, 1], [2, 0]], **FIRST}, (2, 3, 4, 5)),
        ("Cropping3D", {}, (2, 3, 4, 5, 2)),
        ("Cropping3D", {"cropping": [0, 1, 2]}, (2, 3, 4, 5, 2)),
        ("Cropping3D", {"cropping": [[2, 0], [0, 3], [1, 2]]}, (2, 3, 4, 5, 2)),
        ("Cropping3D", {"cropping": 1, **FIRST}, (2, 2, 3, 4, 5)),
        ("UpSampling1D", {}, (2, 4, 3)),
        ("UpSampling1D", {"size": 1}, (2, 4, 3)),
        ("UpSampling1D", {"size": 3}, (2, 4, 3)),
        ("UpSampling1D", {"size": 5}, (2, 1, 3)),
        ("UpSampling2D", {}, (2, 3, 4, 2)),
        ("UpSampling2D", {"size": [3, 1]}, (2, 3, 4, 2)),
        ("UpSampling2D", {"size": [2, 3], **FIRST}, (2, 2, 3, 4)),
        ("UpSampling2D", {"interpolation": "bilinear"}, (2, 3, 4, 2)),
        ("UpSampling2D", {"size": [3, 5], "interpolation": "bilinear"}, (2, 7, 4, 2)),
        ("UpSampling2D", {"size": 4, "interpolation": "bilinear", **FIRST}, (2, 2, 3, 4)),
        ("UpSampling3D", {}, (2, 2, 3, 4, 2)),
        ("UpSampling3D", {"size": [1, 2, 3]}, (2, 2, 3, 4, 2)),
        ("UpSampling3D", {"size": 3}, (2, 1, 2, 3, 2)),
        ("UpSampling3D", {"size": [3, 1, 2], **FIRST}, (2, 2, 2, 3, 4)),
    ],
)
def test_geometry(name, config, shape):
    assert_same(name, config, shape)


class Smooth(keras.layers.Layer):
    """Keras's interpolations as documented in keras.ops.image for every backend.

    `resize` on torch has no lanczos, and torch's own bicubic, which is not that of TensorFlow and JAX.
    """

    def __init__(self, size: tuple[int, int], method: str) -> None:
        super().__init__(dtype="float64")
        self.size = size
        self.method = method

    def call(self, x: Any) -> Any:
        shape = (x.shape[0], x.shape[1] * self.size[0], x.shape[2] * self.size[1], x.shape[3])
        scale = torch.tensor(self.size, dtype=torch.float64)
        return keras.ops.image.scale_and_translate(
            x, shape, scale, torch.zeros_like(scale), (1, 2), self.method, antialias=False
        )


@pytest.mark.parametrize(("interpolation", "method"), [("bicubic", "cubic"), ("lanczos3",) * 2, ("lanczos5",) * 2])
@pytest.mark.parametrize(("size", "shape"), [((2, 2), (2, 8, 9, 3)), ((3, 1), (2, 5, 4, 2)), ((4, 5), (1, 1, 3, 2))])
def test_smooth_interpolation(interpolation, method, size, shape):
    config = {"size": list(size), "interpolation": interpolation}
    assert_same("UpSampling2D", config, shape, theirs=Smooth(size, method))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_channels_first_is_channels_last_with_the_axes_moved(interpolation):
    x = torch.randn(2, 5, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    config = {"size": [2, 3], "interpolation": interpolation}
    last = harness.make(harness.parse("up_sampling_2d", config), TensorSpec((5, 6, 3)))
    first = harness.make(harness.parse("up_sampling_2d", {**config, **FIRST}), TensorSpec((3, 5, 6)))
    torch.testing.assert_close(first(x.movedim(-1, 1)), last(x).movedim(-1, 1), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_interpolation_in_float32_agrees_with_that_in_float64(interpolation):
    x = torch.randn(2, 9, 8, 3, generator=torch.Generator().manual_seed(0))
    config = {"size": [3, 7], "interpolation": interpolation}
    module = harness.make(harness.parse("up_sampling_2d", config), TensorSpec((9, 8, 3)))
    torch.testing.assert_close(module(x), module(x.double()).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["zero_padding_1d", "cropping_1d"])
def test_integers_stay_integers(name):
    x = torch.arange(12).reshape(1, 6, 2)
    assert harness.make(harness.parse(name), TensorSpec((6, 2), "int64"))(x).dtype == torch.int64


FAMILIES = (".convolutional.", ".pooling.", ".reshaping.cropping", ".reshaping.zero_padding", ".reshaping.up_sampling")
EXPORTED = [(name, cls) for name, cls in sorted(vars(keras.layers).items()) if any(f in str(cls) for f in FAMILIES)]


@pytest.mark.parametrize(("name", "theirs"), EXPORTED, ids=[name for name, _ in EXPORTED])
def test_every_name_of_keras_is_a_layer_with_keras_s_arguments_in_keras_s_order(name, theirs):
    ours = LAYERS.find(name)
    assert ours is not None
    given = {k: p.default for k, p in inspect.signature(theirs).parameters.items() if k not in {"name", "kwargs"}}
    of_base = {"trainable", "lora_rank", "lora_alpha"} - given.keys()  # Keras takes them by its class of all layers
    fields = [field for field in ours.model_fields if field not in of_base]
    if name.startswith("Con") and name.endswith("3DTranspose"):  # the only one that has these two the other way round
        assert sorted(fields) == sorted(given)
    else:
        assert fields == list(given)
    required = [field for field in fields if ours.model_fields[field].is_required()]
    wanted = [field for field, default in given.items() if default is inspect.Parameter.empty]
    assert set(required) == set(wanted) - {"pool_size"}  # that of averages is optional with Keras 2 and R


@pytest.mark.parametrize(
    ("name", "config", "shape", "text"),
    [
        ("cropping_1d", {"cropping": [2, 3]}, (5, 3), "input is 5, cutting off 2 and 3 leaves nothing"),
        (
            "cropping_2d",
            {"cropping": [1, [0, 4]]},
            (None, 4, 3),
            "input is ? x 4, cutting off 1 and 1, 0 and 4 leaves nothing",
        ),
        ("zero_padding_2d", {}, (4, 5), "needs images (height, width, channels), got (None, 4, 5)"),
        ("up_sampling_1d", {}, (4,), "needs sequences (steps, channels), got (None, 4)"),
    ],
)
def test_what_does_not_fit_is_reported(name, config, shape, text):
    with pytest.raises(ShapeMismatch) as caught:
        harness.make(harness.parse(name, config), TensorSpec(shape))
    assert caught.value.fault.text == text


@pytest.mark.parametrize(
    ("name", "config", "texts"),
    [
        ("zero_padding_1d", {"padding": -1}, ["padding: must be at least 0, got -1"]),
        ("zero_padding_2d", {"padding": [1, -2]}, ["padding[1]: must be at least 0, got -2"]),
        ("zero_padding_2d", {"padding": [1, 2, 3]}, ["padding: expected 2 values, got 3"]),
        ("cropping_3d", {"cropping": [1, [2], 3]}, ["cropping[1]: expected 2 values, got 1"]),
        ("cropping_1d", {"cropping": "2"}, ["cropping: expected a list, got the text '2'"]),
        (
            "up_sampling_2d",
            {"interpolation": "bicubc"},
            [
                "interpolation: expected nearest, bilinear, bicubic, lanczos3 or lanczos5, got the text 'bicubc'; "
                "did you mean 'bicubic'?"
            ],
        ),
        (
            "conv_1d_transpose",
            {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 2},
            ["output_padding must be less than strides on every axis, got [2] and [2]"],
        ),
        (
            "locally_connected_1d",
            {"filters": 2, "kernel_size": 3, "implementation": 2},
            ["implementation: expected 1, got 2"],
        ),
    ],
)
def test_what_is_written_wrong_is_reported(name, config, texts):
    with pytest.raises(Invalid) as caught:
        harness.parse(name, config)
    assert [fault.text for fault in caught.value.faults] == texts
