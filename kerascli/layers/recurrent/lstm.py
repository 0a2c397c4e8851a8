"""LSTM: long short-term memory (Hochreiter and Schmidhuber, 1997)."""

from collections.abc import Callable, Sequence
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import (
    CallArgument,
    Example,
    Layer,
    ShapeMismatch,
    WeightedModule,
    layer,
)
from kerascli.layers.recurrent.masks import back_in_time, seen_first
from kerascli.layers.recurrent.steps import State, run_steps
from kerascli.layers.regularization.dropout import dropout_mask
from kerascli.parts.activations import Linear, Sigmoid, Tanh
from kerascli.parts.base import Initializer
from kerascli.parts.fields import ActivationField, ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import GlorotUniform, Orthogonal, Zeros
from kerascli.shapes import Fraction, PositiveInt, TensorSpec, show_shape


@layer(
    Example(input=(5, 3), output=(4,), config={"units": 4}),
    Example(input=(5, 3), output=(5, 4), config={"units": 4, "return_sequences": True, "recurrent_dropout": 0.2}),
    Example(input=(5, 3), output=[(4,), (4,), (4,)], config={"units": 4, "return_state": True, "dropout": 0.2}),
)
class LSTM(Layer):
    """A recurrent layer with a memory; returns its last output, or with `return_sequences` the output of each step.

    `return_state` adds the last output and the last memory as results. Masked steps change nothing. The default
    activations without `recurrent_dropout` run in one fused kernel, others step by step; `unroll` is
    accepted and changes nothing.
    """

    uses_mask = True
    call_arguments = {  # noqa: RUF012
        "initial_state": CallArgument("tensors", "the output and the memory to start from"),
    }

    units: PositiveInt
    activation: ActivationField | None = Tanh()
    recurrent_activation: ActivationField | None = Sigmoid()
    use_bias: bool = True
    kernel_initializer: InitializerField = GlorotUniform()
    recurrent_initializer: InitializerField = Orthogonal()
    bias_initializer: InitializerField = Zeros()
    unit_forget_bias: bool = True
    kernel_regularizer: RegularizerField | None = None
    recurrent_regularizer: RegularizerField | None = None
    bias_regularizer: RegularizerField | None = None
    activity_regularizer: RegularizerField | None = None
    kernel_constraint: ConstraintField | None = None
    recurrent_constraint: ConstraintField | None = None
    bias_constraint: ConstraintField | None = None
    dropout: Fraction = 0.0
    recurrent_dropout: Fraction = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    use_cudnn: bool | Literal["auto"] = "auto"

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of a whole sequence the mask goes on; one output a sample has none."""
        return "pass" if self.return_sequences else "stop"

    @property
    def fused(self) -> bool:
        """Whether torch's kernel can compute this layer."""
        return (
            self.use_cudnn is not False
            and self.recurrent_dropout == 0
            and isinstance(self.activation, Tanh)
            and isinstance(self.recurrent_activation, Sigmoid)
        )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.stateful:
            raise ValueError("stateful: true is not supported yet; pass states with return_state and initial_state")
        if self.use_cudnn is True and not self.fused:
            raise ValueError("use_cudnn: true needs activation tanh, recurrent_activation sigmoid, recurrent_dropout 0")
        return self

    def result_count(self) -> int:
        return 3 if self.return_state else 1

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank != 2 or x.shape[1] is None:
            hint = "put an embedding before it" if x.rank == 1 else None
            raise ShapeMismatch(f"needs sequences (steps, features), got {x}", hint=hint)
        return LSTMModule(self, x.shape[1])


_SHUT = 1e4  # sigmoid(-1e4) is 0 in every precision, and float16 still holds it


class LSTMModule(WeightedModule):
    """Gates stand in the order input, forget, memory, output, in Keras as in torch."""

    kernel: Tensor
    recurrent_kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: LSTM, features: int) -> None:
        super().__init__()
        self.settings = settings
        gates = 4 * settings.units
        self.add_weight(
            "kernel", (features, gates), axes=(1, 0), initializer=settings.kernel_initializer,
            regularizer=settings.kernel_regularizer, constraint=settings.kernel_constraint,
        )  # fmt: skip
        self.add_weight(
            "recurrent_kernel", (settings.units, gates), axes=(1, 0), initializer=settings.recurrent_initializer,
            regularizer=settings.recurrent_regularizer, constraint=settings.recurrent_constraint,
        )  # fmt: skip
        if settings.use_bias:
            fill = settings.bias_initializer
            self.add_weight(
                "bias", (gates,), initializer=ForgetBias(rest=fill) if settings.unit_forget_bias else fill,
                regularizer=settings.bias_regularizer, constraint=settings.bias_constraint,
            )  # fmt: skip
        else:
            self.bias = None

    def forward(
        self, x: Tensor, mask: Tensor | None = None, initial_state: Sequence[Tensor] | None = None
    ) -> Tensor | tuple[Tensor, ...]:  # (N, T, F) -> (N, units), or (N, T, units)
        if self.settings.go_backwards:
            x = x.flip(1)
            mask = None if mask is None else mask.flip(1)
        h, c = self._start(x, initial_state)
        if x.is_meta:  # shape inference: there torch would take its kernel apart, one step after the other
            outputs = x.new_empty(*x.shape[:2], self.settings.units)
        else:
            run = self._run_fused if self.settings.fused else self._run_steps
            outputs, (h, c) = run(x, (h, c), mask)
        if not self.settings.return_sequences:  # the last one is the state, but for a mask or where nothing was run
            outputs = h if mask is None and not x.is_meta else outputs[:, -1]
        return (outputs, h, c) if self.settings.return_state else outputs

    def _start(self, x: Tensor, given: Sequence[Tensor] | None) -> State:
        units = self.settings.units
        if given is None:
            zeros = x.new_zeros(x.shape[0], units)
            return zeros, zeros
        if len(given) != 2 or any(state.shape != (x.shape[0], units) for state in given):
            shapes = ", ".join(show_shape((None, *state.shape[1:])) for state in given)
            raise ShapeMismatch(f"needs two initial states of shape (None, {units}), got {shapes}")
        h, c = (state.to(x.dtype) for state in given)
        return h, c

    def _run_fused(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        if self.training and self.settings.dropout:
            x = x * self._dropout_masks(x, self.settings.dropout, 1)[0]
        if mask is None:
            return self._kernel(x, state, self.kernel)
        x, seen = seen_first(x, mask)
        # One more feature, 1 on masked steps, shuts their input gate and opens their forget gate for good: the
        # memory stays as it is to the last bit.
        x = torch.cat([x, (~seen).unsqueeze(-1).to(x.dtype)], dim=-1)
        units = self.settings.units
        hold = x.new_zeros(4 * units, 1)
        hold[:units] = -_SHUT
        hold[units : 2 * units] = _SHUT
        kernel = torch.cat([self.kernel, hold.to(self.kernel.dtype)], dim=1)
        outputs, (_, c) = self._kernel(x, state, kernel)
        outputs = back_in_time(outputs, mask)
        return outputs, (torch.where(mask.any(1, keepdim=True), outputs[:, -1], state[0]), c)

    def _kernel(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        weights = [kernel, self.recurrent_kernel]
        if self.bias is not None:
            weights += [self.bias, torch.zeros_like(self.bias)]  # torch has two biases, Keras one
        states = [one.unsqueeze(0) for one in state]
        outputs, h, c = torch.lstm(x, states, weights, self.bias is not None, 1, 0.0, self.training, False, True)
        return outputs, (h.squeeze(0), c.squeeze(0))

    def _run_steps(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        projected = self._project(x)
        recurrent = self._recurrence(state[0])
        activate, gate = self.settings.activation or Linear(), self.settings.recurrent_activation or Linear()

        def step(time: int, state: State) -> State:
            h, c = state
            i, f, g, o = (projected[:, time] + recurrent(h)).chunk(4, dim=-1)
            c = gate(f) * c + gate(i) * activate(g)
            return gate(o) * activate(c), c

        return run_steps(step, state, mask, x.shape[1])

    def _project(self, x: Tensor) -> Tensor:  # (N, T, F) -> (N, T, 4 * units)
        """What the inputs add to the gates, for all steps at once."""
        rate = self.settings.dropout if self.training else 0.0
        if rate and self.settings.recurrent_dropout:  # then each gate has a dropout of its own, as in Keras
            kernel = self.kernel.unflatten(0, (4, -1))
            y = torch.einsum("gntf,guf->ntgu", x * self._dropout_masks(x, rate, 4), kernel).flatten(2)
            return y if self.bias is None else y + self.bias
        return F.linear(x * self._dropout_masks(x, rate, 1)[0] if rate else x, self.kernel, self.bias)

    def _recurrence(self, h: Tensor) -> Callable[[Tensor], Tensor]:  # of (N, units) -> (N, 4 * units)
        """What the last output adds to the gates."""
        rate = self.settings.recurrent_dropout if self.training else 0.0
        if not rate:
            return lambda h: F.linear(h, self.recurrent_kernel)
        masks = self._dropout_masks(h.unsqueeze(1), rate, 4).squeeze(2)
        kernel = self.recurrent_kernel.unflatten(0, (4, -1))
        return lambda h: torch.einsum("gnv,guv->ngu", h * masks, kernel).flatten(1)

    def _dropout_masks(self, x: Tensor, rate: float, count: int) -> Tensor:  # (N, T, F) -> (count, N, 1, F)
        """The same for all steps of a sequence."""
        like = x[:, :1].expand(count, -1, -1, -1)
        return dropout_mask(like, rate, seed=self.settings.seed)


class ForgetBias(Initializer):
    """Ones for the forget gate, so that a new layer remembers (Jozefowicz et al., 2015); `rest` for the others."""

    rest: InitializerField

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        units = shape[0] // 4
        before = self.rest((units,), dtype=dtype, generator=generator)
        after = self.rest((2 * units,), dtype=dtype, generator=generator)
        return torch.cat([before, torch.ones(units, dtype=dtype), after])
