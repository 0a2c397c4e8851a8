"""Weights that are set after an optimizer was bound to them, as by `init_from`, are those that it starts from."""

import pytest
import torch
from torch import nn

from kerascli.layers.weight_spec import WeightSpec
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.base import OPTIMIZERS, Optimizer
from kerascli.parts.initializers import Zeros

RULES = [cls.component_name for cls in OPTIMIZERS if issubclass(cls, Optimizer)]


@pytest.mark.parametrize("name", RULES)
def test_a_step_starts_from_weights_that_were_set_after_binding(name: str) -> None:
    layout = WeightSpec("kernel", (3, 4), Zeros(), None, None, True, None, None)
    found = []
    for is_late in (False, True):
        kernel = nn.Parameter(torch.zeros(3, 4) if is_late else torch.full((3, 4), 5.0))
        optimizer = FlatOptimizer(OPTIMIZERS.parse(name), [("dense/kernel", kernel, layout)])
        with torch.no_grad():
            kernel.fill_(5.0)
        optimizer.weights_were_set()
        optimizer.apply([torch.ones(3, 4)], loss=torch.zeros(()))
        found.append(kernel.detach().clone())
    assert torch.equal(*found)
