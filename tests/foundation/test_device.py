"""Settings of the device."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kerascli.foundation.device import Choice, of_process, prepare_device
from kerascli.foundation.errors import ConfigError


@pytest.fixture(autouse=True)
def _settings_as_before() -> Iterator[None]:
    before, mode, threads = (
        torch.get_float32_matmul_precision(), torch.get_deterministic_debug_mode(), torch.get_num_threads()
    )  # fmt: skip
    yield
    torch.set_float32_matmul_precision(before)
    torch.set_deterministic_debug_mode(mode)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "highest"), ("cuda", "high"), ("cuda:1", "high")])
def test_products_in_tf32_are_for_cuda_alone(device: str, precision: str, current: list[object]) -> None:
    prepare_device(torch.device(device), deterministic=False)
    assert torch.get_float32_matmul_precision() == precision
    assert current == (
        [torch.device("cuda:1")] if device == "cuda:1" else []
    )  # events and streams are the current GPU's


def test_values_at_equal_positions_are_added_in_one_order_on_the_cpu() -> None:
    """Otherwise, by `scatter` and by the gradient of an index, they are added as threads come to them."""
    prepare_device(torch.device("cpu"), deterministic=False)
    torch.set_num_threads(2)
    places, values = torch.arange(200_000) % 50, torch.randn(200_000, 8)
    sums = [torch.zeros(50, 8).index_put((places,), values, accumulate=True) for _ in range(20)]
    assert all(torch.equal(each, sums[0]) for each in sums)


@pytest.mark.parametrize(("deterministic", "mode"), [(False, 0), (True, 2)])
def test_deterministic_algorithms_on_cuda_are_for_those_who_ask(
    deterministic: bool, mode: int, current: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    prepare_device(torch.device("cuda"), deterministic=deterministic)
    assert torch.get_deterministic_debug_mode() == mode
    assert torch.backends.cudnn.benchmark is not deterministic
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is deterministic


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Devices that were made CUDA's current one, on a machine with four GPUs."""
    found: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_each_process_of_a_machine_has_the_gpu_of_its_local_rank(current: list[object]) -> None:
    assert of_process(Choice("cuda", "found"), 3, 4) == Choice("cuda:3", "found")
    assert current == [3]
    assert of_process(Choice("cpu", "asked for"), 3, 4).value == "cpu"
    assert of_process(Choice("cuda:1", "asked for"), 0, 1).value == "cuda:1"  # each machine has one process
    assert current == [3, "cuda:1"]


def test_more_processes_than_gpus_are_refused(current: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="process 4 of this machine has no GPU: there are 4") as caught:
        of_process(Choice("cuda", "found"), 4, 5)
    assert "start one process for each GPU" in str(caught.value.faults[0].hint)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="process 1 of this machine has no GPU: there are 1"):
        of_process(Choice("cuda", "found"), 1, 2)
    with pytest.raises(ConfigError, match="one GPU, for 2 processes"):
        of_process(Choice("cuda:0", "asked for"), 0, 2)
    assert not current


def test_a_process_that_sees_its_own_gpu_alone_takes_it(current: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """As with Slurm's --gpus-per-task=1."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert of_process(Choice("cuda", "found"), 3, 4).value == "cuda:0"
    assert current == [0]


KEPT = """
import os
from pathlib import Path
import torch
from kerascli.foundation.device import prepare_cpu, return_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

for prepare in (prepare_cpu, return_memory):
    child = os.fork()
    if not child:
        prepare()
        large = torch.empty(2**23)
        large.numpy().fill(1)  # without threads, which a fork has lost
        above = torch.ones(2**10)
        before = resident()
        del large
        print(2**25 - (before - resident()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""Prints the bytes of a freed tensor of 32 MB, below a tensor that is still there, that malloc keeps."""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells a process its memory")
def test_memory_of_large_tensors_is_kept_for_speed_or_returned() -> None:
    """In processes of their own: in one that has freed much, malloc finds room for the tensor there."""
    run = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    kept, returned = map(int, run.stdout.split())
    assert kept > 2**24
    assert returned < 2**20


_COLLECTOR = """
import gc
gc.disable()
from kerascli.foundation.device import prepare_cpu
prepare_cpu()
frozen = gc.get_freeze_count()
assert gc.isenabled() and frozen > 10_000, frozen
prepare_cpu()  # of a second training in this process: garbage of the first one must not be kept
assert gc.get_freeze_count() == frozen
"""


def test_garbage_is_collected_once_modules_are_imported_which_are_not_gone_through() -> None:
    subprocess.run([sys.executable, "-c", _COLLECTOR], check=True)


def test_no_garbage_is_collected_while_a_command_imports(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import gc, sys\nassert 'torch' in sys.modules and not gc.isenabled()\n")
    config = tmp_path / "config.yaml"
    config.write_text("plugins: [own.py]\nmodel: {inputs: {x: [4]}, layers: [{dense: 1}]}\n")
    subprocess.run([sys.executable, "-m", "kerascli", "validate", str(config)], check=True)
