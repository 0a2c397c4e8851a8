"""Estimates of the memory of a training: parameters by counting, activations by torch's hooks and by real tensors."""

import copy
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.memory import config
from kerascli import draws
from kerascli.config.load import open_config
from kerascli.config.run import RunSpec
from kerascli.data.base import Field
from kerascli.data.batches.loader import Batch
from kerascli.data.pipeline.prepare import no_stages
from kerascli.training.build import build_experiment
from kerascli.training.distributed import fsdp
from kerascli.training.forward_pass import Eager
from kerascli.training.heap import Heap
from kerascli.training.memory_estimate import Groups, peak_bytes, without_memory
from kerascli.workflow import fsdp_checks, memory_of_process
from kerascli.workflow.check import check
from kerascli.workflow.memory_of_process import NotEstimated, memory_estimate
from tests.training.distributed.configs import ALL

DENSE = """
data:
  source: {blobs: {rows: 640, features: 64, classes: 16}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 256, use_bias: false, activation: tanh}
    - dense: {units: 16, use_bias: false}
    - softmax
compile: {loss: sparse_categorical_crossentropy, optimizer: OPTIMIZER}
fit: {batch_size: 32FIT}
"""
WEIGHTS = 4 * (64 * 256 + 256 * 16)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (torch.cuda, torch.backends.mps):
        absent = wraps(module.is_available)(lambda: False)  # torch's compiler asks for what it wraps
        monkeypatch.setattr(module, "is_available", absent)


def spec_of(folder: Path, text: str) -> RunSpec:
    path = folder / "config.yaml"
    path.write_text(text)
    config = open_config(path)
    return config.describe(config.facts())


def dense(folder: Path, optimizer: str = "adam", fit: str = "") -> RunSpec:
    return spec_of(folder, DENSE.replace("OPTIMIZER", optimizer).replace("FIT", fit))


@pytest.mark.parametrize(
    ("optimizer", "states"), [("sgd", 0), ("adam", 2), ("{adam: {use_ema: true, gradient_accumulation_steps: 2}}", 4)]
)
def test_weights_states_and_gradients_are_counted(tmp_path: Path, optimizer: str, states: int) -> None:
    found = memory_estimate(dense(tmp_path, optimizer), None, 1)
    assert found.weights == WEIGHTS
    assert found.optimizer == states * WEIGHTS
    assert (
        found.gradients == 2 * WEIGHTS
    )  # one vector for the optimizer, and those that the traced graph is tested with
    assert found.saving == 4 * 64 * 256


def test_a_process_has_its_part_of_the_batch_and_sums_for_its_shards(tmp_path: Path) -> None:
    one, two = (memory_estimate(dense(tmp_path, "sgd", fit), None, 2) for fit in ("", ", shards: 8"))
    assert one.weights == two.weights == WEIGHTS
    assert one.gradients == 3 * WEIGHTS  # the optimizer's, those that the graph is tested with, and a vector's form
    assert two.gradients == 2 * WEIGHTS + 3 * WEIGHTS  # four shards: a vector's form, and sums of one and of two
    wide = DENSE.replace("OPTIMIZER", "sgd").replace("FIT", "").replace("32", "4096")
    alone, parted = (memory_estimate(spec_of(tmp_path, wide), None, processes) for processes in (1, 4))
    assert parted.step == pytest.approx(alone.step / 4, rel=0.1)


def test_activations_are_those_that_autograd_saves() -> None:
    x, weights = torch.ones(8, 32), [torch.ones(32, 32, requires_grad=True) for _ in range(5)]

    def forward() -> Tensor:
        result = x
        for weight in weights:
            result = (result @ weight).tanh()
        return result

    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not (isinstance(tensor, nn.Parameter) or tensor.is_leaf):
            saved[tensor.untyped_storage().data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    assert len(saved) == 5
    assert peak_bytes(forward) == sum(saved.values()) + result.nbytes  # the last product is there beside its tanh


@pytest.mark.parametrize("name", ["mlp", "cnn", "gan"])
def test_tensors_without_memory_are_counted_as_real_ones(tmp_path: Path, name: str) -> None:
    spec = spec_of(tmp_path, ALL[name])
    peaks = []
    for is_real in (True, False):
        own = copy.deepcopy(spec)
        with nullcontext() if is_real else without_memory():
            peaks.append(_peaks(own, is_real=is_real))
    assert peaks[0] == peaks[1]


def _peaks(spec: RunSpec, *, is_real: bool) -> list[int]:
    experiment = build_experiment(spec, no_stages(), device=torch.device("cpu"), initialize=is_real)
    given = {each.name: each.spec.shape for built in spec.graphs for each in built.model.inputs}
    x = {name: torch.zeros(8, *(size or 0 for size in shape)) for name, shape in given.items()}
    y = {name: torch.zeros(8, dtype=torch.int64) for name in spec.targets or {}}
    experiment.module.train()
    passes = [Eager(each) for each in experiment.forward_passes]
    return [peak_bytes(lambda run=run: run.run(Batch(x, y, {}, 8))) for run in passes]


LSTM = """
import torch
from torch import Tensor

def backward(steps: int, rows: int, features: int, units: int) -> list[Tensor]:
    x = torch.ones(steps, rows, features, requires_grad=True)
    kernels = [torch.full((4 * units, size), 1e-3) for size in (features, units)]
    bias, h = torch.zeros(4 * units), torch.zeros(1, rows, units)
    given, sizes = (x, *kernels, bias, bias, h, h), (False, 2, units, 1, True, True, False)
    found = torch.ops.aten.mkldnn_rnn_layer(*given, False, [], *sizes[1:], True)
    results = torch.ops.aten.mkldnn_rnn_layer_backward(
        *given, *found[:3], torch.ones_like(found[0]), None, None, *sizes, [], True, found[3]
    )
    return [*found, *(each for each in results if each is not None)]
"""
TOUCHED = f"""{LSTM}
import sys
from pathlib import Path
from kerascli.device import return_memory

def peak() -> int:
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["VmHWM"].split()[0])

torch.set_num_threads(1)
backward(2, 2, 8, 8)
return_memory()
before = peak()
backward(*map(int, sys.argv[1:]))
print(peak() - before)
"""
"""Prints the bytes by which the backward pass of an LSTM makes a process larger."""


def lstm(*sizes: int) -> Callable[[], list[Tensor]]:
    names: dict[str, Any] = {}
    exec(LSTM, names)
    return lambda: names["backward"](*sizes)


def test_memory_that_an_lstm_has_for_its_backward_pass_is_counted() -> None:
    """Tensors without memory do not show it; torch returns it on real ones. The results are there beside it.

    The tolerance is for the padding of rows, and for oneDNN in torch 2.8, which reserves a sixth more.
    """
    sizes = (16, 16, 96, 64)
    kernels, outputs = 4 * 4 * 64 * (96 + 64), 4 * 16 * 16 * 64
    with without_memory():
        found = peak_bytes(lstm(*sizes))
    real = sum(each.nbytes for each in lstm(*sizes)())
    others = 4 * (16 * 16 * 96 + 4 * 64 * 2 + 16 * 64) + kernels + outputs  # given, and ones
    assert found == pytest.approx(real + others + 4 * outputs + 2 * kernels, rel=0.18)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process its memory")
def test_memory_that_an_lstm_never_writes_does_not_count_where_it_is_returned() -> None:
    sizes = (64, 64, 320, 256)
    command = [sys.executable, "-c", TOUCHED, *map(str, sizes)]
    touched = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with without_memory():
        found = peak_bytes(lstm(*sizes), is_returned=True)
    assert found == pytest.approx(touched, rel=0.15)


@pytest.mark.parametrize("name", ALL)
def test_a_step_of_any_kind_is_estimated(tmp_path: Path, name: str) -> None:
    assert memory_estimate(spec_of(tmp_path, ALL[name]), None, 2).step > 0


def checked(folder: Path, text: str, processes: int | None) -> tuple[str, str]:
    path = folder / "config.yaml"
    path.write_text(text)
    found = check(path, sets=(), flags=(), processes=processes)
    return "\n".join(found.lines), "\n".join(str(fault.text) for fault in found.warnings)


def test_validate_prints_the_memory_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DENSE.replace("OPTIMIZER", "adam").replace("FIT", "")
    assert "memory" not in checked(tmp_path, text, None)[0]
    line, warning = checked(tmp_path, text, 2)
    assert "memory of a process: about" in line
    assert "weights 82 kB, optimizer 164 kB" in line
    assert "need" not in warning
    monkeypatch.setattr(memory_of_process, "memory_limit", lambda: 300 * 10**6)
    _, warning = checked(tmp_path, text, 2)
    assert "each of 2 processes needs about 331 MB of memory, but this machine has 300 MB for each of 2" in warning
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # the other one runs on another machine
    assert "need" not in checked(tmp_path, text, 2)[1]


def test_a_model_of_unknown_sizes_is_not_estimated(tmp_path: Path) -> None:
    spec = dense(tmp_path)
    unknown = replace(spec, targets={"y": Field((None,), "float32")})
    with pytest.raises(NotEstimated, match="the shape of 'y' is not known"):
        memory_estimate(unknown, None, 1)


def test_random_numbers_are_not_drawn() -> None:
    with without_memory():
        assert peak_bytes(lambda: draws.uniform(torch.ones(4, 8))) == 2 * 4 * 4 * 8


def test_fsdp_divides_weights_and_states_and_gathers_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the activations: two groups that are gathered, gradients of the largest one, and parts of all."""
    whole = memory_estimate(dense(tmp_path), None, 4)
    small = memory_estimate(dense(tmp_path, fit=", distribute: fsdp"), None, 4)
    monkeypatch.setattr(fsdp, "_GROUP_ELEMENTS", 2000)
    freed, kept = (
        memory_estimate(dense(tmp_path, fit=f", distribute: {{fsdp: {{reshard_after_forward: {value}}}}}"), None, 4)
        for value in ("true", "false")
    )
    assert freed.weights == kept.weights == WEIGHTS // 4
    assert freed.optimizer == whole.optimizer // 4
    assert freed.saving == (WEIGHTS + whole.optimizer) // 4
    assert kept.step == freed.step  # two groups: both are gathered ahead, or kept
    assert freed.step >= WEIGHTS + 4 * 64 * 256 + WEIGHTS // 4
    assert small.step - freed.step == WEIGHTS - 4 * 64 * 256  # one group: all is there twice


def test_the_peak_of_groups_is_in_the_backward_pass() -> None:
    """The peak, at the group of 50, has its weights and gradients, 30 gathered ahead, 20 sent, and 7 in no group."""
    sizes = [10, 30, 50, 20, 7]
    assert Groups(sizes, are_freed=True).peak == 2 * 7 + 30 + 2 * 50 + 20
    assert Groups(sizes, are_freed=False).peak == 2 * 7 + 10 + 30 + 2 * 50 + 20


def test_activation_checkpointing_needs_less(tmp_path: Path) -> None:
    deep = DENSE.replace("    - softmax\n", "    - softmax\n    - dense: {units: 64, activation: gelu}\n" * 8)
    deep = deep.replace("OPTIMIZER", "sgd").replace(
        "32FIT", "4096, distribute: {fsdp: {activation_checkpointing: CHECK}}"
    )
    kept, again = (
        memory_estimate(spec_of(tmp_path, deep.replace("CHECK", value)), None, 2) for value in ("false", "true")
    )
    assert again.step < 0.8 * kept.step


def test_evaluate_and_predict_of_a_divided_model_need_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two processes holds 9.6 of 19.2 MB, and twice a kernel of 15.4; activations take 19 (at 1.2 times 16)."""
    monkeypatch.setattr(fsdp_checks, "version", lambda name: "2.13.0+cpu")
    text = DENSE.replace("OPTIMIZER", "adam").replace("units: 256", "units: 60000").replace("FIT", ", distribute: fsdp")
    line, _ = checked(tmp_path, text, 2)
    assert "memory of evaluate and predict: about 59 MB on each of 2 processes, 38 MB on one, beside" in line
    assert "evaluate and predict" not in checked(tmp_path, text.replace("fsdp", "ddp"), 2)[0]


def test_a_forward_pass_frees_what_it_gathered() -> None:
    """The largest group of weights counts twice, as gathered and in place; groups that are not freed stay beside it."""
    assert Groups([3, 5, 1], are_freed=True).forward_peak == 1 + 5 + 5
    assert Groups([3, 5, 1], are_freed=False).forward_peak == 1 + 3 + 5 + 5
    assert Groups([2], are_freed=True).forward_peak == 2


def test_a_free_piece_is_used_whole_and_is_too_small_for_an_equal_tensor() -> None:
    heap = Heap()
    large, small = heap.take(100_000), heap.take(50_000)
    heap.give_back(large)
    assert heap.take(50_000) == large  # neither divided ...
    heap.give_back(small)
    heap.give_back(large)
    before = heap.size
    heap.take(120_000)  # ... nor joined with the other one
    assert heap.size == before + 120_096
    assert heap.take(10) == 0  # it lies between the others


def test_memory_that_a_divided_model_keeps_is_in_pieces(tmp_path: Path) -> None:
    """Peaks of real trainings vary from 150 to 200 MB; 100 MB of tensors exist at once."""
    spec = spec_of(tmp_path, config("cnn", "fsdp"))
    data = 4 * 256 * 12288
    assert memory_estimate(spec, None, 2).total + data == pytest.approx(175 * 10**6, rel=0.1)


def test_kept_memory_of_growing_tensors_is_never_used_again() -> None:
    def grow() -> None:
        for size in range(2000, 2010):
            torch.zeros(size)

    assert peak_bytes(grow) == 4 * 2009
    assert peak_bytes(grow, heap=Heap()) == sum(4 * size + 96 for size in range(2000, 2010))
