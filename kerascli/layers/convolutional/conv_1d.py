"""Conv1D: filters that slide over sequences."""

from typing import Literal

from kerascli.layers.base import Example, layer
from kerascli.layers.convolutional.base import Convolution
from kerascli.shapes import Size1D


@layer(
    Example(input=(10, 4), output=(8, 6), config={"filters": 6, "kernel_size": 3}),
    Example(input=(10, 4), output=(5, 6), config={"filters": 6, "kernel_size": 4, "strides": 2, "padding": "causal"}),
)
class Conv1D(Convolution):
    """Convolves sequences with `filters` kernels; padding `causal` lets no step see the steps after it."""

    rank = 1

    kernel_size: Size1D
    strides: Size1D = (1,)
    padding: Literal["valid", "same", "causal"] = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]
    dilation_rate: Size1D = (1,)
