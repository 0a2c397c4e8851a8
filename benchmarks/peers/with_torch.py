"""A plain loop in PyTorch, with torch's defaults: tensors in memory, losses read once an epoch; eager or compiled."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.arrays import Arrays, load_arrays
from benchmarks.peers import OnEpoch
from benchmarks.peers.torch_models import build
from benchmarks.workloads import Job

EVALUATED_AT_ONCE = 1_000
"""Rows of a batch that is not trained on: larger ones are faster, and no metric depends on it."""
Forward = Callable[..., tuple[Sequence[Tensor], Tensor]]
"""(target, inputs ...) -> (the loss of each group of parameters, outputs)"""


def run(job: Job, on_epoch: OnEpoch) -> None:
    torch.manual_seed(job.seed)
    splits, batch = load_arrays(job)
    rows, validation, test = (splits.get(name) for name in ("train", "validation", "test"))
    assert rows is not None
    objective = build(job.work)
    forward: Forward = torch.compile(objective) if job.peer.endswith("-compiled") else objective
    groups = [list(each.parameters()) for each in objective.trained()]
    optimizers = [_optimizer(job.work, group) for group in groups]
    tensors = _tensors(rows)
    for _ in range(job.epochs):
        objective.train()
        loss = _train(forward, groups, optimizers, *tensors, batch)
        if validation is not None:
            _evaluate(objective, forward, *_tensors(validation))
        on_epoch(loss)
    if test is not None:
        _evaluate(objective, forward, *_tensors(test))


def _tensors(rows: Arrays) -> tuple[list[Tensor], Tensor]:
    """Return inputs and target as torch has them: the channel of a picture comes first, classes are integers."""
    inputs = [_tensor(each) for each in rows.inputs.values()]
    target = next(map(_tensor, rows.targets.values()), torch.zeros(rows.rows))
    return inputs, target.argmax(1) if target.ndim == 2 and target.shape[1] == 10 else target


def _tensor(array: np.ndarray) -> Tensor:
    x = torch.from_numpy(array)
    return x.movedim(-1, -3).contiguous() if x.ndim >= 4 else x


def _optimizer(work: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return an optimizer with Keras's defaults."""
    if work == "mnist_mlp":
        return torch.optim.RMSprop(parameters, lr=1e-3, alpha=0.9, eps=1e-7)
    return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7)


def _train(
    forward: Forward, groups: list[list[nn.Parameter]], optimizers: list[torch.optim.Optimizer],
    inputs: list[Tensor], target: Tensor, batch: int,
) -> float:  # fmt: skip
    """Train one epoch, and return its mean loss."""
    order = torch.randperm(len(target))
    total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for start in range(0, len(target), batch):
        rows = order[start : start + batch]
        expected = target[rows]
        losses, outputs = forward(expected, *(each[rows] for each in inputs))
        for number, (loss, group) in enumerate(zip(losses, groups, strict=True), 1):
            gradients = torch.autograd.grad(loss, group, retain_graph=number < len(groups))
            for parameter, gradient in zip(group, gradients, strict=True):
                parameter.grad = gradient
        for optimizer in optimizers:
            optimizer.step()
        total += losses[0].detach() * len(rows)
        if expected.dtype == torch.int64:
            hits += (outputs.detach().argmax(1) == expected).sum()
    return float(total) / len(target)


@torch.no_grad()
def _evaluate(objective: nn.Module, forward: Forward, inputs: list[Tensor], target: Tensor) -> float:
    objective.eval()
    total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for start in range(0, len(target), EVALUATED_AT_ONCE):
        rows = slice(start, start + EVALUATED_AT_ONCE)
        losses, outputs = forward(target[rows], *(each[rows] for each in inputs))
        total += losses[0] * len(target[rows])
        hits += (outputs.argmax(1) == target[rows]).sum()
    return float(total) / len(target)
