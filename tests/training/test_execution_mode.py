"""Execution modes: each computes what the module does, and falls back to another with a reason."""

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from kerascli.compiler import compiling
from kerascli.compiler import onednn_matmul as products
from kerascli.compiler import program as programs
from kerascli.compiler.cache import use_own_cache
from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.foundation import draws
from kerascli.foundation.device import Choice
from kerascli.foundation.events import Note
from kerascli.runs.record import RunRecord
from kerascli.training import execution_mode
from kerascli.training.execution_mode import GraphRunner, make_runner
from kerascli.training.forward_pass import Eager, Request, Runner, largest_difference
from kerascli.training.loop import Plan
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import make_plan
from tests.support.needs import needs_a_compiler
from tests.support.runs_harness import HARD, go_on, outcome, train, write

CONFIGS = Path(__file__).parents[2] / "configs"

CONVOLUTIONAL = """
seed: 2
data:
  source: {blobs: {rows: 96, features: 64, classes: 3, seed: 3}}
  inputs: {x: [{reshape: [8, 8, 1]}]}
  targets: {y: []}
model:
  layers:
    - conv_2d: {filters: 8, kernel_size: 3, activation: relu, padding: same}
    - batch_normalization
    - max_pooling_2d: 2
    - flatten
    - dropout: 0.2
    - dense: {units: 3, activation: softmax, kernel_regularizer: {l2: 0.001}}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy]}
fit: {epochs: 1, batch_size: 32, class_weight: {0: 2.0}}
"""


def request_of(path: Path, *sets: str, steps: int = 10) -> tuple[Request, Plan]:
    config = open_config(path, sets=sets)
    prepared = load_config_data(config)
    experiment = build_phase(make_phase(config, prepared), Choice("cpu", "a test"))
    experiment.module.train()
    plan = make_plan(experiment, prepared, {})
    batches = [batch for batch, _ in zip(plan.batches(0, 0), range(2), strict=False)]
    assert experiment.spec.training is not None
    (forward_pass,) = experiment.forward_passes
    return Request(forward_pass, batches, steps, experiment.spec.training.compute.jit_compile), plan


def assert_steps_agree(request: Request, plan: Plan, runner: Runner, apart: float) -> None:
    """Compare all batches of an epoch, including a smaller last one."""
    module = Eager(request.forward_pass)
    for number, batch in enumerate(plan.batches(0, 0)):
        found, wanted = (run(batch, draws.Draws(1, "train", number)) for run in (runner, module))
        assert largest_difference(found, wanted) <= apart


@pytest.mark.parametrize("config", ["mnist_mlp", "mnist_lstm", "tiny", "penguins", "two_inputs"])
def test_a_traced_step_is_the_module_s_step(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact with the same kernels (not on AMD processors); a softmax sums to 1 up to rounding."""
    monkeypatch.setattr(programs, "onednn_is_faster", lambda: False)
    sets = ["compile.jit_compile=false", *(["fit.steps_per_epoch=3"] if config.startswith("mnist") else [])]
    request, plan = request_of(CONFIGS / f"{config}.yaml", *sets)
    runner, choice = make_runner(request)
    assert choice == Choice("traced", "jit_compile is false")
    assert isinstance(runner, GraphRunner)
    assert_steps_agree(request, plan, runner, 1e-6)


@pytest.mark.parametrize("sets", [[], ["compile.optimizer={sgd: {loss_scale_factor: 1024.0}}"]])
def test_a_traced_convolutional_step_is_the_module_s_step(tmp_path: Path, sets: list[str]) -> None:
    """Fused kernels add in another order; a loss of float32 sums then agrees to about 1e-6."""
    request, plan = request_of(write(tmp_path, CONVOLUTIONAL), "compile.jit_compile=false", *sets)
    runner, choice = make_runner(request)
    assert choice.value == "traced"
    assert_steps_agree(request, plan, runner, 1e-5)


def test_a_step_with_onednn_s_products_is_the_module_s_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "_LARGE", 0)
    sets = ("compile.jit_compile=false", "fit.steps_per_epoch=3")
    request, plan = request_of(CONFIGS / "mnist_mlp.yaml", *sets)
    runner, choice = make_runner(request)
    assert choice.value == "traced"
    assert isinstance(runner, GraphRunner)
    assert_steps_agree(request, plan, runner, 1e-5)


def test_a_half_precision_step_is_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kernels in the same order, on as many threads, give bit-identical results."""
    monkeypatch.setattr(programs, "fits_one_thread", lambda _: False)
    request, plan = request_of(write(tmp_path, HARD), "compile.jit_compile=false", "compile.precision=mixed_bfloat16")
    runner, choice = make_runner(request)
    assert choice.value == "traced"
    assert_steps_agree(request, plan, runner, 0.0)


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
@needs_a_compiler
def test_a_compiled_step_is_the_module_s_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With oneDNN's products; tests/compiler/test_program.py and test_compiling.py compile without them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # what is set below goes with the test
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    use_own_cache()
    monkeypatch.setattr(programs, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "_LARGE", 0)
    request, plan = request_of(write(tmp_path, CONVOLUTIONAL), "compile.jit_compile=true")
    runner, choice = make_runner(request)
    assert choice == Choice("compiled", "jit_compile is true"), choice
    assert_steps_agree(request, plan, runner, 1e-5)
    folder = tmp_path / "cache" / "kerascli" / "compiled"
    assert list(folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def said(run: RunRecord) -> str:
    return f"{run.facts()['execution_mode']} ({run.facts()['execution_mode_reason']})"


def test_a_failed_compilation_is_reported_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no such kernel\nand many lines more")

    monkeypatch.setattr(compiling.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(programs, "compiled", fails)
    config = write(tmp_path, HARD)
    run, events = train(config, tmp_path / "runs", ["fit.epochs=1", "compile.jit_compile=true"])
    assert said(run) == "traced (compiling failed: RuntimeError: no such kernel)"
    assert f"execution mode: {said(run)}" in [event.text for event in events if isinstance(event, Note)]
    plain, _ = train(config, tmp_path / "plain", ["fit.epochs=1", "compile.jit_compile=false"])
    assert outcome(run) == outcome(plain)


def test_what_cannot_be_traced_runs_as_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a value is looked at")

    monkeypatch.setattr(programs, "trace", fails)
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"])
    assert said(run) == "eager (tracing failed: RuntimeError: a value is looked at)"


@pytest.mark.parametrize("factor", [1.5, float("nan")])
def test_a_program_with_other_numbers_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """A check before training detects errors of a compiler or a pass."""

    def spoiled(code: Any) -> Any:
        return lambda *flat: [None if x is None else x * factor for x in code.forward(*flat)]

    monkeypatch.setattr(programs, "interpreted", spoiled)
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"])
    assert said(run).startswith("eager (the traced graph failed: ValueError: its numbers differ by ")


SEPARABLE = """
seed: 3
data: {source: {blobs: {rows: 400, features: 8, classes: 3, spread: 3.0}}, inputs: {x: []}, targets: {y: []}}
model:
  layers: [{dense: {units: 16, activation: relu}}, {dropout: 0.2}, {dense: {units: 3, activation: softmax}}]
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.1}, metrics: [accuracy], jit_compile: false}
fit: {epochs: EPOCHS, batch_size: 32, validation_split: 0.2}
"""


def test_a_resumed_run_keeps_its_execution_mode_where_its_loss_is_rounding(tmp_path: Path) -> None:
    """Gradients p - 1 of probabilities near 1 are of few digits: a graph and the module differ by more than 1 %."""
    whole, _ = train(write(tmp_path, SEPARABLE.replace("EPOCHS", "14")), tmp_path / "whole")
    assert said(whole).startswith("traced")
    for epochs in range(8, 14):
        path = write(tmp_path, SEPARABLE.replace("EPOCHS", str(epochs)), f"{epochs}.yaml")
        run, _ = train(path, tmp_path / "runs")
        notes = [event.text for event in go_on(run, ["fit.epochs=14"]) if isinstance(event, Note)]
        assert "execution mode: traced (as in the run)" in notes
        assert outcome(run) == outcome(whole)


def test_trying_a_program_changes_nothing(tmp_path: Path) -> None:
    request, _ = request_of(write(tmp_path, CONVOLUTIONAL), "compile.jit_compile=false")
    weights = request.forward_pass.module.weights()
    before = [weight.tensor.clone() for weight in weights]
    make_runner(request)
    for weight, kept in zip(weights, before, strict=True):
        assert torch.equal(weight.tensor, kept)


PLUGIN = """
from torch import Tensor

from kerascli.losses.base import Loss, loss


@loss()
class Gap(Loss):
    '''The absolute difference, with a look at the numbers.'''

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        assert y_pred.abs().max().item() >= 0
        return (y_true - y_pred).abs().mean(-1)
"""


def test_a_plugin_s_code_runs_as_it_is(tmp_path: Path) -> None:
    """Its Python code may use values or count its calls, which a program would lose."""
    write(tmp_path, PLUGIN, "gap.py")
    text = HARD.replace("loss: sparse_categorical_crossentropy", "loss: gap")
    text = text.replace("targets: {y: []}", "targets: {y: [to_categorical]}")
    run, _ = train(write(tmp_path, f"plugins: [gap.py]\n{text}"), tmp_path / "runs", ["fit.epochs=1"])
    assert said(run) == "eager ('gap' is a custom component: its Python code is not traced)"


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [(10, "traced"), (10**6, "compiled")],
)
def test_auto_compiles_what_is_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, wanted: str
) -> None:
    def compiled(code: fx.GraphModule, _: object) -> Callable[..., Sequence[Tensor | None]]:
        return code.forward

    monkeypatch.setattr(compiling.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(programs, "compiled", compiled)
    request, _ = request_of(write(tmp_path, HARD), steps=steps)
    _, choice = make_runner(request)
    assert choice.value == wanted
    assert f"{steps:,} steps" in choice.reason


def test_auto_does_not_compile_convolutions_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: "/usr/bin/" + name)
    request, _ = request_of(write(tmp_path, CONVOLUTIONAL), steps=10**6)
    assert make_runner(request)[1] == Choice(
        "traced", "convolutions take most of a step, which compiling hardly shortens"
    )


def test_auto_does_not_compile_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda _: None)
    request, _ = request_of(write(tmp_path, HARD), steps=10**6)
    assert make_runner(request)[1] == Choice("traced", "jit_compile is auto, but there is no C++ compiler")


@pytest.mark.parametrize("recorded", ["eager", "traced"])
def test_a_run_goes_on_in_its_execution_mode(tmp_path: Path, recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if this version or machine would choose another mode."""
    config = write(tmp_path, HARD)
    run, _ = train(config, tmp_path / "runs", ["fit.epochs=2"])
    run.note(execution_mode=recorded)
    made: list[Choice] = []

    def noting(request: Request, known: str | None) -> tuple[Runner, Choice]:
        runner, choice = make_runner(request, known)
        made.append(choice)
        return runner, choice

    monkeypatch.setattr(execution_mode, "make_runner", noting)
    go_on(run, ["fit.epochs=3"])
    assert made == [Choice(recorded, "as in the run")]


def test_nobody_waits_for_a_compiler_that_does_not_know_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("tried")

    monkeypatch.setattr(compiling.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(programs, "compiled", never)
    text = CONVOLUTIONAL.replace("[{reshape: [8, 8, 1]}]", "[{reshape: [8, 8]}]")
    head, _, rest = text.partition("    - conv_2d")
    text = f"{head}    - lstm: 4\n{rest[rest.index('    - dense') :]}"
    request, _ = request_of(write(tmp_path, text), "compile.jit_compile=true")
    reason = "jit_compile is true, but torch does not compile oneDNN's recurrent kernel"
    assert make_runner(request)[1] == Choice("traced", reason)
