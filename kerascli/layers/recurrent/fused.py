"""Fused training of recurrent cells on the CPU: all time steps as one operation, with a backward pass written by hand.

Torch's own kernels of `gru` and `simple_rnn` record every time step for autograd: a traced graph would hold all of
them, and each step adds its share to the gradients of the weights. Here a step of the backward pass is one product with
the recurrent kernel, and the gradient of a weight is one product over all steps.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.device import one_thread

_BLOCK = 2**17
"""Number of values of the state over the time steps whose factors the backward pass computes at once: they stay in the
processor's cache."""
_UNDIVIDED_PRODUCT = 2**21
"""Maximum number of multiplications of a step's product with which one thread runs the steps: several would wait for
each other as long as they compute, and longer on a processor that is not idle."""

Cell = Literal["gru", "tanh", "relu"]
_TORCH = {"gru": torch.gru, "tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


def run_fused(cell: Cell, x: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """Run the cell `gru`, or `tanh` or `relu` (simple_rnn's), over sequences; return (outputs (N, T, units), last one).

    `weights` are kernel, recurrent kernel and, if there are any, their biases, with the gates in Keras's order.
    """
    if x.device.type not in ("cpu", "meta") or not torch.is_grad_enabled():
        return _torch_kernel(cell, x, h, *weights)
    tensors = x, h, *weights
    if not torch.is_autocast_enabled("cpu"):
        return _Recurrence.apply(cell, *tensors)  # pyright: ignore[reportReturnType]
    lower = [each.to(torch.get_autocast_dtype("cpu")) for each in tensors]
    with torch.autocast("cpu", enabled=False):
        return _Recurrence.apply(cell, *lower)  # pyright: ignore[reportReturnType]


def _torch_kernel(cell: Cell, x: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """Run torch's own kernel, which has the reset gate of gru first."""
    ordered = [_in_order(weight, 1, 0, 2) for weight in weights] if cell == "gru" else weights
    training = torch.is_grad_enabled()  # cuDNN computes no gradients otherwise
    outputs, h = _TORCH[cell](x, h.unsqueeze(0), ordered, len(weights) > 2, 1, 0.0, training, False, True)
    return outputs, h.squeeze(0)


def _in_order(weight: Tensor, *order: int) -> Tensor:
    gates = weight.chunk(3)
    return torch.cat([gates[gate] for gate in order])


class _Recurrence(torch.autograd.Function):
    """All time steps of a recurrence; a second derivative is that of torch's kernel.

    The backward pass of gru has four gates: new, update, reset, and new again as the input has it, so that the gates of
    the recurrent product are adjacent, and those of the input's, too.
    """

    @staticmethod
    def forward(ctx: Any, cell: Cell, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        x, h, kernel, recurrent, *biases = tensors
        bias, new = sum(biases, h.new_zeros(())) if biases else None, h.new_zeros(h.shape[1])
        if cell == "gru" and biases:
            *others, new = biases[1].chunk(3)
            bias = biases[0] + torch.cat([*others, torch.zeros_like(new)])
        frames = x.transpose(0, 1).contiguous()
        y = F.linear(frames, kernel, bias)
        if cell == "gru":
            saved = torch.ops.kerascli.gru(y, h, recurrent, new)
        else:
            saved = [torch.ops.kerascli.simple_rnn(y, h, recurrent, cell == "relu")]
        ctx.save_for_backward(*tensors, frames, *saved)
        ctx.cell, ctx.count = cell, len(tensors)
        return saved[0][1:].transpose(0, 1), saved[0][-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        tensors, (frames, *saved) = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            of = [each for each, needs in zip(tensors, needed, strict=True) if needs]
            values = iter(torch.autograd.grad(_torch_kernel(ctx.cell, *tensors), of, gradients, create_graph=True))
            return None, *(next(values) if needs else None for needs in needed)
        _, h, kernel, recurrent, *biases = tensors
        arguments = gradients[0].transpose(0, 1), gradients[1], recurrent, *saved
        if ctx.cell == "gru":
            by_gate, dh = torch.ops.kerascli.gru_backward(*arguments)
        else:
            by_gate, dh = torch.ops.kerascli.simple_rnn_backward(*arguments, ctx.cell == "relu")
        by_gate = by_gate.flatten(0, 1)
        first = h.shape[1] if ctx.cell == "gru" else 0
        inner, outer = by_gate[:, : len(kernel)].contiguous(), by_gate[:, first:].contiguous()
        dx = (outer @ kernel).unflatten(0, (-1, len(h))).transpose(0, 1) if needed[0] else None
        dkernel = _product(outer, frames.flatten(0, 1))
        drecurrent = _new_last(_product(inner, saved[0][:-1].flatten(0, 1)), first)
        if not biases:
            return None, dx, dh, dkernel, drecurrent
        sums = by_gate.sum(0)
        return None, dx, dh, dkernel, drecurrent, sums[first:], _new_last(sums[: len(kernel)], first)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Return one.t() @ other; the factor that is turned is the narrower one, for oneDNN gets a turned copy."""
    return one.t() @ other if one.shape[1] <= other.shape[1] else (other.t() @ one).t()


def _new_last(weight: Tensor, units: int) -> Tensor:
    return torch.cat([weight[units:], weight[:units]])


def _step_threads(h: Tensor, kernel: Tensor) -> AbstractContextManager[None]:
    return one_thread(len(h) * kernel.numel() <= _UNDIVIDED_PRODUCT)


def _gru(x: Tensor, h: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the states (T + 1, N, units), the gates update, reset and the recurrent part of new (T, N, 3 * units), and
    new (T, N, units)."""
    states, gates, new = _gru_form(x, h, kernel, bias)
    two, recurrent = 2 * h.shape[1], kernel.t()
    states[0], gates[..., :two], gates[..., two:] = h, x[..., :two], bias
    parts = x[..., two:], gates, gates[..., :two], *gates.chunk(3, -1), new, states[1:]
    with _step_threads(h, kernel):
        for x_new, every, both, update, reset, product, candidate, after in zip(*map(torch.unbind, parts), strict=True):
            every.addmm_(h, recurrent)  # in place: `addmm` would copy its first argument
            both.sigmoid_()
            torch.addcmul(x_new, reset, product, out=candidate).tanh_()
            h = torch.lerp(candidate, h, update, out=after)
    return states, gates, new


def _gru_form(x: Tensor, h: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _states_form(x, h), torch.empty_like(x, memory_format=torch.contiguous_format), h.new_empty(len(x), *h.shape)


def _states_form(x: Tensor, h: Tensor, *others: object) -> Tensor:
    return h.new_empty(len(x) + 1, *h.shape)


def _simple_rnn(x: Tensor, h: Tensor, kernel: Tensor, relu: bool) -> Tensor:
    states, recurrent = _states_form(x, h), kernel.t()
    states[0], states[1:] = h, x
    with _step_threads(h, kernel):
        for after in states[1:].unbind():
            after.addmm_(h, recurrent)
            h = after.relu_() if relu else after.tanh_()
    return states


def _gru_backward(
    outputs: Tensor, last: Tensor, kernel: Tensor, states: Tensor, gates: Tensor, new: Tensor
) -> tuple[Tensor, Tensor]:
    units = new.shape[2]

    def factors(steps: slice) -> Tensor:
        update, reset, product = gates[steps].chunk(3, -1)
        candidate, closed = new[steps], 1 - update
        result = new.new_empty(*candidate.shape[:2], 4, units)
        inner, by_update, by_reset, outer = result.unbind(2)
        torch.mul(closed, 1 - candidate * candidate, out=outer)
        torch.mul(outer, reset, out=inner)
        torch.mul(inner * product, 1 - reset, out=by_reset)
        torch.mul((states[steps] - candidate).mul_(update), closed, out=by_update)
        return result

    return _backward(outputs, last, _in_order(kernel, 2, 0, 1), factors, gates[..., :units].unbind())


def _simple_rnn_backward(
    outputs: Tensor, last: Tensor, kernel: Tensor, states: Tensor, relu: bool
) -> tuple[Tensor, Tensor]:
    after = states[1:]

    def factors(steps: slice) -> Tensor:
        return ((after[steps] > 0).to(after.dtype) if relu else 1 - after[steps] * after[steps]).unsqueeze(2)

    return _backward(outputs, last, kernel, factors, None)


def _backward(
    outputs: Tensor, last: Tensor, kernel: Tensor, factors: Callable[[slice], Tensor], kept: Sequence[Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the gates' pre-activations (T, N, gates * units) and of the first state.

    The gradient of a step's state times its `factors` (T, N, gates, units) is that of its gates; `kernel` multiplies
    the first ones of them. `kept` is the share of the state that each step keeps (None: nothing).
    """
    steps, columns, (rows, units) = len(outputs), kernel.shape[0], last.shape
    block = max(1, _BLOCK // max(1, last.numel()))
    by_gate = last.new_empty(steps, rows, columns // units + (kept is not None), units)
    frames, places, h = outputs.unbind(), by_gate.unbind(), last
    for end in range(steps, 0, -block):
        first = max(0, end - block)
        pieces = factors(slice(first, end)).unbind()
        with _step_threads(h, kernel):
            for time in reversed(range(first, end)):
                h = h + frames[time]
                of_gates = torch.mul(h.unsqueeze(1), pieces[time - first], out=places[time]).flatten(1)[:, :columns]
                h = of_gates @ kernel if kept is None else h.mul_(kept[time]).addmm_(of_gates, kernel)
    return by_gate.flatten(2), h


def _backward_form(outputs: Tensor, last: Tensor, kernel: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    units = last.shape[1]
    columns = kernel.shape[0] + (units if kernel.shape[0] > units else 0)
    return last.new_empty(*outputs.shape[:2], columns), torch.empty_like(last)


_LIBRARY = torch.library.Library("kerascli", "FRAGMENT")
for _name, _function, _form in (
    ("gru", _gru, _gru_form),
    ("gru_backward", _gru_backward, _backward_form),
    ("simple_rnn", _simple_rnn, _states_form),
    ("simple_rnn_backward", _simple_rnn_backward, _backward_form),
):
    _LIBRARY.define(_name + torch.library.infer_schema(_function, mutates_args=()))
    _LIBRARY.impl(_name, _function, "CPU")
    torch.library.register_fake(f"kerascli::{_name}", _form, lib=_LIBRARY)
