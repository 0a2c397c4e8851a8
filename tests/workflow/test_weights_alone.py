"""Models without data and inputs, whose trained picture is a weight, beside plain PyTorch and closed forms."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.data.storage.image_files import Reading
from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import ConfigError, DataError, FileRefused
from kerascli.optimizers.clipping import scale
from kerascli.workflow.bases import open_config
from kerascli.workflow.check import check
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.train import resume
from tests.support.runs_harness import train, write

PICTURES = Path(__file__).parents[2] / "configs/data/pictures"

PAINTED = """
seed: 3
model:
  shared:
    net:
      trainable: false
      inputs: {x: [24, 32, 3]}
      layers:
        - conv_2d: {filters: 4, kernel_size: 3, activation: relu, name: first}
        - conv_2d: {filters: 5, kernel_size: 3, strides: 2, activation: tanh, name: second}
      outputs: [first, second]
  layers:
    - weight: {shape: [1, 24, 32, 3], initializer: {image: {path: photo.png, size: [24, 32]}}, name: canvas}
    - weight: {shape: [1, 24, 32, 3], initializer: {file: style.npy}, trainable: false, name: style}
    - net: {inputs: canvas, outputs: [low, high]}
    - net: {inputs: style, outputs: [style_low, style_high]}
    - expr: {value: "einsum('nhwc,nhwd->ncd', low, low) - einsum('nhwc,nhwd->ncd', style_low, style_low)", name: apart}
    - add_loss: {value: "mean(square(apart))", weight: 1e-3, name: painted}
    - add_loss: {value: "mean(square(high - style_high))", name: content}
  outputs: canvas
compile: {optimizer: {sgd: {learning_rate: 0.01, momentum: 0.5}}, jit_compile: MODE}
fit: {epochs: 2, steps_per_epoch: 5, callbacks: [sample_images]}
"""


def _config(folder: Path, text: str = PAINTED, mode: str = "false") -> Path:
    shutil.copy(PICTURES / "bay.png", folder / "photo.png")
    np.save(folder / "style.npy", np.random.default_rng(1).random((1, 24, 32, 3)))
    return write(folder, text.replace("MODE", mode))


def _weights(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path / "model.safetensors")


def _plain(weights: dict[str, np.ndarray], canvas: np.ndarray, style: np.ndarray, *, scaled: bool) -> np.ndarray:
    """Return the canvas after ten steps of gradient descent in plain PyTorch."""
    x = torch.tensor(canvas, dtype=torch.float32).permute(0, 3, 1, 2).requires_grad_()
    kernels = {name: torch.tensor(weights[f"net/{name}/kernel"]).permute(3, 2, 0, 1) for name in ("first", "second")}
    biases = {name: torch.tensor(weights[f"net/{name}/bias"]) for name in kernels}

    def features(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low = F.conv2d(pixels, kernels["first"], biases["first"]).relu()
        return low, F.conv2d(low, kernels["second"], biases["second"], stride=2).tanh()

    def gram(values: torch.Tensor) -> torch.Tensor:
        return values.flatten(2) @ values.flatten(2).mT

    with torch.no_grad():
        style_low, style_high = features(torch.tensor(style, dtype=torch.float32).permute(0, 3, 1, 2))
    velocity = torch.zeros_like(x)
    for _ in range(10):
        low, high = features(x)
        loss = 1e-3 * (gram(low) - gram(style_low)).square().mean() + (high - style_high).square().mean()
        (gradient,) = torch.autograd.grad(loss, x)
        gradient = gradient / gradient.abs().mean() if scaled else gradient
        velocity = 0.5 * velocity - 0.01 * gradient
        x = (x + velocity).detach().requires_grad_()
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("mode", "scaled"), [("false", False), ("false", True), ("true", True)])
def test_ten_steps_are_those_of_plain_pytorch(mode: str, scaled: bool, tmp_path: Path) -> None:
    optimizer = "momentum: 0.5, gradient_scale: mean_abs" if scaled else "momentum: 0.5"
    run, _ = train(_config(tmp_path, PAINTED.replace("momentum: 0.5", optimizer), mode), tmp_path / "runs")
    weights, style = _weights(run.path), np.load(tmp_path / "style.npy")
    photo = Reading((24, 32), "rgb", "bilinear", crop=False).decode(tmp_path / "photo.png")[None] / 255
    np.testing.assert_allclose(weights["style/value"], style, rtol=1e-6)
    expected = _plain(weights, photo, style, scaled=scaled)
    assert np.abs(expected - photo).max() > (0.02 if scaled else 0.0002)
    np.testing.assert_allclose(weights["canvas/value"], expected, atol=1e-4)


def test_a_run_needs_its_pictures_only_to_be_trained(tmp_path: Path) -> None:
    run, _ = train(_config(tmp_path), tmp_path / "runs")
    recorded = run.facts()["data"]
    assert {name: recorded[name] for name in ("photo.png", "style.npy")} == {
        name: file_digest(tmp_path / name) for name in ("photo.png", "style.npy")
    }
    assert sorted(path.name for path in (run.path / "samples").iterdir()) == [
        "0001-sample_images.png", "0002-sample_images.png",
    ]  # fmt: skip
    np.save(tmp_path / "style.npy", np.zeros((1, 24, 32, 3)))
    with pytest.raises(DataError, match=r"changed since the run began: style\.npy"):
        list(resume(run, Options(tmp_path / "runs"), ["fit.epochs=3"]))
    (tmp_path / "photo.png").unlink()
    outputs = predict_run(open_run(run), "train").outputs
    np.testing.assert_array_equal(outputs["canvas"], _weights(run.path)["canvas/value"])


def test_a_scaled_gradient_has_the_mean_or_root_mean_square_one() -> None:
    values = torch.tensor([[3.0, -1.0], [0.0, 4.0]])
    gradients = [values.clone(), torch.zeros(3)]
    scale(gradients, "mean_abs")
    torch.testing.assert_close(gradients[0], values / 2)
    torch.testing.assert_close(gradients[1], torch.zeros(3))
    scale(gradients, "rms")
    torch.testing.assert_close(gradients[0], values / 6.5**0.5)


@pytest.mark.parametrize(
    ("old", "new", "place", "text"),
    [
        ("steps_per_epoch: 5, ", "", "22:1", "fit needs steps_per_epoch"),
        ("epochs: 2", "epochs: 2, validation_split: 0.5", "22:18", "validation_split needs rows"),
        ("epochs: 2", "epochs: 2, class_weight: balanced", "22:18", "class_weight needs rows"),
        ("jit_compile", "loss: mse, jit_compile", "21:67", "loss needs rows"),
        ("jit_compile", "metrics: [mae], jit_compile", "21:67", "metrics needs rows"),
        ("size: [24, 32]", "size: 24", "13:52", "the picture's size is [24, 24], the weight's is [24, 32]"),
        ("[1, 24, 32, 3], initializer: {image", "[2, 24, 32, 3], initializer: {image", "13:52", "a picture fills"),
        ("path: photo.png", "path: photo.png, value_range: [1, 0]", "13:91", "black below white"),
        ("momentum: 0.5", "gradient_scale: max", "21:66", "expected mean_abs"),
        ("- net: {inputs: canvas, outputs: [low, high]}", "- dense: 3", "15:7", "needs 'inputs'"),
    ],
)  # fmt: skip
def test_what_needs_rows_or_does_not_fit_is_refused(old: str, new: str, place: str, text: str, tmp_path: Path) -> None:
    path = _config(tmp_path, PAINTED.replace(old, new))
    with pytest.raises(ConfigError) as error:
        check(path, sets=[], flags=[])
    lines = [line for fault in error.value.faults for line in fault.lines()]
    assert any(text in line and f":{place}:" in line for line in lines), lines


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (np.zeros((1, 24, 32)), DataError, "has the shape"),
        (np.full((1, 24, 32, 3), np.nan), FileRefused, "finite numbers"),
        (np.full((1, 24, 32, 3), "a"), FileRefused, "finite numbers"),
        (np.full((1, 24, 32, 3), None), FileRefused, "pickled arrays are never loaded"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(array: np.ndarray, error: type, text: str, tmp_path: Path) -> None:
    path = _config(tmp_path)
    np.save(tmp_path / "style.npy", array)
    with pytest.raises(error, match=text):
        train(path, tmp_path / "runs")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    path = _config(tmp_path)
    (tmp_path / "photo.png").write_bytes((PICTURES / "bay.png").read_bytes()[:900])
    with pytest.raises(DataError, match="damaged image"):
        train(path, tmp_path / "runs")
    (tmp_path / "photo.png").unlink()
    assert any(f"there is no file '{tmp_path}/photo.png'" in line for line in check(path, sets=[], flags=[]).lines)
    with pytest.raises(DataError, match="no such file"):
        train(path, tmp_path / "runs")


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    base = _config(tmp_path / "base", PAINTED.replace("path: photo.png", "path: $photo"))
    base.write_text(f"flags: {{photo: photo.png}}\n{base.read_text()}")
    (tmp_path / "own.yaml").write_text(f"extends: base/{base.name}\nfit: {{epochs: 1}}\n")
    config = open_config(tmp_path / "own.yaml")
    run, _ = train(config.path, tmp_path / "runs")
    assert {"photo.png", "style.npy"} <= run.facts()["data"].keys()


def test_why_refuses_a_model_of_weights_alone(tmp_path: Path) -> None:
    run, _ = train(_config(tmp_path), tmp_path / "runs")
    done = CliRunner().invoke(app, ["why", str(run.path)])
    assert isinstance(done.exception, ConfigError)
    assert "weights alone" in str(done.exception)


def test_updates_of_a_train_step_and_phases_take_no_rows_either(tmp_path: Path) -> None:
    head = PAINTED[: PAINTED.index("compile:")]
    step = """
fit:
  steps_per_epoch: 3
  epochs: 1
  train_step:
    - {name: paint, train: canvas, optimizer: sgd, loss: {dark: {expr: "mean(square(canvas))"}}}
"""
    part = head.replace("    - add_loss", "    #").replace("    - expr", "    #").replace("    - net", "    #")
    part = part[: part.index("  shared:")] + part[part.index("  layers:\n    - weight") :]
    part = "".join(line for line in part.splitlines(keepends=True) if "name: style" not in line)
    run, _ = train(_config(tmp_path, part + step), tmp_path / "runs")
    assert len(run.history()) == 1
    phases = PAINTED.replace("fit: {epochs: 2, ", "fit: {phases: [{epochs: 1}, {epochs: 1}], ").replace("MODE", "false")
    run, _ = train(_config(tmp_path, phases), tmp_path / "runs")
    assert len(run.history()) == 2
