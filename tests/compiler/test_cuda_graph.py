"""Replay of a captured step reads and writes the expected memory; a stand-in replaces torch.cuda."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from kerascli.compiler.program import replayed


class FakeStream:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def wait_stream(self, other: "FakeStream") -> None:
        self.log.append(f"{self.name} waits for {other.name}")


class Cuda:
    """Stand-in for torch.cuda that records calls: a replay computes again from the same tensors into the same ones."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.main = FakeStream(self.log, "main")
        self.captured: Callable[[], None] | None = None
        self.capturing = False

    def Stream(self) -> FakeStream:
        return FakeStream(self.log, "side")

    def current_stream(self) -> FakeStream:
        return self.main

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        self.log.append(f"on {stream.name}")
        yield

    def CUDAGraph(self) -> "Cuda":
        return self

    @contextmanager
    def graph(self, _: object, *, capture_error_mode: str) -> Iterator[None]:
        self.log.append(f"capture, errors of {capture_error_mode}")
        self.capturing = True
        yield
        self.capturing = False

    def replay(self) -> None:
        assert self.captured is not None
        self.captured()


def recorded(cuda: Cuda, function: Callable[..., list[Tensor]]) -> Callable[..., Sequence[Tensor]]:
    """Record a function as a capture does: its results are in memory of the graph."""

    def run(*arguments: Tensor) -> Sequence[Tensor]:
        found = function(*arguments)
        if cuda.capturing:

            def again() -> None:
                for place, value in zip(found, function(*arguments), strict=True):
                    place.copy_(value)

            cuda.captured = again
        else:
            cuda.log.append("run")
        return found

    return run


def test_a_replay_reads_the_weights_where_they_lie_and_a_copy_of_the_rest() -> None:
    cuda = Cuda()
    weight = torch.tensor([2.0, 3.0])
    first = torch.tensor([1.0, 1.0])
    replay = replayed(recorded(cuda, lambda w, x: [w * x]), [weight, first], fixed=1, cuda=cuda)
    assert cuda.log == [
        "side waits for main", "on side", "run", "run", "run", "main waits for side",
        "capture, errors of thread_local",  # other threads load batches, and NCCL's looks for its events
    ]  # fmt: skip
    (found,) = replay(weight, torch.tensor([10.0, 100.0]))
    assert found is not None
    assert found.tolist() == [20.0, 300.0]
    weight.mul_(2)  # as an optimizer does
    (again,) = replay(weight, torch.tensor([1.0, 1.0]))
    assert again is found  # the graph's own memory
    assert found.tolist() == [4.0, 6.0]
    assert first.tolist() == [1.0, 1.0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_step_computes_what_the_function_does() -> None:
    weight, x = torch.randn(64, 64, device="cuda"), torch.randn(8, 64, device="cuda")
    replay = replayed(lambda w, y: [torch.tanh(y @ w), None], [weight, x], fixed=1)
    for _ in range(3):
        weight.add_(0.1)
        y = torch.randn_like(x)
        found, nothing = replay(weight, y)
        assert nothing is None
        torch.testing.assert_close(found, torch.tanh(y @ weight))
