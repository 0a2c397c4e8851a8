"""Non-finite numbers stop a training, and are never stored in a file."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from kerascli.cli.commands import app
from kerascli.foundation.errors import TrainingStopped
from kerascli.optimizers.guard import Guard, are_finite
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training.step import nonfinite
from kerascli.workflow.fitting import saver
from tests.support.runs_harness import train, write

# One batch an epoch: the update of an epoch's last step is what overflows.
LINEAR = """
seed: 1
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 1, name: out}}]}
compile: {optimizer: {sgd: 1.0e+38}, loss: mae}
fit: {epochs: 6, batch_size: 20, shuffle: false}
"""
# The rate is 0 up to the fourth epoch's step, and then one that overflows.
LATER = "sgd: {learning_rate: {piecewise_constant_decay: {boundaries: [2], values: [0.001, 1.0e+38]}}}"


def linear(folder: Path, optimizer: str = "sgd: 1.0e+38", scale: float = 100.0) -> Path:
    x = np.full((20, 3), scale, dtype=np.float32)
    np.savez(folder / "data.npz", allow_pickle=False, x=x, y=np.zeros((20, 1), np.float32))  # type: ignore[arg-type]
    return write(folder, LINEAR.replace("sgd: 1.0e+38", optimizer))


def stopped(config: Path, runs: Path) -> tuple[RunRecord, TrainingStopped]:
    with pytest.raises(TrainingStopped) as caught:
        train(config, runs)
    return find_run("latest", runs), caught.value


def saved_numbers(run: RunRecord) -> list[np.ndarray]:
    """Return every float in the weights and checkpoints of a run."""
    files = [*run.path.glob("model.safetensors"), *(run.path / "checkpoints").glob("*.safetensors")]
    return [v for file in files for v in load(file.read_bytes()).values() if v.dtype.kind == "f"]


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_an_update_that_overflows_at_once_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Neither if a checkpoint is due at the end of that epoch nor if none is."""
    monkeypatch.setattr(saver, "EPOCH_SECONDS", seconds)
    run, error = stopped(linear(tmp_path), tmp_path / "runs")
    assert "'out/kernel' became nan or infinite by epoch 1, step 1: an update overflowed" in str(error)
    assert str(error).endswith("no weights are saved: there was no checkpoint before it")
    assert error.exit_code == 5
    assert saved_numbers(run) == []
    assert run.history() == [], "the figures of such weights are not recorded"
    assert run.status() == "failed"


def test_an_update_that_overflows_later_leaves_the_weights_of_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver, "EPOCH_SECONDS", -1.0)
    config = linear(tmp_path, LATER)
    run, error = stopped(config, tmp_path / "runs")
    assert "'out/kernel' became nan or infinite by epoch 4, step 1" in str(error)
    assert str(error).endswith(f"the weights of the last checkpoint (step 3) are saved in {run.path}")
    assert len(saved_numbers(run)) >= 6
    assert all(np.isfinite(values).all() for values in saved_numbers(run))
    good, _ = train(config, tmp_path / "good", ["fit.epochs=3"])
    for name, value in load(good.weights()).items():
        np.testing.assert_array_equal(load(run.weights())[name], value)
    assert len(run.history()) == 3


def test_state_of_the_optimizer_that_overflows_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient of 1e25 is finite, its square is not: Adam would never move that weight again."""
    monkeypatch.setattr(saver, "EPOCH_SECONDS", -1.0)
    run, error = stopped(linear(tmp_path, "adam: 0.1", scale=1e25), tmp_path / "runs")
    assert "'adam/out/kernel/velocity' became nan or infinite by epoch 1, step 1" in str(error)
    assert all(np.isfinite(values).all() for values in saved_numbers(run))
    assert str(error).endswith(f"the last finite weights are saved in {run.path}")


def test_weights_that_are_not_finite_are_reported_by_what_uses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Current runs cannot have such weights; runs of earlier versions may."""
    monkeypatch.chdir(tmp_path)
    run, _ = train(linear(tmp_path, "sgd: 1.0e-3"), tmp_path / "runs")
    weights = load(run.weights())
    weights["out/bias"][0] = np.inf
    run.write_weights(save(weights))
    told = "warning: the weight 'out/bias' is nan or infinite: nothing computed with it can be relied on"
    for command in ("evaluate latest train", "predict latest train", "export latest --format safetensors"):
        app(command.split(), standalone_mode=False)
        assert told in capsys.readouterr().err, command


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_is_found_wherever_it_is(dtype: torch.dtype, bad: float) -> None:
    good = torch.zeros(70, dtype=dtype)
    for position in range(70):
        values = good.clone()
        values[position] = bad
        assert not are_finite([good, values])
        assert nonfinite({"a": good, "b": values.reshape(7, 10).T, "c": torch.arange(3)}) == "b"


def _add_one(weights: torch.Tensor) -> None:
    weights.add_(1.0)


@pytest.mark.parametrize("waits", [True, False])
def test_large_finite_numbers_are_finite_though_their_sum_is_not(waits: bool) -> None:
    gradient = torch.full((1000,), 1e38)
    assert torch.isinf(gradient.sum())
    assert are_finite([gradient, torch.tensor(1e300, dtype=torch.float64)])
    guard, weights = Guard(torch.device("cpu")), torch.zeros(3)
    guard.waits = waits
    guard.run(partial(_add_one, weights), torch.tensor(3.0), [gradient], [weights])
    assert guard.bad_step() is None
    assert weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (1.0, -math.inf), (math.inf, 1.0)])
def test_a_bad_step_changes_nothing(waits: bool, loss: float, gradient: float) -> None:
    guard, weights = Guard(torch.device("cpu")), torch.zeros(3)
    guard.waits = waits
    guard.run(partial(_add_one, weights), torch.tensor(loss), [torch.full((5,), gradient)], [weights])
    assert guard.bad_step() == 1
    assert weights.tolist() == [0.0, 0.0, 0.0]
