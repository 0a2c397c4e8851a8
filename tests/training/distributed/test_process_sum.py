"""The sum over processes as an operation of torch: its gradient, and its order and place in graphs."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from kerascli.compiler import program
from kerascli.compiler.passes import simplify
from kerascli.compiler.program import Program, trace_program
from kerascli.compiler.tracing import trace
from kerascli.foundation import draws
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.process_sum import one_process, process_sum


class Partner(Group):
    """Another process, which adds the given tensors, one in each sum."""

    def __init__(self, *given: float) -> None:
        super().__init__()
        self.given = list(given)

    def add(self, tensors: Sequence[Tensor], *, in_order: bool = False) -> None:
        for tensor in tensors:
            tensor += self.given.pop(0)


def test_the_gradient_is_that_of_the_mean_weighted_by_rows() -> None:
    """The batch's loss is 0.25 * own + 0.75 * other; the other's gradient is 5, and its own is weighted by 0.25."""
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    total = process_sum(Partner(10.0, 0.75 * 5.0))(x, 0.25)
    assert total.tolist() == [11.0, 12.0]
    [gradient] = torch.autograd.grad((2 * total).sum(), [x])
    assert gradient.tolist() == [(0.25 * 2 + 0.75 * 5) / 0.25] * 2


def test_a_process_without_rows_takes_part_and_adds_nothing() -> None:
    partner = Partner(10.0, 1.0)
    x = torch.tensor([float("nan"), 2.0], requires_grad=True)
    total = process_sum(partner)(x, 0.0)
    assert total.tolist() == [10.0, 10.0]
    assert torch.autograd.grad(total.sum(), [x])[0].tolist() == [0.0, 0.0]
    assert not partner.given


def test_a_graph_keeps_all_sums_in_their_order() -> None:
    partner = Partner()
    add = process_sum(partner)

    def step(x: Tensor) -> list[Tensor]:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            first, _ = add(x * 2, 0.5), add(x * 3, 0.5)
            return list(torch.autograd.grad(first.square().sum(), [x]))

    x = torch.tensor([1.0, 2.0])
    with one_process():
        code = trace(step, [x])
    simplify(code, on_cpu=True)
    sums = [node for node in code.graph.nodes if "process_sum" in str(node.target)]
    assert [node.kwargs["after"] for node in sums] == [None, *sums[:-1]]
    for run in (step, code):
        partner.given = [1.0, 2.0, 3.0]
        [gradient] = run(x)
        assert gradient.tolist() == [2 * (0.5 * 2 * 3 + 3) / 0.5, 2 * (0.5 * 2 * 5 + 3) / 0.5]
        assert not partner.given


@pytest.mark.parametrize("mode", ["simplified", "compiled"])
def test_a_program_with_sums_is_no_cuda_graph(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """A CUDA graph repeats kernels alone: those of its capture, in which sums are those of this process."""
    captured: list[object] = []

    def captures(run: object, *_: object, **__: object) -> object:
        captured.append(run)
        return run

    monkeypatch.setattr(program, "replayed", captures)
    monkeypatch.setattr(program, "compiled", lambda code, _: code.forward)
    monkeypatch.setattr(Program, "device", torch.device("cuda:1"))
    partner = Partner(10.0)
    add, x = process_sum(partner), torch.ones(2)
    with one_process():
        sums, plain = (trace_program(each, [x]) for each in (lambda y: [add(y, 1.0) * 2], lambda y: [y * 2]))
        run = getattr(sums, mode)()
    assert not captured
    [found] = run([x], draws.Draws(0, "train", 0))
    assert found is not None
    assert found.tolist() == [22.0, 22.0]
    getattr(plain, mode)()
    assert captured


def test_a_sum_is_of_a_tensor_whose_elements_follow_each_other() -> None:
    """NCCL takes no other; tracing must know it."""

    class Strict(Partner):
        def add(self, tensors: Sequence[Tensor], *, in_order: bool = False) -> None:
            assert all(tensor.is_contiguous() for tensor in tensors)
            super().add(tensors)

    moved = torch.arange(6.0).view(2, 3).t()
    assert process_sum(Strict(1.0))(moved, 1.0).tolist() == (moved + 1).tolist()


def test_the_operation_is_what_torch_expects_of_one() -> None:
    with one_process():
        x = torch.ones(3, requires_grad=True)
        tests = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(torch.ops.kerascli.process_sum.default, (x, 0.5), test_utils=tests)
