"""Preprocess: what Keras's `preprocess_input` does to the pixels of a published network."""

from typing import Annotated

import torch
from pydantic import AfterValidator, WithJsonSchema
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.transforms.input_checks import computed
from kerascli.foundation.errors import suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.preprocessing.function import Function

_NETWORKS = {
    "caffe": "resnet50 resnet101 resnet152 vgg16 vgg19",
    "tf": "inception_resnet_v2 inception_v3 mobilenet mobilenet_v2 nasnet_large nasnet_mobile resnet50_v2 resnet101_v2 "
    "resnet152_v2 xception",
    "torch": "densenet121 densenet169 densenet201",
    "none": "convnext_base convnext_large convnext_small convnext_tiny convnext_xlarge efficientnet_b0 efficientnet_b1 "
    "efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 "
    "efficientnet_v2_b0 efficientnet_v2_b1 efficientnet_v2_b2 efficientnet_v2_b3 efficientnet_v2_l efficientnet_v2_m "
    "efficientnet_v2_s mobilenet_v3_large mobilenet_v3_small",
}
MODES = {name: mode for mode, names in _NETWORKS.items() for name in (mode, *names.split())}
"""Mapping from each network, and each mode itself, to the mode of Keras's `preprocess_input`."""
_MEAN = {"caffe": (103.939, 116.779, 123.68), "torch": (0.485, 0.456, 0.406)}
_DEVIATION = (0.229, 0.224, 0.225)


def _network(name: str) -> str:
    if name not in MODES:
        raise ValueError(f"preprocess: there is no network '{name}'{suggestion(name, MODES)}")
    return name


@transform()
class Preprocess(Transform):
    """Converts pixels from 0 to 255 to the inputs of a published network, as Keras's `preprocess_input` of it.

    Modes: `tf` scales to -1 ... 1; `torch` scales to 0 ... 1 and normalizes each channel; `caffe` converts RGB to BGR
    and subtracts the mean of each channel; `none`, of networks that scale pixels themselves, keeps them.
    """

    per_batch = "exact"

    network: Annotated[str, AfterValidator(_network), WithJsonSchema({"type": "string", "enum": list(MODES)})]
    """Network (`mobilenet_v2`), or the mode itself: `caffe`, `tf`, `torch` or `none`."""

    @property
    def mode(self) -> str:
        return MODES[self.network]

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        made = computed(field, "float32")
        if self.mode in _MEAN and field.shape[-1:] not in {(3,), (None,)}:
            text = f"mode {self.mode}, of {self.network}, needs three channels, got {TensorSpec(field.shape)}"
            raise ValueError(f"{text}; image sources have color_mode: rgb")
        return made

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(self.preprocessed, dtype=torch.float32)

    def preprocessed(self, x: Tensor) -> Tensor:  # (N, H, W, C) -> (N, H, W, C)
        if self.mode == "tf":
            return x / 127.5 - 1
        if self.mode == "torch":
            return (x / 255 - _by_channel(_MEAN["torch"], x)) / _by_channel(_DEVIATION, x)
        return x.flip(-1) - _by_channel(_MEAN["caffe"], x) if self.mode == "caffe" else x


def _by_channel(values: tuple[float, ...], x: Tensor) -> Tensor:
    return torch.cat([x.new_full((1,), value) for value in values])  # without a copy from the host
