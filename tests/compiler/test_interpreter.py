"""TorchScript's interpreter runs a traced graph: the same bits as Python's calls, and torch's own errors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.compiler.interpreter import interpreted
from kerascli.compiler.passes import simplify
from kerascli.compiler.tracing import trace

Function = Callable[[Tensor], list[Tensor | None]]


def halves(x: Tensor) -> list[Tensor | None]:
    """A list as result, of which one item is used twice, an argument with items that are None, and a missing result."""
    first, second = x.split([2, 2], dim=1)
    rows = torch.arange(3)
    return [first * second + first, None, x[rows, :2].unbind(0)[2], torch.cat([second, first])]


def product_and_gradient(x: Tensor) -> list[Tensor | None]:
    """A product that is not decomposed, and a backward pass of a convolution, with lists of booleans."""
    weight = torch.linspace(-1, 1, 9).view(1, 1, 3, 3).requires_grad_()
    y = F.conv2d(x.view(1, 1, 3, 4), weight, padding=1)
    loss = torch.addmm(torch.full((4,), 0.1), x, x.t() @ x).square().mean() + y.relu().sum()
    return [loss.detach(), *torch.autograd.grad(loss, weight), None]


def forms(x: Tensor) -> list[Tensor | None]:
    """Types, memory formats, numbers that are integers where the operator takes a float, and several results."""
    image = x.view(1, 3, 2, 2).to(memory_format=torch.channels_last)
    return [image * 2, x.to(torch.float64).sum(0), *torch.aminmax(x), torch.histc(x, 4, 0, 1), *x.topk(2)]


def with_gradients(function: Function, x: Tensor) -> list[Tensor | None]:
    with torch.enable_grad():
        return function(x)


@pytest.mark.parametrize("function", [halves, product_and_gradient, forms])
def test_a_graph_gives_the_bits_of_pythons_calls(function: Function) -> None:
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    code = trace(lambda x: with_gradients(function, x), [x.clone()])
    simplify(code, on_cpu=True)
    run = interpreted(code)
    for scale in (1.0, 0.5, 0.25):
        results, expected = run(x * scale), with_gradients(function, x * scale)
        assert [result is None for result in results] == [result is None for result in expected]
        for result, other in zip(results, expected, strict=True):
            if result is not None and other is not None:
                assert result.stride() == other.stride()
                assert not result.requires_grad
                torch.testing.assert_close(result, other.detach(), rtol=0, atol=0)


def test_an_error_is_that_of_the_operation() -> None:
    code = trace(lambda x, at: [x.index_select(0, at)], [torch.rand(3, 4), torch.tensor([0, 1])])
    run = interpreted(code)
    with pytest.raises(IndexError, match=r"^index out of range"):
        run(torch.rand(3, 4), torch.tensor([0, 7]))


def test_the_setting_of_other_users_of_the_interpreter_stays() -> None:
    run = interpreted(trace(lambda x: [x + 1], [torch.rand(3)]))
    before = torch._C._get_graph_executor_optimize()
    run(torch.rand(3))
    assert torch._C._get_graph_executor_optimize() == before
