"""Settings of the device."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kerascli.device import prepare_gpu


@pytest.fixture(autouse=True)
def _precision_as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "highest"), ("cuda", "high"), ("cuda:1", "high")])
def test_products_in_tf32_are_for_cuda_alone(device: str, precision: str) -> None:
    prepare_gpu(torch.device(device))
    assert torch.get_float32_matmul_precision() == precision


KEPT = """
import os
from pathlib import Path
import torch
from kerascli.device import prepare_cpu, return_memory

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
