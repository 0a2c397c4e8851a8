"""Tracing: a program computes what the function did, and functions that cannot be traced raise an error."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental import symbolic_shapes

from kerascli.compiler import tracing
from kerascli.compiler.tracing import trace
from kerascli.foundation import light_torch


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


SMALL = """
seed: 1
data:
  source: {blobs: {rows: 32, features: 64, classes: 3}}
  inputs: {x: [{reshape: [8, 8, 1]}]}
  targets: {y: []}
model:
  layers: [{conv_2d: {filters: 2, kernel_size: 3}}, relu, batch_normalization, flatten, {dense: 3}, softmax]
compile: {loss: sparse_categorical_crossentropy, jit_compile: false}
fit: {epochs: 1, batch_size: 16}
"""


def test_a_loop_of_too_many_operations_is_refused_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MAX_OPERATIONS", 100)
    steps: list[int] = []

    def loop(x: Tensor) -> Tensor:
        for step in range(1000):
            steps.append(step)
            x = x + 1
        return x

    with pytest.raises(ValueError, match="a step has more than 100 operations"):
        trace(loop, [torch.zeros(2)])
    assert len(steps) < 110


def test_a_model_is_built_traced_and_trained_without_the_compiler_and_without_sympy(tmp_path: Path) -> None:
    """They take 0.6 and 0.4 s to load; tested in a separate process, since other tests load them."""
    (tmp_path / "config.yaml").write_text(SMALL)
    program = """
import sys
from kerascli.cli.app import main
sys.argv = ["kerascli", "train", "config.yaml", "--device", "cpu", "--quiet"]
try: main()
except SystemExit as end: assert not end.code
assert "torch" in sys.modules
assert not {"torch._dynamo", "sympy", "torch.fx.experimental.symbolic_shapes"} & set(sys.modules)
import torch._dynamo, sympy
assert torch._dynamo.config is not None
assert sympy.Symbol("x").name == "x"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600, cwd=tmp_path)


OF_NUMBERS: list[tuple[str, list[object]]] = [
    *((name, [value]) for name in ("expect_true", "guard_or_false", "guard_or_true") for value in (True, False)),
    ("guard_size_oblivious", [True]),
    ("statically_known_true", [False]),
    ("guard_int", [3]),
    ("guarding_hint_or_throw", [3]),
    ("_advise_is_size", [3]),
    ("has_guarding_hint", [3]),
    ("is_nested_int", [3]),
    ("sym_and", [True, True, False]),
    ("sym_and", [True]),
    ("sym_or", [False, True]),
    ("sym_or", [False, False]),
    ("sym_eq", [3, 3]),
    ("sym_eq", [3, 4]),
    ("sym_eq", [(1, 2), [1, 2]]),
    ("sym_eq", [(1, 2), (1, 2, 3)]),
]


@pytest.mark.filterwarnings("ignore:guard_size_oblivious will be removed:FutureWarning")
@pytest.mark.parametrize(
    ("name", "arguments"),
    OF_NUMBERS,
)
def test_functions_of_numbers_are_torch_s(name: str, arguments: list[object]) -> None:
    theirs = getattr(symbolic_shapes, name, None)
    if theirs is None:
        pytest.skip(f"torch {torch.__version__} has no {name}")
    assert light_torch._STAND_INS[symbolic_shapes.__name__][name](*arguments) == theirs(*arguments)


def test_symbols_are_left_to_torch() -> None:
    size = symbolic_shapes.ShapeEnv().create_unbacked_symint()
    equal = light_torch._STAND_INS[symbolic_shapes.__name__]["sym_eq"](size, 3)
    assert isinstance(equal, torch.SymBool)


def test_every_function_of_the_stand_in_is_compared() -> None:
    assert {name for name, _ in OF_NUMBERS} == light_torch._STAND_INS[symbolic_shapes.__name__].keys()


def test_the_stand_ins_make_way_for_the_real_modules() -> None:
    """Whatever is used first, each in a forked process, all of torch's compiler works afterwards."""
    program = """
import os, sys, warnings, torch
from kerascli.foundation.light_torch import without_compiler

def is_well(used):
    warnings.simplefilter("ignore")
    with without_compiler():
        import sympy, torch._dynamo
        import torch.fx.experimental.symbolic_shapes as shapes
        assert torch._dynamo.disable(len) is len and shapes.sym_eq(3, 3)
        exec(used)
    assert torch.compile(lambda x: x + 1, backend="eager", dynamic=True)(torch.ones(2)).sum() == 4
    assert isinstance(sympy.Symbol("x"), sympy.Basic)
    assert sys.modules["torch._dynamo"].__spec__ is not None

for used in ("import torch._dynamo.utils", "import sympy.abc", "shapes.ShapeEnv()"):
    child = os.fork()
    if not child:
        is_well(used)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, used
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)
