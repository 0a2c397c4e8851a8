"""Image operations in the data section: once for all rows in evaluation, at random in training batches only."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kerascli.data.base import NO_STATE, TRANSFORMS, Field
from kerascli.data.pipeline.pipeline import Stage
from kerascli.foundation import draws
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS
from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageModule
from tests.support.transform_harness import transformed

NAMES = sorted(operation.__name__ for operation in operations())
IMAGES = torch.tensor(np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3)).astype(np.uint8))
FIELD = Field((8, 6, 3), "uint8")


def config_of(name: str) -> dict[str, object]:
    return next(dict(operation.uses[0]) for operation in operations() if operation.__name__ == name)


@pytest.mark.parametrize("name", NAMES)
def test_a_transform_is_the_layer_of_the_same_name(name):
    written = {name: config_of(name)} if config_of(name) else name
    step, layer = TRANSFORMS.parse(written), LAYERS.parse(written)
    assert step.component_name == layer.component_name
    assert set(type(layer).model_fields) - set(type(step).model_fields) == {"trainable"}
    module = step.module(FIELD, NO_STATE, torch.float32, target=False)
    assert isinstance(module, ImageModule)
    after = step.infer(FIELD, None, target=False)
    for training in (True, False):
        with draws.using(draws.Draws(0, "test", 0)):
            got = module.train(training)(IMAGES)
        assert tuple(got.shape[1:]) == after.shape
        assert str(got.dtype) == f"torch.{after.dtype}"


def stage(step: int, names: tuple[str, ...] = ("x", "y"), training: bool = True) -> dict[str, torch.Tensor]:
    made = Stage({name: TRANSFORMS.parse({"random_crop": {"height": 4, "width": 4}}).module(
        FIELD, NO_STATE, torch.float32, target=False) for name in names}).train(training)  # fmt: skip
    with draws.using(draws.Draws(0, "train", step)):
        return made(dict.fromkeys(names, IMAGES))


def test_each_step_and_each_input_draws_its_own_numbers_and_the_same_again():
    first = stage(0)
    assert torch.equal(first["x"], stage(0)["x"])
    assert torch.equal(first["y"], stage(0, ("y",))["y"])
    assert not torch.equal(first["x"], stage(1)["x"])
    assert not torch.equal(first["x"], first["y"])
    assert torch.equal(stage(0, training=False)["x"], stage(1, training=False)["x"])


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("Random")])
def test_a_target_is_not_changed_at_random(name):
    with pytest.raises(ValueError, match="only inputs"):
        TRANSFORMS.parse({name: config_of(name)} if config_of(name) else name).infer(FIELD, None, target=True)


def test_what_follows_must_be_done_in_the_batch():
    with pytest.raises(ValueError, match="batch by batch"):
        transformed(TRANSFORMS.parse("random_flip"), IMAGES.numpy(), NO_STATE, FIELD)
    resized = transformed(
        TRANSFORMS.parse({"resizing": {"height": 4, "width": 5}}), IMAGES.numpy(), NO_STATE, FIELD, target=True
    )
    assert resized.shape == (4, 4, 5, 3)
    assert resized.dtype == np.uint8


@pytest.mark.parametrize(
    ("written", "field", "words"),
    [
        ("random_flip", Field((784,), "uint8"), "needs images"),
        ("random_flip", Field((), "string"), "needs numbers"),
        ({"random_hue": 0.2}, Field((28, 28, 1), "uint8"), "needs images of 3 channels"),
        ("random_perspective", Field((1, 28, 3), "uint8"), "at least 2 x 2"),
        ({"random_erasing": {"fill_value": [1.0, 2.0, 3.0]}}, Field((28, 28, 1), "uint8"), "the images have 1"),
    ],
)
def test_what_is_no_image_is_refused(written, field, words):
    with pytest.raises(ValueError, match=words):
        TRANSFORMS.parse(written).infer(field, None, target=False)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"random_brightness": 1.5}, "factor"),
        ({"random_brightness": [0.1]}, "factor"),
        ({"random_zoom": -1.0}, "must be above -1"),
        ({"random_gaussian_blur": {"kernel_size": 4}}, "must be odd"),
        ({"random_invert": {"value_range": [1, 0]}}, r"\[black, white\]"),
        ({"random_posterization": 9}, "factor"),
        ({"random_flip": "sideways"}, "horizontal"),
        ({"resizing": {"height": 3, "width": 3, "interpolation": "area"}}, "bilinear"),
    ],
)
def test_settings_that_cannot_be_are_reported(written, words):
    with pytest.raises(Invalid, match=words):
        TRANSFORMS.parse(written)


CONFIG = """
data:
  source: {npz: {path: data.npz}}
  inputs:
    x: [{random_crop: {height: 6, width: 6}}, random_flip, {random_rotation: 0.1}, {rescaling: $(1/255)}]
  targets: {y: []}
model:
  layers: [{random_contrast: {factor: 0.1, value_range: [0, 1]}}, flatten, {dense: {units: 2, activation: softmax}}]
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}
fit: {epochs: 2, batch_size: 8, validation_split: 0.25}
"""


def test_a_run_augments_in_training_alone(tmp_path: Path):
    """Two evaluations are equal to the last digit, and a run can be repeated."""
    from typer.testing import CliRunner

    from kerascli.cli.commands import app

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.integers(0, 256, (32, 8, 8, 3)).astype(np.uint8), y=rng.integers(0, 2, 32))
    (tmp_path / "a.yaml").write_text(CONFIG)
    histories = []
    for name in ("first", "second"):
        command = ["train", str(tmp_path / "a.yaml"), "--set", "seed=3", "--runs-dir", str(tmp_path / name)]
        made = CliRunner().invoke(app, command, catch_exceptions=False)
        assert made.exit_code == 0, made.output
        (history,) = (tmp_path / name).glob("*/history.csv")
        histories.append([line.split(",")[:4] for line in history.read_text().splitlines()])
    assert histories[0] == histories[1]
