"""Estimate of the memory that one process of a training needs: a step is run on tensors that have no memory."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kerascli import draws
from kerascli.compiler.torch_private import FakeTensorMode, TorchDispatchMode, tree_leaves
from kerascli.data.batches.loader import Batch
from kerascli.device import LARGE_BYTES
from kerascli.model.runtime.weights import Weight
from kerascli.optimizers.several import Optimizers
from kerascli.training.execution_mode import reason_not_to_trace
from kerascli.training.forward_pass import Eager, ForwardPass
from kerascli.training.heap import Heap
from kerascli.training.objectives.train_step import TrainStepModule


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Memory of one process in bytes, beside that of Python and torch; the first three grow with the parameters."""

    weights: int
    optimizer: int
    """Optimizer states."""
    gradients: int
    """Gradients that are kept during a forward and backward pass: copies, and sums over processes and shards."""
    step: int
    """Most that a forward and backward pass allocates at once: activations and new gradients; or what follows it."""
    saving: int
    """Copy of the largest weight, made when a checkpoint is written; with FSDP, of the process's part of the state."""
    data: int = 0
    """Rows that are held in memory."""

    @property
    def total(self) -> int:
        return self.weights + self.optimizer + self.gradients + self.step + self.saving + self.data


_EAGER, _TRACED, _DIVIDED = 1.2, 1.4, 1.1
"""Memory of a pass on the CPU per byte of its tensors: kernels make copies, and malloc cannot use all that is free.

Tracing adds small objects, which divide what is free. With FSDP what malloc cannot use is counted apart, or nothing
where large tensors' memory is returned: the kernels' copies are left. Measured by `python -m benchmarks.memory`.
"""
_CONVOLUTIONS = 12 * 10**6
"""Bytes of the libraries' code that convolutions load; without them, and with large tensors, it does not matter."""


@dataclass(frozen=True, slots=True)
class PartCounts:
    """Number of processes of a training, and number of shards of a batch that each computes one after the other."""

    processes: int = 1
    shards: int = 1

    @property
    def is_summed(self) -> bool:
        """True if gradients are added over processes or shards."""
        return self.processes > 1 or self.shards > 1


@dataclass(frozen=True, slots=True)
class Groups:
    """Bytes of the weights that FSDP gathers together, group by group, and whether it frees them after a pass."""

    sizes: Sequence[int]
    are_freed: bool

    @property
    def peak(self) -> int:
        """Most bytes of whole weights and gradients at once: in the backward pass, of the groups in reverse order.

        There are a group's weights and gradients, the next group's weights as they were gathered, and the gradients of
        the one before as they were sent. The last of `sizes`, of weights in no group, are there all the time.
        """
        *sizes, rest = self.sizes
        most = 0
        for at, size in enumerate(sizes):
            ahead = sum(sizes[max(0, at - 1) if self.are_freed else 0 : at])
            sent = sum(sizes[at + 1 : at + 2])
            most = max(most, ahead + 2 * size + sent)
        return 2 * rest + most

    @property
    def forward_peak(self) -> int:
        """Most bytes of whole weights at once in a forward pass: of a group, as they were gathered and in place.

        Weights in no group, and those of groups that are not freed, are there until the end.
        """
        *sizes, rest = self.sizes
        largest = max(sizes, default=0)
        return rest + largest + (largest if self.are_freed else sum(sizes))


@contextmanager
def without_memory() -> Iterator[None]:
    """Context manager in whose block tensors have shapes, dtypes and devices, but no memory and no values."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def estimate(
    passes: Sequence[ForwardPass],
    weights: Sequence[Weight],
    optimizers: Optimizers,
    batch: Batch,
    counts: PartCounts,
    evaluated: tuple[TrainStepModule, Batch] | None = None,
) -> MemoryEstimate:
    """Estimate the memory of training steps on such batches; all tensors are those of `without_memory`.

    `evaluated` is the module that evaluates, and a batch of its size. Raises what a layer raises that needs values.
    """
    own = sum(each.gradient_bytes for each in optimizers.by_name.values())
    states = sum(each.state_bytes for each in optimizers.by_name.values())
    device = weights[0].tensor.device
    found = [_of_pass(each, batch, counts, device) for each in passes]
    steps = [step for _, step in found]
    if evaluated is not None:
        steps.append(evaluation_bytes(*evaluated))
    if device.type != "cpu":  # there a step with a gradient that is not finite is undone, from copies
        steps.append(states + sum(weight.tensor.nbytes for weight in weights if weight.trainable))
    sizes = {id(weight.tensor): weight.tensor.nbytes for weight in weights}
    gradients = own + max(kept for kept, _ in found)
    return MemoryEstimate(sum(sizes.values()), states, gradients, max(steps), saving=max(sizes.values()))


def estimate_divided(
    each: ForwardPass, weights: Sequence[Weight], optimizers: Optimizers, batch: Batch, processes: int, groups: Groups
) -> MemoryEstimate:
    """Estimate the memory of one of several processes among which FSDP divides a model, from the whole model."""
    sizes = {id(weight.tensor): weight.tensor.nbytes for weight in weights}
    parameters = sum(weight.tensor.nbytes for weight in each.updates[0].weights)
    own = parameters // processes + sum(sizes.values()) - parameters
    states = sum(each.state_bytes for each in optimizers.by_name.values()) // processes
    each.module.train()
    is_returned = max(groups.sizes) >= LARGE_BYTES
    heap = None if is_returned or weights[0].tensor.device.type != "cpu" else Heap()
    peak = peak_bytes(lambda: Eager(each).run(batch), _DIVIDED, is_returned=is_returned, heap=heap)
    activations = max(0, peak - round(_DIVIDED * parameters))
    step = activations + groups.peak + parameters // processes  # its parts of the gradients
    return MemoryEstimate(own, states, 0, step, saving=own + states)


def _of_pass(each: ForwardPass, batch: Batch, counts: PartCounts, device: torch.device) -> tuple[int, int]:
    """Return the bytes of the gradients that are kept during a forward pass, and those that it allocates at once."""
    gradients = sum(weight.tensor.nbytes for update in each.updates for weight in update.weights)
    each.module.train()
    run, is_traced = Eager(each), reason_not_to_trace(each, device) is None
    scale = 1.0 if device.type != "cpu" else _TRACED if is_traced else _EAGER
    step = peak_bytes(lambda: run.run(batch), scale)
    compared = gradients * is_traced  # the graph's gradients with the module's; their pieces are no room for vectors
    if counts.is_summed:  # a vector of the right form, a sum for each level of the tree of shards; new ones are packed
        return compared + gradients * counts.shards.bit_length(), max(step, 2 * gradients)
    return compared, step


def evaluation_bytes(module: TrainStepModule, batch: Batch) -> int:
    """Return the most bytes that the evaluation of a batch allocates at once."""
    module.eval()
    with torch.no_grad():
        return peak_bytes(lambda: module(batch), _EAGER)


def peak_bytes(
    function: Callable[[], object], scale: float = 1.0, *, is_returned: bool = False, heap: Heap | None = None
) -> int:
    """Return the largest number of bytes, at any time, of the tensors that a function allocates, times `scale`.

    If malloc returns large tensors' memory to the system, that which a tensor has and nothing writes does not count.
    With a heap, its size counts, which is more than its tensors need, and the code of convolutions.
    """
    with draws.using(draws.Tape()), _LiveBytes(scale, is_returned=is_returned, heap=heap) as live:
        result = function()
    del result
    return live.peak + (_CONVOLUTIONS if heap is not None and live.has_convolutions else 0)


class _LiveBytes(TorchDispatchMode):
    """Mode that counts the bytes of tensors that operations return, as long as anything refers to their memory."""

    def __init__(self, scale: float, *, is_returned: bool, heap: Heap | None) -> None:
        super().__init__()
        self._scale = scale
        self._heap = heap
        self.has_convolutions = False
        self._recurrent = _Recurrent(is_returned)
        self.peak = self._now = 0
        self._frees: dict[int, Callable[[], None]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs or {})):
            if isinstance(tensor, Tensor):
                self._add(tensor, 0)
        result = func(*args, **(kwargs or {}))
        self.has_convolutions |= func is torch.ops.aten.convolution.default
        transient = 0
        if func is torch.ops.aten.mkldnn_rnn_layer.default and args[-1]:
            self._add(result[3], self._recurrent.workspace(result[0], args[0].shape[-1]))
        if func is torch.ops.aten.mkldnn_rnn_layer_backward.default:
            transient = self._recurrent.scratch(args[7], args[1], args[2])
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor, round(self._scale * tensor.untyped_storage().nbytes()))
        self.peak = max(self.peak, self._now + transient)
        return result

    def _add(self, tensor: Tensor, size: int) -> None:
        """Count the memory of a tensor, unless it is known: of an argument, or of another view of it."""
        storage = tensor.untyped_storage()
        key = id(storage)
        if key not in self._frees:
            self._frees[key] = self._allocate(size)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._frees.pop(key)()

    def _allocate(self, size: int) -> Callable[[], None]:
        """Count some bytes; return the function that frees them."""
        piece = size if self._heap is None else self._heap.take(size)
        self._now += piece
        self.peak = max(self.peak, self._now if self._heap is None else self._heap.size)
        return lambda: self._free(piece)

    def _free(self, piece: int) -> None:
        self._now -= piece
        if self._heap is not None:
            self._heap.give_back(piece)


@dataclass(frozen=True, slots=True)
class _Recurrent:
    """Memory of oneDNN's LSTM, which tensors without memory do not show; the formulas fit what it does in float32."""

    is_returned: bool
    """True if memory is new in each step, such that what the kernel does not write needs none."""

    def workspace(self, outputs: Tensor, features: int) -> int:
        """Return the bytes that the forward pass keeps for the backward pass.

        Written are four gates and the cell of each step; there is room for more, which the backward pass needs in part.
        """
        steps, rows, units = outputs.shape
        if self.is_returned:
            return 5 * outputs.nbytes
        return 4 * rows * (6 * (steps + 1) * max(units, features) + (9 * steps + 4) * units)

    def scratch(self, outputs: Tensor, *kernels: Tensor) -> int:
        """Return the bytes that the backward pass writes beside its results.

        These are the gradients of the gates of each step, copies of the kernels and of their gradients, and in the
        workspace the gradients of the cell and of three states, which are as wide as the inputs if these are wider.
        """
        steps, rows, units = outputs.shape
        gates = 4 * outputs.nbytes + 2 * sum(kernel.nbytes for kernel in kernels)
        if not self.is_returned:
            return gates
        return gates + outputs.nbytes + 3 * outputs.element_size() * steps * rows * max(units, kernels[0].shape[-1])
