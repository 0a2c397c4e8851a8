"""Transforms of each value: `log`, `log1p` and `sqrt`, which `predict` undoes for targets, and `preprocess`.

That does to pixels what Keras's `preprocess_input` of a published network does.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, WithJsonSchema
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.transforms.input_checks import need_numbers
from kerascli.foundation.errors import suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.preprocessing.function import Function


class Elementwise(Transform):
    """Base class of transforms that apply an invertible function to each value, in float64."""

    lowest: ClassVar[float] = 0
    """Number from which on the function is defined."""
    takes_lowest: ClassVar[bool] = False
    """True if the function is defined for `lowest` itself, false if only above it."""
    function: ClassVar[Callable[[Tensor], Tensor]]
    undone: ClassVar[Callable[[Tensor], Tensor]]

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        return replace(field, dtype="float64", num_classes=None, classes=None)

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        values, low = x.double(), self.lowest
        expected = f"numbers from {low} on" if self.takes_lowest else f"numbers above {low}"
        yield Refusal(
            values < low if self.takes_lowest else values <= low,
            lambda value: f"{self.component_name} of {value:g}: expected {expected}",
            lambda value: "log1p takes 0, too" if value == 0 else None,
        )

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(type(self).function, dtype=torch.float64)

    def inverse(self, field: Field, state: FittedState) -> nn.Module:
        return Function(type(self).undone, dtype=torch.float64)


def _log1p(x: Tensor) -> Tensor:
    """Return log(1 + x); ONNX has no operation that keeps the digits of small numbers, but a formula of Kahan does."""
    if not torch.compiler.is_exporting():
        return torch.log1p(x)
    u = 1 + x
    return torch.where(u == 1, x, u.log() * x / (u - 1))


def _expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1, in ONNX by a formula of Kahan as in `_log1p`."""
    if not torch.compiler.is_exporting():
        return torch.expm1(x)
    u = x.exp()
    small = torch.where(u.log() == 0, x, (u - 1) * x / u.log())
    return torch.where(x.abs() < 0.5, small, u - 1)


@transform()
class Log(Elementwise):
    """Natural logarithm of each value, for prices, counts and other positive numbers of all magnitudes.

    The inverse of a mean is not the mean: a model of the log that is trained by `mean_squared_error` predicts the
    geometric mean of the target, which is lower than the mean.
    """

    function = torch.log
    undone = torch.exp


@transform(name="log1p")
class Log1p(Elementwise):
    """Natural logarithm of 1 + each value, which is defined for 0, too (`numpy.log1p`)."""

    lowest = -1
    function = _log1p
    undone = _expm1


@transform()
class Sqrt(Elementwise):
    """Square root of each value, for example of counts or areas."""

    takes_lowest = True
    function = torch.sqrt
    undone = torch.square


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
        need_numbers(field)
        if self.mode in _MEAN and field.shape[-1:] not in {(3,), (None,)}:
            text = f"mode {self.mode}, of {self.network}, needs three channels, got {TensorSpec(field.shape)}"
            raise ValueError(f"{text}; image sources have color_mode: rgb")
        return replace(field, dtype="float32", num_classes=None, classes=None)

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
