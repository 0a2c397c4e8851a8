"""A plain loop in PyTorch, with torch's defaults: tensors in memory, losses read once an epoch."""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.digits import load_digits
from benchmarks.peers import OnEpoch
from benchmarks.peers.torch_models import build
from benchmarks.workloads import BATCH, Job

JUDGED_AT_ONCE = 1_000
"""Rows of a batch that is not trained on: larger ones are faster, and no figure depends on it."""


def run(job: Job, on_epoch: OnEpoch) -> float:
    torch.manual_seed(job.seed)
    digits = load_digits(job)
    x, x_val, x_test = (_images(array) for array in (digits.x, digits.x_val, digits.x_test))
    y, y_val, y_test = (torch.from_numpy(array) for array in (digits.y, digits.y_val, digits.y_test))
    model = build(job)
    optimizer = _optimizer(job.workload.optimizer, model)
    loss_function = nn.CrossEntropyLoss()
    for _ in range(job.epochs):
        loss, _ = _train(model, optimizer, loss_function, x, y)
        if len(x_val):
            _evaluate(model, loss_function, x_val, y_val)
        on_epoch(loss)
    _, accuracy = _evaluate(model, loss_function, x_test, y_test)
    return accuracy


def _images(array: np.ndarray) -> Tensor:
    """Return them as torch has them: the channel of a picture comes first."""
    x = torch.from_numpy(array)
    return x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x


def _optimizer(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """Return an optimizer with Keras's defaults."""
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    return torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)


def _train(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss_function: nn.Module, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """One epoch; its mean loss and accuracy."""
    model.train()
    order = torch.randperm(len(x))
    total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for start in range(0, len(x), BATCH):
        rows = order[start : start + BATCH]
        pictures, classes = x[rows], y[rows]
        optimizer.zero_grad()
        logits = model(pictures)
        loss = loss_function(logits, classes)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
        hits += (logits.detach().argmax(1) == classes).sum()
    return float(total) / len(x), int(hits) / len(x)


@torch.no_grad()
def _evaluate(model: nn.Module, loss_function: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    model.eval()
    total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for pictures, classes in zip(x.split(JUDGED_AT_ONCE), y.split(JUDGED_AT_ONCE), strict=True):
        logits = model(pictures)
        total += loss_function(logits, classes) * len(pictures)
        hits += (logits.argmax(1) == classes).sum()
    return float(total) / len(x), int(hits) / len(x)
