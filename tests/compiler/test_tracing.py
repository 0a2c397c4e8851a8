"""Tracing: a program computes what the function did, and functions that cannot be traced raise an error."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from kerascli.compiler.tracing import trace


def test_a_program_does_what_the_function_does_forward_and_backward() -> None:
    def step(weight: Tensor, x: Tensor) -> dict[str, Tensor]:
        weight = weight.detach().requires_grad_()
        with torch.enable_grad():
            loss = (x @ weight).tanh().square().mean()
            return {"loss": loss, "gradient": torch.autograd.grad(loss, [weight])[0]}

    weight, first, second = torch.randn(3, 2), torch.randn(4, 3), torch.randn(4, 3)
    code = trace(step, [weight, first])
    for x in (first, second):
        torch.testing.assert_close(code(weight, x), step(weight, x), rtol=0, atol=0)


def test_an_operation_in_place_changes_what_is_read_after_it() -> None:
    def function(x: Tensor) -> Tensor:
        y = x * 2
        part = y[:2]
        part.add_(10)
        return y + part.sum()

    x = torch.arange(4.0)
    torch.testing.assert_close(trace(function, [x])(x + 1), function(x + 1), rtol=0, atol=0)


def test_a_tensor_from_outside_is_a_constant() -> None:
    table = torch.tensor([5.0, 6.0, 7.0])
    code = trace(lambda i: table[i] + table.sum(), [torch.tensor([0, 2])])
    torch.testing.assert_close(code(torch.tensor([1, 1])), torch.tensor([24.0, 24.0]))
    assert len(list(code.buffers())) == 1


def test_several_results_of_one_operation_are_distinguished() -> None:
    def function(x: Tensor) -> list[Tensor]:
        values, places = x.topk(2)
        low, high = x.split(2)
        return [values, places, low - high]

    x = torch.tensor([3.0, 1.0, 4.0, 1.5])
    torch.testing.assert_close(trace(function, [x])(x.flip(0)), function(x.flip(0)), rtol=0, atol=0)


@pytest.mark.parametrize(
    "function",
    [lambda x: x * x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: x if x.any() else -x],
    ids=["item", "mask", "nonzero", "branch"],
)
def test_what_goes_by_the_numbers_in_a_tensor_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="a value in a tensor"):
        trace(function, [torch.tensor([1.0, -1.0])])  # pyright: ignore[reportArgumentType]


def test_shapes_are_inferred_and_steps_are_traced_without_the_compiler() -> None:
    """Loading the compiler takes 0.6 s; tested in a separate process, since other tests load it."""
    program = """
import sys
from pathlib import Path
import torch
from kerascli.model.inference.build import build
from kerascli.model.syntax.section import parse_scope
from kerascli.compiler.tracing import trace
from kerascli.shapes import TensorSpec
convolution = {"conv_2d": {"filters": 2, "kernel_size": 3}}
layers = [convolution, "relu", "batch_normalization", "flatten", {"dense": 3}, "softmax"]
build(parse_scope({"layers": layers}, {"x": TensorSpec((8, 8, 1), "float32")})[0])
trace(lambda x: torch.nn.functional.linear(x, x).relu(), [torch.ones(2, 2)])
assert "torch._dynamo" not in sys.modules
import torch._dynamo
assert torch._dynamo.config is not None
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)


def test_the_stand_in_makes_way_for_the_compiler() -> None:
    program = """
import sys, torch
from kerascli.light_torch import without_compiler
with without_compiler():
    import torch._dynamo
    assert torch._dynamo.disable(len) is len
    assert torch._dynamo.config.cache_size_limit > 0
    assert sys.modules["torch._dynamo"].__spec__ is not None
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).sum() == 4
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)
