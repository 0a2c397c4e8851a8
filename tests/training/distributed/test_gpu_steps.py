"""On GPUs, no step and no batch of an evaluation waits for the device, and no tensor of the CPU is added by NCCL."""

import json
import subprocess
import sys
from typing import Any

import pytest

from kerascli.training.strategies import checks

STEPS = (
    "cnn/traced", "cnn/shards", "gan/traced", "synchronized/traced", "masked/eager", "clipped/eager",
    "divided/fsdp",
)  # fmt: skip
"""Configs, each with its execution mode; `shards` are added in order."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    if checks.torch_version() < checks.FIRST_TORCH:
        pytest.skip("this torch has no devices that Python registers, or another FSDP")
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
    """Floats of 32 and 64 bits, and bytes; none in pieces. Predictions go to process 0 from CPU to CPU."""
    assert "error" not in found[name], found[name]
    wanted = ["send cpu int64", "send cpu uint8", "all_gather gpu uint8"]
    if name.endswith("shards"):  # parts, from each process to each other one
        wanted.append("P2POp gpu uint8")
    if not name.endswith("shards"):
        wanted += ["all_reduce gpu float32", "all_reduce gpu float64"]
    if name.endswith("fsdp"):  # NCCL's own reduce-scatter, not that over gloo
        wanted += ["all_gather_single gpu float32", "reduce_scatter_single gpu float32"]
    assert found[name]["sums"] == sorted(wanted)
