"""Settings of the device."""

from collections.abc import Iterator

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
