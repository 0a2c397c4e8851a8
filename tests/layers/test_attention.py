"""Attention in half precision on the CPU: the formula's results and gradients, up to the rounding of their type."""

import math

import pytest
import torch

from kerascli.ops.networks import fused_attention


@pytest.mark.parametrize("steps", [5, 2000])  # below and above the limit up to which it is computed in float32
@pytest.mark.parametrize("autocast", [False, True])
def test_fused_attention_in_bfloat16_is_that_of_its_formula(steps: int, autocast: bool) -> None:
    """A bfloat16 has 8 bits of precision: values of about 1 are off by 2**-9, and the kernel rounds several times."""
    generator = torch.Generator().manual_seed(1)
    q, k, v = (
        torch.randn(2, 3, count, 8, generator=generator).bfloat16().requires_grad_() for count in (4, steps, steps)
    )
    bias = torch.zeros(4, steps, dtype=torch.bfloat16)
    bias[:, 1] = -math.inf
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        given = [x.float() for x in (q, k, v)] if autocast else [q, k, v]  # a layer in float32 may come before it
        y = fused_attention(given[0], given[1], given[2], bias, scale=0.5)
    exact = ((q.double() @ k.double().mT) * 0.5 + bias.double()).softmax(-1) @ v.double()
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y.double(), exact, rtol=2**-7, atol=2**-7)
    for own, reference in zip(*(torch.autograd.grad(each.sum(), (q, k, v)) for each in (y, exact)), strict=True):
        torch.testing.assert_close(own, reference, rtol=2**-5, atol=2**-6)


def test_an_exported_layer_in_half_precision_takes_sequences_of_any_length() -> None:
    """A program exported with an example of few time steps also runs on sequences of thousands of steps."""

    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return fused_attention(x, x, x, None, scale=1.0)

    lengths = {"x": {2: torch.export.Dim.AUTO}}
    program = torch.export.export(Attention(), (torch.randn(1, 2, 6, 8),), dynamic_shapes=lengths)
    assert program.module()(torch.randn(1, 2, 3000, 8)).shape == (1, 2, 3000, 8)
