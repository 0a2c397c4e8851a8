"""Activation checkpointing: a layer that runs again in the backward pass draws the same numbers, and keeps less."""

import torch
from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.training.strategies.fsdp import recompute_in_backward


class Noisy(nn.Module):
    """A layer with a weight whose result depends on random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return torch.exp(x * self.weight * draws.normal(x)) * draws.bernoulli(x, 0.5)


def gradient(layers: list[Noisy]) -> tuple[Tensor, list[Tensor]]:
    """Return result and gradients of layers in a row, each a node of its own."""
    source = draws.Draws(7, "train", 3)
    with draws.using(source):
        x = torch.linspace(-1, 1, 4)
        for number, layer in enumerate(layers):
            draws.node_stack().append(f"layer_{number}")
            x = layer(x)
            draws.node_stack().pop()
        x.sum().backward()
        after = draws.normal(x)
    return after, [layer.weight.grad for layer in layers if layer.weight.grad is not None]


def test_the_second_run_draws_the_same_numbers_as_the_first() -> None:
    plain, checkpointed = [Noisy(), Noisy()], [Noisy(), Noisy()]
    for layer in checkpointed:
        recompute_in_backward(layer)
    (after, wanted), (after_again, found) = gradient(plain), gradient(checkpointed)
    assert [layer.runs for layer in checkpointed] == [2, 2]
    assert len(found) == 2
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert torch.equal(after, after_again), "draws that follow go on where they were"
