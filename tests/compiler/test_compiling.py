"""Programs compiled to native code: results, cache keys, and use of cached code by runs."""

import stat
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, fx
from torch.nn import functional as F

from kerascli.compiler import compiled_operations, compiling
from kerascli.compiler.cache import use_own_cache
from kerascli.compiler.compiling import compiled, is_compiled
from kerascli.compiler.torch_private import compile_library
from kerascli.compiler.tracing import trace
from kerascli.foundation.device import prepare_device
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from tests.support.needs import needs_a_compiler
from tests.support.runs_harness import HARD, kerascli, outcome, train, write


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache folder of this test only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # what is set below goes with the test
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    use_own_cache()
    return tmp_path / "cache" / "kerascli" / "compiled" / "programs"


def scaled(x: Tensor, y: Tensor) -> list[Tensor | None]:
    y += 1.0
    return [(x * 2.0).sum(-1), None, x @ y]


def code_of(function: Callable[..., object], *examples: Tensor) -> fx.GraphModule:
    return trace(function, [tensor.clone() for tensor in examples])


def never(*_: object) -> None:
    raise AssertionError("compiled")


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
def test_native_code_does_what_the_program_does(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with a missing result and an argument that it changes; a damaged library is compiled again."""
    x, y = torch.randn(4, 3), torch.randn(3, 5)
    code = code_of(scaled, x, y)
    assert not is_compiled(code, [x, y])
    library = compiling._library(code, [x, y])
    library.parent.mkdir(parents=True)
    library.write_bytes(b"no library")
    for _ in range(2):
        run = compiled(code, [x, y])
        found, wanted = y.clone(), y.clone()
        monkeypatch.setattr(compiling, "_make", never)
        results, expected = run(x, found), scaled(x, wanted)
        assert results[1] is None
        for ours, theirs in zip(results, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(found, wanted)
    assert is_compiled(code, [x, y])
    assert stat.S_IMODE(programs.parent.stat().st_mode) == 0o700
    assert [path.name for path in programs.iterdir()] == [library.parent.name]


def embedded_rows_added(gradient: Tensor, words: Tensor) -> list[Tensor]:
    return [torch.ops.aten.embedding_dense_backward(gradient, words, 7, -1, False)]


def taken_rows_added(gradient: Tensor, words: Tensor) -> list[Tensor]:
    return [torch.zeros(7, gradient.shape[1]).index_add(0, words, gradient)]


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
@pytest.mark.parametrize("rows_added", [embedded_rows_added, taken_rows_added])
def test_the_gradient_of_an_embedding_is_the_same_in_every_run(
    rows_added: Callable[..., list[Tensor]], programs: Path
) -> None:
    """Several threads add thousands of rows to each of seven words, as in the traced graph, in one order."""
    before, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(2)
    prepare_device(torch.device("cpu"), deterministic=False)
    try:
        gradient, words = torch.randn(20_000, 16), torch.randint(7, (20_000,))
        run = compiled(code_of(rows_added, gradient, words), [gradient, words])
        expected = rows_added(gradient, words)[0]
        for _ in range(20):
            (result,) = run(gradient, words)
            assert result is not None
            assert torch.equal(result, expected)
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode(mode)


def normalized_images(x: Tensor, kernel: Tensor, gamma: Tensor, beta: Tensor, *averages: Tensor) -> list[Tensor]:
    weights = [each.detach().requires_grad_() for each in (x, kernel, gamma, beta)]
    with torch.enable_grad():
        y = F.conv2d(weights[0], weights[1], padding=1, groups=3)
        y = F.batch_norm(y, *averages, *weights[2:], training=True).permute(0, 2, 3, 1).relu()
        total = (F.max_pool2d(y.permute(0, 3, 1, 2), 2) ** 2).sum()
        return [total.detach(), *torch.autograd.grad(total, weights), *averages]


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_compiled_code_calls_convolutions_and_pooling(programs: Path, layout: torch.memory_format) -> None:
    x, columns = torch.randn(4, 6, 8, 6).contiguous(memory_format=layout), [torch.rand(15) for _ in range(4)]
    inputs = [x, torch.randn(15, 2, 3, 3), *columns]
    code = code_of(normalized_images, *inputs)
    run = compiled(code, inputs)
    library = compiling._library(code, inputs).read_bytes()
    for name in ("convolution", "convolution_backward", "max_pool2d_with_indices", "max_pool2d_with_indices_backward"):
        assert f"aoti_torch_cpu_{name}\0".encode() in library
    ours = run(*(each.clone() for each in inputs))
    theirs = normalized_images(*(each.clone().double() for each in inputs))
    for one, other in zip(ours, theirs, strict=True):
        assert one is not None
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")
def test_no_compiled_product_reads_its_bias(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's compiler makes `addmm` of a product and a sum, which copies the bias to all rows first."""
    for module in (compiling, compiled_operations):
        monkeypatch.setattr(module, "onednn_is_faster", lambda: False)
    inputs = [torch.randn(8, 6), torch.randn(5, 6), torch.randn(5)]
    code = code_of(lambda *inputs: [F.linear(*inputs).relu()], *inputs)
    run = compiled(code, inputs)
    torch.testing.assert_close(run(*inputs)[0], F.linear(*inputs).relu())
    library = compiling._library(code, inputs).read_bytes()
    assert b"aoti_torch_cpu_mm_out" in library
    assert b"addmm" not in library


def test_what_is_there_is_not_made_again(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache key consists of the program's text, its constants, and the shapes and dtypes of its arguments."""
    monkeypatch.setattr(compiling, "_make", never)
    x, y = torch.ones(4, 3), torch.ones(3, 5)
    code = code_of(scaled, x, y)
    library = compiling._library(code, [x, y])
    library.parent.mkdir(parents=True)
    library.touch()
    assert is_compiled(code, [x, y])
    assert is_compiled(code_of(scaled, x, y), [x + 1, y])
    assert not is_compiled(code, [torch.ones(8, 3), y])
    assert not is_compiled(code, [torch.ones(3, 4).t(), y])
    assert not is_compiled(code, [x.double(), y.double()])
    assert not is_compiled(code_of(lambda x, y: [x * 3.0, x @ y], x, y), [x, y])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_library_is_found_again_by_constants_and_threads(
    programs: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.ones(3)
    constants = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    one, same, other = (compiling._library(code_of(lambda x, c=c: [x * c], x), [x]) for c in constants)
    assert one == same != other
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert compiling._library(code_of(lambda x: [x * constants[0]], x), [x]) != one


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
def test_a_compiled_run_comes_to_what_a_traced_one_does_and_auto_takes_its_code(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout and a smaller last batch; sums are added in another order, so it is not equal to the bit.

    What was compiled lies in the user's own cache, not in a folder that others could write to. The next run takes it
    from there without loading the compiler, the optimizer's update rule, too.
    """
    config = write(tmp_path, HARD.replace("rows: 640", "rows: 90").replace("clipnorm: 1.0", "epsilon: 1e-3"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # runs in this process have set it
    shared = tmp_path / "shared"
    shared.mkdir()

    def command(*arguments: str, **environment: str) -> str:
        done = kerascli(
            "train", str(config), "--set", "fit.epochs=3", *arguments, cwd=tmp_path,
            XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(shared), **environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    command("--set", "compile.jit_compile=true", "--runs-dir", "compiled")
    assert list(programs.iterdir())
    assert not [path for path in shared.iterdir() if path.name.startswith("torchinductor")]
    first = find_run("latest", tmp_path / "compiled")
    assert first.facts()["execution_mode"] == "compiled", first.facts()["execution_mode_reason"]
    traced, _ = train(config, tmp_path / "traced", ["fit.epochs=3", "compile.jit_compile=false"])
    assert traced.facts()["execution_mode"] == "traced"
    assert_runs_agree(first, traced)

    said = command("--runs-dir", "second", PYTHONPROFILEIMPORTTIME="1")
    assert "execution mode: compiled (it has been compiled before)" in said
    assert "torch._inductor" not in said, "the compiler is loaded"
    assert outcome(find_run("latest", tmp_path / "second")) == outcome(first)
    other, _ = train(config, tmp_path / "third", ["fit.epochs=3", "compile.optimizer=adagrad"])
    assert other.facts()["execution_mode"] == "traced", "its rule has not been compiled"


def assert_runs_agree(one: RunRecord, other: RunRecord) -> None:
    """Assert that runs agree after a few epochs of steps whose sums differ in the last bits."""
    ours, theirs = (load_tensors(run.weights()) for run in (one, other))
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=1e-6, rtol=1e-5)
    for row, wanted in zip(one.history(), other.history(), strict=True):
        assert row["loss"] == pytest.approx(wanted["loss"], abs=1e-6)
        assert row["val_loss"] == pytest.approx(wanted["val_loss"], abs=1e-6)


def test_warnings_of_the_compiler_about_its_own_code_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def aot_compile(*_: object, **__: object) -> str:
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1)
        return "program.so"

    monkeypatch.setitem(sys.modules, "torch._inductor", SimpleNamespace(aot_compile=aot_compile))
    assert compile_library(torch.fx.symbolic_trace(torch.nn.Identity()), [torch.zeros(1)]) == Path("program.so")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs a torch with oneDNN")
@needs_a_compiler
def test_products_of_middle_size_are_done_by_onednn_where_it_is_faster(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w = torch.linspace(-1, 1, 2**15).view(128, 256), torch.linspace(-2, 1, 2**15).view(256, 128)
    code = code_of(lambda x, w: [None, (x @ w).relu(), x @ w[:, :16]], x, w)
    made: list[str] = []

    def compiles(code: fx.GraphModule, examples: list[Tensor]) -> Path:
        made.append(code.code)
        return compile_library(code, examples)

    monkeypatch.setattr(compiling.torch_private, "compile_library", compiles)
    monkeypatch.setattr(compiling, "onednn_is_faster", lambda: True)
    results = compiled(code, [x, w])(x, w)
    assert made[0].count("kerascli.linear") == 1
    assert made[0].count("aten.mm") == 1
    assert "kerascli" not in code.code, "a traced graph keeps its products"
    for result, expected in zip(results[1:], [(x @ w).relu(), x @ w[:, :16]], strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-4)
