"""Phases with values of flags of their own, in which a picture that is a weight changes its size."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch.nn import functional as F

from kerascli.config.load import open_recorded
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import EpochEnd, PhaseBegin
from kerascli.runs.index import find_run
from kerascli.training.build import build_experiment
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import prepare_phases
from kerascli.workflow.train import start
from tests.support.runs_harness import go_on, outcome, train, write

TARGET = np.random.default_rng(0).random((1, 12, 16, 1)).astype("float32")
OCTAVES = """
seed: 3
flags: {octave: 0, high: $(12 // 2 ** octave), wide: $(16 // 2 ** octave), weight: 1.0}
model:
  layers:
    - weight: {shape: [1, $high, $wide, 1], initializer: random_normal, name: canvas}
    - weight: {shape: [1, 12, 16, 1], initializer: {file: target.npy}, trainable: false, name: target}
    - add_loss: {value: "mean(square(canvas - image.resize(target, [$high, $wide])))", weight: $weight, name: apart}
  outputs: canvas
compile: {optimizer: {sgd: {learning_rate: 8.0, momentum: 0.5}}}
fit:
  epochs: 2
  steps_per_epoch: 2
  callbacks: [sample_images]
  phases: [{flags: {octave: 2}}, {flags: {octave: 1, weight: 0.5}}, {flags: {octave: 0}, epochs: 1}]
"""


def _config(folder: Path, text: str = OCTAVES) -> Path:
    np.save(folder / "target.npy", TARGET)
    return write(folder, text)


def _resized(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(picture, size, mode="bilinear")


def test_each_octave_begins_with_the_resized_picture_of_the_one_before(tmp_path: Path) -> None:
    run, events = train(_config(tmp_path), tmp_path / "runs")
    target = torch.tensor(TARGET).permute(0, 3, 1, 2)
    sizes, weights, steps = ((3, 4), (6, 8), (12, 16)), (1.0, 0.5, 1.0), (4, 4, 2)
    losses: list[float] = []
    canvas = _first(tmp_path)
    for size, weight, count in zip(sizes, weights, steps, strict=True):
        canvas, velocity = _resized(canvas, size), torch.zeros(1, 1, *size)
        for _ in range(count):
            difference = canvas - _resized(target, size)
            losses.append(weight * difference.square().mean().item())
            velocity = 0.5 * velocity - 8.0 * weight * 2 * difference / difference.numel()
            canvas = canvas + velocity
    np.testing.assert_allclose(load(run.weights())["canvas/value"], canvas.permute(0, 2, 3, 1), atol=1e-5)
    means = np.array(losses).reshape(-1, 2).mean(1)
    np.testing.assert_allclose([row["loss"] for row in run.history()], means, rtol=1e-5)
    assert [event.fresh for event in events if isinstance(event, PhaseBegin)] == [True, True, True]


def _first(folder: Path) -> torch.Tensor:
    """Return the canvas that the first phase begins with."""
    phase = prepare_phases(open_config(folder / "config.yaml"))[0]
    experiment = build_experiment(phase.spec, phase.prepared, device=torch.device("cpu"))
    return next(each.keras() for each in experiment.weights if each.name == "canvas/value").permute(0, 3, 1, 2).clone()


def test_octaves_that_were_interrupted_resume_with_the_same_bits(tmp_path: Path) -> None:
    run, _ = train(_config(tmp_path), tmp_path / "whole")
    config = open_config(tmp_path / "config.yaml")
    for epochs in (1, 2, 3, 4):
        events = start(config, Options(tmp_path / f"cut{epochs}"))
        for _ in islice((event for event in events if isinstance(event, EpochEnd)), epochs):
            pass
        events.close()  # type: ignore[attr-defined]
        cut = find_run("latest", tmp_path / f"cut{epochs}")
        go_on(cut)
        assert outcome(cut) == outcome(run)


def test_a_run_of_octaves_holds_them_without_flags(tmp_path: Path) -> None:
    run, _ = train(_config(tmp_path), tmp_path / "runs")
    shapes = [each.document.at(("model", "layers", 0, "weight", "shape")) for each in open_recorded(run).phases]
    assert shapes == [[1, 3, 4, 1], [1, 6, 8, 1], [1, 12, 16, 1]]
    again, _ = train(run.resolved_path, tmp_path / "again")
    assert outcome(again) == outcome(run)


def test_a_frozen_picture_of_another_size_is_read_anew_and_the_command_line_sets_all_phases(tmp_path: Path) -> None:
    text = OCTAVES.replace("[1, 12, 16, 1], initializer: {file: target.npy}", "[1, $high, $wide, 1], initializer: ones")
    config = _config(tmp_path, text.replace("image.resize(target, [$high, $wide])", "target"))
    run, _ = train(config, tmp_path / "runs")
    np.testing.assert_array_equal(load(run.weights())["target/value"], np.ones((1, 12, 16, 1)))
    shapes = [each.document.data["flags"] | dict(each.flags) for each in open_config(config, flags=["octave=1"]).phases]
    assert [(each["high"], each["weight"]) for each in shapes] == [(6, 1.0), (6, 0.5), (6, 1.0)]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("{octave: 2}}", "{octav: 2}}", ":15:21: error: unknown key 'octav' in flags; did you mean 'octave'?"),
        ("{octave: 2}}", "2}", ":15:20: error: flags: expected a mapping"),
        ("$wide, 1]", "$wide, $(octave + 1)]", "'canvas/value' has (1, None, None, 3), then (1, None, None, 2)"),
        (
            "shape: [1, $high, $wide, 1]",
            "shape: [1, $high, 16, $high]",
            "'canvas/value' has (1, None, None, 3), then (1, None, None, 6)",
        ),
    ],
)
def test_what_phases_cannot_share_is_refused(old: str, new: str, text: str, tmp_path: Path) -> None:
    written = OCTAVES.replace(old, new, 1).replace("canvas - image", "sum(canvas) - image")
    path = _config(tmp_path, written.replace("callbacks: [sample_images]", "callbacks: []"))
    with pytest.raises(ConfigError) as error:
        train(path, tmp_path / "runs")
    lines = [line for fault in error.value.faults for line in fault.lines()]
    assert any(text in line for line in lines), lines
