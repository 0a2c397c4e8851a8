"""Base class of recurrent cells' modules: weights, dropout masks fixed over time, and a step loop or a fused kernel."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import NotSequences, ShapeMismatch, WeightedModule
from kerascli.layers.recurrent.arguments import UnitArguments
from kerascli.layers.recurrent.base import Recurrence
from kerascli.layers.recurrent.steps import State, restore_order, run_steps, unmasked_first
from kerascli.layers.regularization.dropout import dropout_mask

GATE_OPEN = 1e4
"""Pre-activation that opens a gate; negated, it closes it. sigmoid(-1e4) is 0 in every dtype, and float16 holds 1e4."""

Products = Callable[[Tensor, int, int], Tensor]
"""Type of a function that computes the recurrent part of the pre-activations of the gates `first` to `end - 1`.

Its arguments are the previous output, first and end: (N, units) -> (N, gates * units).
"""


class WeightedRecurrence(Recurrence, WeightedModule):
    """Base class of modules of recurrent cells; each weight joins the kernels or biases of all gates, in Keras's order.

    torch's fused kernels take no masks. So masked steps get an additional input feature, which is 1 there: its
    weights, `masked_gates`, keep the cell state unchanged to the last bit, or the output within bounds where it is
    taken from before the masked steps anyway.
    """

    masked_gates: ClassVar[tuple[float, ...]]
    """Weight, for each gate, of the additional input feature that is 1 in masked time steps."""

    kernel: Tensor
    recurrent_kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: UnitArguments, features: int) -> None:
        super().__init__(settings)
        self.gates = len(self.masked_gates)
        columns = self.gates * settings.units
        self.add_weight_of("kernel", (features, columns), axes=(1, 0))
        self.add_weight_of("recurrent_kernel", (settings.units, columns), axes=(1, 0))
        bias = self.bias_shape(columns) if settings.use_bias else None
        self.add_weight_of("bias", bias, initializer=settings.bias_start())

    def bias_shape(self, columns: int) -> tuple[int, ...]:
        return (columns,)

    def biases(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the biases of the input product and the recurrent product; as in Keras, most cells have no second."""
        return self.bias, None

    @abstractmethod
    def step(self, x: Tensor, state: State, products: Products) -> State:
        """Compute the state after one time step; `x` (N, gates * units) is the input's part of pre-activations."""

    @abstractmethod
    def all_steps(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        """Return all outputs and the last state, computed by torch's fused kernel; only if `settings.is_fused`."""

    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [(self.settings.units,)] * self.settings.state_count

    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        if self.settings.is_fused:
            return self._run_fused(x, state, mask)
        projected, products = self._project(x), self._products(state[0])
        return run_steps(lambda frame, s: self.step(frame, s, products), projected, state, mask)

    def _run_fused(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        if self.training and self.settings.dropout:
            x = x * self.dropout_masks(x, self.settings.dropout, 1)[0]
        if mask is None:
            return self.all_steps(x, state, self.kernel)
        x, seen = unmasked_first(x, mask)
        x = torch.cat([x, (~seen).unsqueeze(-1).to(x.dtype)], dim=-1)
        masked_gates = torch.cat([self.kernel.new_full((self.settings.units, 1), gate) for gate in self.masked_gates])
        outputs, (_, *memory) = self.all_steps(x, state, torch.cat([self.kernel, masked_gates], dim=1))
        outputs = restore_order(outputs, mask)
        return outputs, (torch.where(mask.any(1, keepdim=True), outputs[:, -1], state[0]), *memory)

    def fused_weights(self, kernel: Tensor) -> list[Tensor]:
        """Return the weights for torch's fused kernels: two kernels and two biases, or only the two kernels."""
        bias, second = self.biases()
        if bias is None:
            return [kernel, self.recurrent_kernel]
        return [kernel, self.recurrent_kernel, bias, torch.zeros_like(bias) if second is None else second]

    def _project(self, x: Tensor) -> Tensor:  # (N, T, F) -> (N, T, gates * units)
        """Compute the part of the gates' pre-activations that comes from the input, for all time steps at once."""
        rate, bias = self.settings.dropout if self.training else 0.0, self.biases()[0]
        if rate and self.settings.recurrent_dropout:  # then each gate has its own dropout, as in Keras
            kernel = self.kernel.unflatten(0, (self.gates, -1))
            y = torch.einsum("gntf,guf->ntgu", x * self.dropout_masks(x, rate, self.gates), kernel).flatten(2)
            return y if bias is None else y + bias
        return F.linear(x * self.dropout_masks(x, rate, 1)[0] if rate else x, self.kernel, bias)

    def _products(self, h: Tensor) -> Products:
        """Return the function that computes the recurrent part of the gates' pre-activations.

        Each gate has one dropout mask for all time steps.
        """
        units, rate, bias = h.shape[-1], self.settings.recurrent_dropout if self.training else 0.0, self.biases()[1]
        masks = self.dropout_masks(h.unsqueeze(1), rate, self.gates).squeeze(2) if rate else None
        kernel = self.recurrent_kernel

        def products(h: Tensor, first: int, end: int) -> Tensor:
            gates = slice(first * units, end * units)
            offset = None if bias is None else bias[gates]
            if masks is None:
                return F.linear(h, kernel[gates], offset)
            kernels = kernel[gates].unflatten(0, (end - first, -1))
            y = torch.einsum("gnv,guv->ngu", h * masks[first:end], kernels).flatten(1)
            return y if offset is None else y + offset

        return products

    def dropout_masks(self, x: Tensor, rate: float, count: int) -> Tensor:  # (N, T, *) -> (count, N, 1, *)
        """Return `count` random dropout masks for inputs like `x`, each the same for all time steps of a sequence."""
        return dropout_mask(x[:, :1].expand(count, *x[:, :1].shape), rate, seed=self.settings.seed)


def features_of(x: TensorSpec) -> int:
    """Return the number of features of a cell's input, which is one time step; raises ShapeMismatch."""
    if x.rank != 1 or x.shape[0] is None:
        raise ShapeMismatch(f"needs the features of one step, got {x}")
    return x.shape[0]


def features_of_sequence(x: TensorSpec) -> int:
    """Return the number of features of each step of a sequence; raises ShapeMismatch."""
    if x.rank != 2 or x.shape[1] is None:
        raise NotSequences(x)
    return x.shape[1]
