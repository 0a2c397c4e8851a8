"""The sweep over learning rates of `train --find-learning-rate`."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kerascli.config.load import open_config
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError
from kerascli.training.step import Progress
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import PhaseRunner, prepare_phases
from kerascli.workflow.interchange.init_from import InitWeights
from kerascli.workflow.tuning.find_learning_rate import FIRST, LAST, STEPS, Sweep, _steepest, find_learning_rate
from tests.support.runs_harness import command, write

LINE = """
seed: 1
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 1, name: out}}]}
compile: {loss: mse, optimizer: {sgd: 0.01}}
fit: {batch_size: 16, shuffle: false}
"""


def rows(folder: Path, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = (scale * random.normal(size=(160, 3))).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [3.0]], np.float32)
    np.savez(folder / "data.npz", x=x, y=y)
    return x, y


def swept(folder: Path, text: str = LINE) -> Sweep:
    return find_learning_rate(open_config(write(folder, text)), Options(runs_dir=folder / "runs", device="cpu"))


def test_the_losses_are_those_of_gradient_descent_with_growing_rates(tmp_path: Path) -> None:
    x, y = rows(tmp_path)
    found = swept(tmp_path)
    rates = np.geomspace(FIRST, LAST, STEPS)
    np.testing.assert_allclose(found.learning_rates, rates[: len(found.losses)], rtol=1e-12)
    phases = prepare_phases(open_config(tmp_path / "config.yaml"))
    fill = partial(InitWeights().load, config=phases[0].config, options=Options())
    runner = PhaseRunner(phases, Choice("cpu", "a test"), Options(), Progress(), None, fill)
    weights = {weight.spec.name: weight.keras().numpy().copy() for weight in runner.state.experiment.weights}
    kernel, bias, average = weights["kernel"], weights["bias"], 0.0
    for step, expected in enumerate(found.losses[:-5]):  # rounding errors grow as the training diverges
        part = slice(16 * (step % 10), 16 * (step % 10) + 16)
        error = x[part] @ kernel + bias - y[part]
        average = 0.9 * average + 0.1 * float((error**2).mean())
        assert expected == pytest.approx(average / (1 - 0.9 ** (step + 1)), rel=1e-5)
        kernel = kernel - rates[step] * 2 * x[part].T @ error / 16
        bias = bias - rates[step] * 2 * error.mean(0)
    # gradient descent on a square diverges from 2 / the largest curvature on
    limit = 2 / np.linalg.eigvalsh(2 * x.T @ x / len(x)).max()
    assert limit / 100 < found.suggestion < limit
    assert not (tmp_path / "runs").exists()


def test_a_chance_fall_of_the_first_averages_is_no_suggestion() -> None:
    losses = [1.5, 1.2, *np.full(30, 1.0), *np.linspace(1.0, 0.5, 20), *np.linspace(0.5, 2.0, 10)]
    assert 30 < _steepest(losses) < 52


def test_the_command_prints_a_suggestion_and_draws_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(tmp_path)
    path = write(tmp_path, LINE)
    monkeypatch.chdir(tmp_path)
    said = command("train", path, "--find-learning-rate", "--device", "cpu")
    assert said.splitlines()[0].startswith("learning rate  0.")
    assert said.splitlines()[1] == "plot           config-learning-rates.png"
    assert (tmp_path / "config-learning-rates.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(command("train", path, "--find-learning-rate", "--device", "cpu", "--json"))
    assert f"learning rate  {found['suggestion']:.2g}" == said.splitlines()[0]
    assert not (tmp_path / "runs").exists()


def test_what_a_sweep_cannot_do_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(tmp_path)
    schedule = LINE.replace(
        "{sgd: 0.01}", "{sgd: {learning_rate: {cosine_decay: {initial_learning_rate: 0.1, decay_steps: 9}}}}"
    )
    with pytest.raises(ConfigError, match="follows 'cosine_decay'"):
        swept(tmp_path, schedule)
    monkeypatch.chdir(tmp_path)
    for option, value in (("--resume", "latest"), ("--name", "a"), ("--processes", "2")):
        with pytest.raises(ConfigError, match=f"^{option} cannot be used with --find-learning-rate"):
            command("train", write(tmp_path, LINE), "--find-learning-rate", option, value)
    with pytest.raises(ConfigError, match="'latest'"):
        command("train", "latest", "--find-learning-rate")


def test_a_loss_that_diverges_at_once_is_reported(tmp_path: Path) -> None:
    rows(tmp_path, scale=1e5)
    with pytest.raises(ConfigError, match=r"the loss diverges within .* steps, at a learning rate of"):
        swept(tmp_path)
