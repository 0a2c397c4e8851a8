"""On GPUs, no step and no batch of an evaluation waits for the device, and no tensor of the CPU is added by NCCL."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch.utils.backend_registration

STEPS = (
    "cnn/traced", "cnn/shards", "gan/traced", "lstm/eager", "synchronized/traced", "masked/eager", "clipped/eager",
)  # fmt: skip
"""Configs, each with its execution mode; `shards` are added in order."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no devices that Python registers")
    command = (sys.executable, "-m", "tests.training.distributed.gpu_steps", *STEPS)
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_moves_the_signals_alone_and_without_waiting(found: dict[str, Any], name: str) -> None:
    """To read a value would raise an error, and so would an operation on tensors of two devices."""
    assert "error" not in found[name], found[name]
    passes = 3 if name.startswith("gan") else 1
    assert found[name]["steps"] == ["aten._to_copy.default gpu 4"] * (2 * passes)


@pytest.mark.parametrize("name", STEPS)
def test_an_evaluation_moves_the_signals_alone_and_without_waiting(found: dict[str, Any], name: str) -> None:
    assert "error" not in found[name], found[name]
    assert [move.removeprefix("aten.").partition(" ")[2] for move in found[name]["evaluation"]] == ["gpu 4"] * 2


@pytest.mark.parametrize("name", STEPS)
def test_sums_are_of_tensors_on_the_gpu_that_nccl_takes(found: dict[str, Any], name: str) -> None:
    """Floats of 32 and 64 bits, and bytes; none in pieces."""
    assert "error" not in found[name], found[name]
    kind = "P2POp" if name.endswith("shards") else "all_reduce"
    assert found[name]["sums"] == sorted(["all_gather gpu uint8", f"{kind} gpu float32", f"{kind} gpu float64"])
