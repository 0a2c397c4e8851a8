"""EinsumDense: activation(einsum(equation, x, kernel) + bias), a dense layer over any axes."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from kerascli.foundation.shapes import AnyShape, PositiveInt, Shape, TensorSpec
from kerascli.layers.absent import QUANTIZATION
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.kernels import KernelAndBias
from kerascli.layers.lora import LowRank, LowRankModule
from kerascli.parts import fields
from kerascli.parts.initializers import with_fans

_FORM = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?\Z")


@dataclass(frozen=True, slots=True)
class Equation:
    """Parsed equation of `einsum_dense`, such as `abc,cd->abd`: a letter for each axis, the batch axis first."""

    x: str
    kernel: str
    y: str
    ellipsis: Literal["first", "last"] | None
    """Position of the ellipsis, which stands for any number of axes: `first` (then including the batch) or `last`."""

    def __post_init__(self) -> None:
        for letter in self.kernel:
            if letter not in self.x + self.y:
                raise ValueError(f"'{letter}' of the kernel is in neither the input nor the output")
        for letter in self.y:
            if letter not in self.x + self.kernel:
                raise ValueError(f"'{letter}' of the output is in neither the input nor the kernel")
        if any(len(set(letters)) < len(letters) for letters in (self.x, self.kernel, self.y)):
            raise ValueError("a letter may occur only once in the input, in the kernel and in the output")
        if self.ellipsis != "first" and (self.x[0] != self.y[0] or self.x[0] in self.kernel):
            text = "the first axis is the batch: it must stay first and not be in the kernel"
            raise ValueError(f"{text}, got '{self.x[0]}'")


def read_equation(text: str) -> Equation:
    """Parse the text of an `einsum_dense` equation; raises ValueError if it is not of that form."""
    match = _FORM.match(text.replace(" ", ""))
    first_x, x, last_x, kernel, first_y, y, last_y = match.groups() if match else ("",) * 7
    if not match or bool(first_x) != bool(first_y) or bool(last_x) != bool(last_y) or (first_x and last_x):
        raise ValueError(f"expected ab,bc->ac, ...ab,bc->...ac or ab...,bc->ac..., got '{text}'")
    return Equation(x, kernel, y, "first" if first_x else "last" if last_x else None)


def _check_equation(text: str) -> str:
    read_equation(text)
    return text


class EinsumArguments(Layer):
    """Mixin with the first arguments of `einsum_dense`, in Keras's order: those before `kernel_initializer`."""

    equation: Annotated[str, AfterValidator(_check_equation)]
    """Einsum equation: a letter for each axis of input (batch first), kernel and output, as in `abc,cd->abd`."""
    output_shape: PositiveInt | AnyShape
    """Sizes of the output's axes, except the batch and axes of an ellipsis; null for an axis: its size in the input."""
    activation: fields.OutputActivation = None
    bias_axes: str | None = None
    """Letters of the output axes that have a bias; null: no bias."""


@layer(Example(input=(8,), output=(4,), config={"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "c"}))
class EinsumDense(LowRank, KernelAndBias, EinsumArguments):
    """Dense layer over any axes: activation(einsum(equation, x, kernel) + bias).

    The equation names the axes of the input, of the kernel and of the output: `abc,cd->abd` acts on the last of three.
    `...`, first or last, stands for any number of axes. Input: (N, *), output: (N, *), both as in the equation.
    """

    refused = {**QUANTIZATION, "gptq_unpacked_column_size": QUANTIZATION["quantization_config"]}  # noqa: RUF012

    def build(self, x: TensorSpec) -> nn.Module:
        equation = read_equation(self.equation)
        shape = self.output_shape
        sizes = _sizes(equation, (shape,) if isinstance(shape, int) else shape, x)
        kernel = tuple(_size_of(letter, sizes, x) for letter in equation.kernel)
        return EinsumDenseModule(self, equation, kernel, self._bias_shape(equation, sizes, x))

    def _bias_shape(self, equation: Equation, sizes: dict[str, int | None], x: TensorSpec) -> tuple[int, ...] | None:
        """Return the shape of the bias: sizes along `bias_axes`, 1 for axes between and after them; None: no bias."""
        if not self.bias_axes:
            return None
        for letter in self.bias_axes:
            if letter not in equation.y:
                text = f"has no axis '{letter}' in the output '{equation.y}' of its equation"
                raise ShapeMismatch(text, argument="bias_axes")
        after = equation.y[min(map(equation.y.index, self.bias_axes)) :]
        shape = tuple(_size_of(letter, sizes, x) if letter in self.bias_axes else 1 for letter in after)
        return shape + (1,) * (x.rank + 1 - len(equation.x)) if equation.ellipsis == "last" else shape


def _sizes(equation: Equation, output_shape: Shape, x: TensorSpec) -> dict[str, int | None]:
    """Return a mapping from each letter of the equation to its axis's size in input or output; raises ShapeMismatch."""
    axes = (None, *x.shape)
    left_out = len(axes) - len(equation.x)
    if left_out < 0 or (left_out and not equation.ellipsis):
        text = f"has {len(equation.x)} axes for its input in '{','.join((equation.x, equation.kernel))}', got {x}"
        raise ShapeMismatch(text, hint="the first letter is the batch", argument="equation")
    with_batch = equation.ellipsis != "first" or not left_out  # else the ellipsis includes the batch
    named = equation.y[1:] if with_batch else equation.y
    if len(output_shape) != len(named):
        text = f"has an output_shape of {len(output_shape)} sizes for the axes '{named}' of its equation"
        raise ShapeMismatch(text, argument="output_shape")
    of_x = axes[left_out:] if equation.ellipsis == "first" else axes[: len(equation.x)]
    sizes: dict[str, int | None] = dict(zip(equation.x, of_x, strict=True))
    for letter, size in zip(named, output_shape, strict=True):
        seen = sizes.setdefault(letter, size)
        if seen is None:
            sizes[letter] = size
        elif size not in (None, seen):
            text = f"has {size} in output_shape for axis '{letter}', which is {seen} in the input {x}"
            raise ShapeMismatch(text, argument="output_shape")
    return sizes


def _size_of(letter: str, sizes: dict[str, int | None], x: TensorSpec) -> int:
    size = sizes.get(letter)
    if size is None:
        raise ShapeMismatch(f"needs a known size of axis '{letter}' for its weights, got {x}")
    return size


class EinsumDenseModule(LowRankModule):
    bias: Tensor | None

    def __init__(
        self, settings: EinsumDense, equation: Equation, kernel: tuple[int, ...], bias: tuple[int, ...] | None
    ) -> None:
        super().__init__(settings)
        ins = tuple(i for i, letter in enumerate(equation.kernel) if letter not in equation.y)
        outs = tuple(i for i, letter in enumerate(equation.kernel) if letter in equation.y)
        self.add_weight_of("kernel", kernel, initializer=with_fans(settings.kernel_initializer, ins, outs))
        self.add_weight_of("bias", bias)
        self.add_lora("kernel")

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *), as in the equation
        y = torch.einsum(self.settings.equation, x, self.adapted("kernel"))
        if self.bias is not None:
            y = y + self.bias
        return y if self.settings.activation is None else self.settings.activation(y)
