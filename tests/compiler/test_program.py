"""Programs traced from any module: tensors read, inputs and random draws, without a model or training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kerascli.compiler import program
from kerascli.compiler.cache import use_own_cache
from kerascli.compiler.compiling import is_compiled
from kerascli.compiler.program import Program, trace_program
from kerascli.foundation import draws
from tests.support.needs import needs_a_compiler


class Noisy(nn.Module):
    """A module with weights and noise that returns None among its results."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> list[Tensor | None]:
        hidden = self.linear(x) + draws.normal(x[:, :2])
        return [hidden.relu().softmax(-1), None, hidden.square().sum()]


def traced(module: nn.Module, x: Tensor) -> Program:
    tape = draws.Tape()
    with torch.no_grad(), draws.using(tape):
        module(x)
    with torch.no_grad():
        return trace_program(module, [x], reads=list(module.parameters()), drawn=tape.draws)


def expected(module: nn.Module, x: Tensor, step: int) -> Sequence[Tensor | None]:
    with torch.no_grad(), draws.using(draws.Draws(3, "train", step)):
        return module(x)


def test_a_program_reads_weights_inputs_and_numbers_anew_at_each_call() -> None:
    module = Noisy()
    run = traced(module, torch.randn(5, 4)).simplified()
    for step in range(2):
        x = torch.randn(5, 4)
        with torch.no_grad():
            module.linear.weight.mul_(1.5)
        found = run([x], draws.Draws(3, "train", step))
        assert found[1] is None
        for ours, theirs in zip(found, expected(module, x, step), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
@needs_a_compiler
def test_a_compiled_program_does_what_the_module_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # what is set below goes with the test
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    use_own_cache()
    module, x = Noisy(), torch.randn(5, 4)
    program = traced(module, x)
    assert not is_compiled(program.code, program.examples)
    found = program.compiled()([x], draws.Draws(3, "train", 0))
    assert is_compiled(program.code, program.examples)
    for ours, theirs in zip(found, expected(module, x, 0), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_small_compiled_program_runs_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def compiles(code: object, examples: object) -> Callable[..., Sequence[Tensor | None]]:
        return lambda *inputs: threads.append(torch.get_num_threads()) or [inputs[0]]

    monkeypatch.setattr(program, "compiled", compiles)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for width in (4, 2**16):
            x = torch.ones(3, width)
            trace_program(lambda x: [x * 2], [x]).compiled()([x], draws.Draws(0, "train", 0))
            assert torch.get_num_threads() == 2
        assert threads == [1, 2]
    finally:
        torch.set_num_threads(before)
