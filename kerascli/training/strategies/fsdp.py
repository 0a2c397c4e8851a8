"""Fully sharded training: a model's weights are divided among processes by PyTorch's FSDP2 (`fully_shard`)."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial, update_wrapper
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.device import LARGE_BYTES, Choice, return_memory
from kerascli.foundation.spans import span
from kerascli.layers.base import Outcome
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import held
from kerascli.parts.distributions import FSDP
from kerascli.training.forward_pass import ForwardPass, Request, Runner, refuse_idle
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.objectives.train_step import GraphStep
from kerascli.training.strategies.base import Strategy
from kerascli.training.strategies.collectives import ReduceScatter
from kerascli.training.strategies.data_parallel import DataParallel
from kerascli.training.strategies.flat_step_result import StepExchange
from kerascli.training.strategies.group import Group

_GROUP_ELEMENTS = 2**20
"""Number of weight elements from which layers are gathered together; smaller messages waste time on the network."""
_GROUPS_OF_SMALL_MODEL = 8
"""Number of groups of a model that has too few elements for as many large ones."""


class FullySharded(DataParallel):
    """Strategy of FSDP: each process holds a part of the weights, gradients and optimizer states.

    Each process computes its part of a batch.
    """

    is_divided = True

    def __init__(self, group: Group, settings: FSDP) -> None:
        super().__init__(group)
        self._settings = settings

    def divider(self, device: torch.device) -> Callable[[GraphStep], None] | None:
        return partial(divide, settings=self._settings, size=self.group.world.size, device=device)

    def runner(self, request: Request, recorded: str | None) -> tuple[Runner, Choice]:
        run = divided_runner(request.forward_pass, self, request.batches[0])
        return run, Choice("eager", "FSDP gathers weights as modules run")


def strategy_of(group: Group, distribute: object, shards: int | None = None) -> Strategy:
    """Return the Strategy of training for the config's `fit.distribute` and `fit.shards`, and a group of processes."""
    if group.world.size > 1 and isinstance(distribute, FSDP):
        return FullySharded(group, distribute)
    return Strategy(group) if (shards or group.world.size) == 1 else DataParallel(group, shards)


def divide(module: GraphStep, settings: FSDP, size: int, device: torch.device) -> None:
    """Divide the weights of a model on the meta device among `size` processes by FSDP, in place, as DTensors.

    `settings` are the config's `distribute: fsdp`. The weights of consecutive layers form a group, which is gathered at
    once. Weights in no group, such as those of layers that several nodes share, stay gathered from a forward pass to
    the end of its backward pass, and so do all weights of a small model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    if max(group_bytes(module.graph)) >= LARGE_BYTES:  # else most of the memory of a step is that of activations
        return_memory()
    _let_hooks_see_results()
    # No layer changes its input in place: other nodes may use the tensor.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
    mesh = init_device_mesh(device.type, (size,))
    if settings.activation_checkpointing:
        checkpoint_activations(module.graph)
    for group in list(_groups(module.graph)):
        fully_shard(group, mesh=mesh, reshard_after_forward=settings.reshard_after_forward)
    fully_shard(module, mesh=mesh, reshard_after_forward=False)
    for name in ("compare", "predict"):
        register_fsdp_forward_method(module, name)
    for part in module.modules():
        if isinstance(part, FSDPModule):  # each process's loss has its share of the batch: gradients are added
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)
            if device.type == "cpu":
                comm: Any = ReduceScatter()  # torch's abstract class is private
                part.set_custom_reduce_scatter(comm)


def checkpoint_activations(graph: Graph) -> None:
    """Apply activation checkpointing to every layer of a model that has weights.

    Such a layer holds only its inputs in memory after the forward pass, and runs again in the backward pass.
    """
    for layer in dict.fromkeys(graph.nodes):
        if _elements(layer):
            recompute_in_backward(layer)


def group_bytes(graph: Graph) -> list[int]:
    """Return the bytes of each group of weights that FSDP gathers at once, then of the ungrouped weights."""
    sizes = [sum(each.nbytes for module in group for each in module.parameters()) for group in _groups(graph)]
    return [*sizes, sum(each.nbytes for each in graph.parameters()) - sum(sizes)]


def _groups(graph: Graph) -> Iterator[list[nn.Module]]:
    """Yield lists of consecutive nodes' modules whose weights, which no other node uses, are gathered together.

    A model with few weights has no groups: gathering all its weights at once takes less time, and little memory.
    """
    uses = Counter(id(parameter) for module in graph.nodes for parameter in module.parameters())
    calls = Counter(map(id, graph.nodes))
    apart = [
        module for module in graph.nodes
        if calls[id(module)] == 1 and all(uses[id(parameter)] == 1 for parameter in module.parameters())
    ]  # fmt: skip
    elements = sum(map(_elements, apart))
    if elements < _GROUP_ELEMENTS:
        return
    smallest = min(_GROUP_ELEMENTS, elements // _GROUPS_OF_SMALL_MODEL)
    group: list[nn.Module] = []
    for module in apart:
        if _elements(module):
            group.append(module)
        if sum(map(_elements, group)) > smallest:
            yield group
            group = []
    if group:
        yield group


def _elements(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@cache
def _let_hooks_see_results() -> None:
    """Register the classes of modules' results as containers of tensors, which FSDP's hooks look into."""
    from torch.export import register_dataclass

    for cls in (Outcome, GraphOutcome, StepOutcome):
        register_dataclass(cls)


def recompute_in_backward(module: nn.Module) -> None:
    """Apply activation checkpointing to a module: it runs again in the backward pass.

    After the forward pass only its inputs stay in memory. The second run draws the same random numbers (of dropout ...)
    as the first.
    """
    recomputed = partial(
        checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), draws.repeated()),
    )  # fmt: skip
    module.forward = update_wrapper(recomputed, module.forward)


def divided_runner(forward_pass: ForwardPass, strategy: DataParallel, example: Batch) -> Runner:
    """Return a function that runs a forward and backward pass of a divided model on this process's part of a batch.

    FSDP gathers weights before they are used, and adds gradients over the processes: each process gets the part of the
    gradients that belongs to its weights. Losses, metric states and new values of weights are added as without FSDP.
    `example` is a batch with rows for this process, run in place of an empty part of a batch.
    """
    [update] = forward_pass.updates
    scale, exchange = update.optimizer.rule.loss_scale_factor or 1.0, StepExchange(strategy.group, in_order=False)

    def run(batch: Batch, numbers: draws.Draws) -> StepOutcome:
        """Return the losses, metric states and new weights of the whole batch, and this process's part of the
        gradients, which the weights no longer hold."""
        number, rows = next(strategy.parts(batch), (strategy.portion.first, None))
        share = 0.0 if rows is None else rows.rows / rows.whole
        rows = strategy.example(example) if rows is None else rows
        with strategy.part(rows, counts=share > 0, scaled=True), draws.using(numbers.of_shard(number)):
            with span("forward"):
                output = forward_pass.module(rows)
            [total] = output.totals
            refuse_idle(total)
            with span("backward"):
                (total * (share * scale)).backward()
        gradients: list[Tensor | None] = []
        for weight in update.weights:
            gradients.append(None if weight.tensor.grad is None else held(weight.tensor.grad))
            weight.tensor.grad = None
        outcome = replace(output, totals=[_checked(total.detach(), gradients)])
        averaged, added = exchange.flat(outcome, share, first=share > 0 and strategy.is_first(number, batch))
        if not share:  # the rest of the example has the weight 0 already, but a NaN in it must reach all processes
            added.zero_()
        return replace(exchange.summed((averaged, added)), gradients=gradients)

    return run


def _checked(total: Tensor, gradients: list[Tensor | None]) -> Tensor:
    """Return the loss, or NaN if a gradient of this process is not finite, so that no process makes the update."""
    there = [gradient for gradient in gradients if gradient is not None and gradient.numel()]
    if not there:
        return total
    return torch.where(nn.utils.get_total_norm(there, math.inf).isfinite(), total, math.nan)
