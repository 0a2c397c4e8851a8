"""Settings of the device."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from kerascli.device import prepare_cpu, prepare_gpu, return_memory
from tests.support.storage_harness import in_child


@pytest.fixture(autouse=True)
def _precision_as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "highest"), ("cuda", "high"), ("cuda:1", "high")])
def test_products_in_tf32_are_for_cuda_alone(device: str, precision: str) -> None:
    prepare_gpu(torch.device(device))
    assert torch.get_float32_matmul_precision() == precision


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells a process its memory")
def test_memory_of_large_tensors_is_kept_for_speed_or_returned(tmp_path: Path) -> None:
    """Of 32 MB that are freed, below a tensor that is still there, malloc keeps all or none."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def kept_bytes(prepare: Callable[[], None]) -> int:
        def work() -> None:
            prepare()
            large = torch.empty(2**23)
            large.numpy().fill(1)  # without threads, which a fork has lost
            above = torch.ones(2**10)
            before = resident()
            del large
            (tmp_path / "kept").write_text(str(2**25 - (before - resident())))
            del above

        assert in_child(work) == 0
        return int((tmp_path / "kept").read_text())

    assert kept_bytes(prepare_cpu) > 2**24
    assert kept_bytes(return_memory) < 2**20
