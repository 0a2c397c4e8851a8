"""The example configs whose picture is a weight, beside the losses of Keras's examples on Keras's networks: after ten
steps of the same optimizer from the same picture, through the same random weights, the pictures are equal."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import applications, layers, ops
from keras.src.legacy.saving import legacy_h5_format
from PIL import Image
from safetensors.numpy import load
from torch import Tensor

from kerascli.training.build import build_experiment
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.phases import prepare_phases
from tests.support.runs_harness import train

pytestmark = [
    pytest.mark.usefixtures("keras_makes_float64", "graphs_compute_in_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # Keras, as it saves weights
]

CONFIGS = Path(__file__).parents[2] / "configs/generative"
HIGH, WIDE = 32, 48
MEANS = (103.939, 116.779, 123.68)

resize: Any = ops.image.resize
Loss = Callable[[Tensor], Tensor]


def _network(make: Callable[..., Any], folder: Path) -> Any:
    """Return a network of Keras with random weights (He), which are also in a file `weights.h5`."""
    network, draw = make(include_top=False, weights=None), np.random.default_rng(4)
    for weight in network.weights:
        shape, name = weight.shape, weight.path.rsplit("/")[-1]
        values = draw.normal(size=shape) * ((2 / np.prod(shape[:-1])) ** 0.5 if name == "kernel" else 0.1)
        values = draw.uniform(0.5, 1.5, shape) if name == "moving_variance" else values
        weight.assign(values.astype("float32"))  # as files are read: where relus switch, gradients jump
    with h5py.File(folder / "weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return network


def _taps(network: Any, names: list[str]) -> Callable[[Any], list[Tensor]]:
    model = keras.Model(network.inputs, [network.get_layer(name).output for name in names])
    return lambda x: list(model(x, training=False))


def _picture(folder: Path, name: str, high: int = HIGH, wide: int = WIDE) -> Tensor:
    """Write a picture of random colors; return its pixels [1, height, width, 3]."""
    small = np.random.default_rng(len(name)).uniform(40, 215, (8, 8, 3)).astype("uint8")
    picture = Image.fromarray(small).resize((wide, high), Image.Resampling.BICUBIC)
    picture.save(folder / f"{name}.png")
    return torch.tensor(np.array(picture)[None], dtype=torch.float64)


def _preprocessed(x: Tensor) -> Tensor:
    return x.flip(-1) - torch.tensor(MEANS)


def _ours(example: str, shared: str, folder: Path, **flags: object) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Train an example for ten steps a phase; return its weights at the end, and those that it begins with."""
    sets = [f"model.shared.{shared}.weights={folder / 'weights.h5'}", "seed=1", "fit.epochs=1", "fit.callbacks=[]"]
    sets += ["fit.steps_per_epoch=10", *(f"flags.{name}={value}" for name, value in flags.items())]
    config = open_config(CONFIGS / f"{example}.yaml", sets=sets)
    phase = prepare_phases(config)[0]
    begun = build_experiment(phase.spec, phase.prepared, device=torch.device("cpu"))
    first = {weight.name: weight.keras().clone() for weight in begun.weights}
    run, _ = train(config.path, folder / "runs", sets)
    return load(run.weights()), first


def _minimized(loss: Loss, canvas: Tensor, optimizer: Any, after: Loss = lambda x: x) -> np.ndarray:
    """Return the canvas after ten steps of an optimizer of Keras."""
    variable = keras.Variable(canvas.clone(), dtype="float64")
    for _ in range(10):
        x = variable.value.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x), x)
        optimizer.apply([gradient], [variable])
        variable.assign(after(variable.value.detach()))
    return variable.value.detach().numpy()


def _ascended(loss: Loss, x: Tensor, step: float, size: Loss) -> Tensor:
    """Return a picture after ten steps along its gradient, divided by `size` of it."""
    for _ in range(10):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x), x)
        x = x + step * gradient / size(gradient)
    return x.detach()


def _gram(features: Tensor) -> Tensor:  # (C, *) -> (C, C)
    return features.flatten(1) @ features.flatten(1).T


def _variation(x: Tensor) -> Tensor:
    down = (x[:, :-1, :-1] - x[:, 1:, :-1]).square()
    across = (x[:, :-1, :-1] - x[:, :-1, 1:]).square()
    return (down + across).pow(1.25).sum()


def _assert_same(ours: np.ndarray, theirs: np.ndarray, first: Tensor, least: float) -> None:
    assert np.abs(theirs - first.numpy()).max() > least
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * least)


def test_deep_dream_with_three_octaves(tmp_path: Path) -> None:
    reacts = {"mixed4": 1.0, "mixed5": 1.5, "mixed6": 2.0, "mixed7": 2.5}
    features = _taps(_network(applications.InceptionV3, tmp_path), list(reacts))
    high, wide = 160, 180
    photo = _picture(tmp_path, "photo", high, wide) / 127.5 - 1

    def reaction(x: Tensor) -> Tensor:
        return sum(
            (weight * maps[:, 2:-2, 2:-2].square().sum() / maps.numel())
            for weight, maps in zip(reacts.values(), features(x), strict=True)
        )  # type: ignore[return-value]

    sizes = [(int(high / 1.4**octave), int(wide / 1.4**octave)) for octave in (2, 1, 0)]
    picture = smaller = resize(photo, sizes[0])
    for size in sizes:
        picture = _ascended(reaction, resize(picture, size), 0.01, lambda g: g.abs().mean().clamp(min=1e-7))
        original = resize(photo, size)
        picture = picture + original - resize(smaller, size)
        smaller = original
    weights, _ = _ours("deep_dream", "inception", tmp_path, photo=tmp_path / "photo.png", height=high, width=wide)
    _assert_same(weights["photo/value"] + weights["dream/value"], picture.numpy(), photo, 0.1)


def test_pictures_of_filters(tmp_path: Path) -> None:
    network = _network(applications.VGG16, tmp_path)
    weights, first = _ours("conv_filter_visualization", "vgg", tmp_path, size=24, first=3, layer="block2_conv1")
    features = _taps(network, ["block2_conv1"])
    moved = []  # others get stuck: they react to no part of the noise
    for number in range(8):
        canvas = first[f"canvas_{number}/value"]

        def reaction(x: Tensor, number: int = number) -> Tensor:
            return features(x)[0][..., 3 + number].mean()

        picture = _ascended(reaction, canvas, 1.0, lambda g: g.square().mean().sqrt() + 1e-7)
        np.testing.assert_allclose(weights[f"canvas_{number}/value"], picture, atol=1e-4)
        moved.append((picture - canvas).abs().max() > 1)
    assert sum(moved) >= 3


def test_neural_style_transfer(tmp_path: Path) -> None:
    names = [f"block{number}_conv1" for number in range(1, 6)]
    features = _taps(_network(applications.VGG16, tmp_path), [*names, "block4_conv2"])
    photo, painting = (_picture(tmp_path, name) for name in ("photo", "painting"))

    def loss(x: Tensor) -> Tensor:
        *styles, content = features(torch.cat([_preprocessed(each) for each in (photo, painting, x)]))
        total = 0.025 * (content[2] - content[0]).square().sum() + _variation(x)
        for maps in styles:
            apart = _gram(maps[1].movedim(-1, 0)) - _gram(maps[2].movedim(-1, 0))
            total = total + apart.square().sum() / (4 * 3**2 * (HIGH * WIDE) ** 2) / len(styles)
        return total

    files = {name: tmp_path / f"{name}.png" for name in ("photo", "painting")}
    weights, first = _ours("neural_style_transfer", "vgg", tmp_path, **files, height=HIGH, width=WIDE)
    theirs = _minimized(loss, first["canvas/value"], keras.optimizers.Adam(2.0))
    _assert_same(weights["canvas/value"], theirs, photo, 2.0)


def test_style_transfer_with_eager_execution(tmp_path: Path) -> None:
    names = [f"block{number}_conv1" for number in range(1, 6)]
    features = _taps(_network(applications.VGG19, tmp_path), [*names, "block5_conv2"])
    photo, painting = (_picture(tmp_path, name, HIGH, HIGH) for name in ("photo", "painting"))
    draw = np.random.default_rng(7)  # pixels that the first steps would move out of the range, no two alike in a row
    photo[0, :9] = torch.tensor(
        draw.permuted(np.tile([0.0, 1, 2, 252, 253, 255, 254, 3], (9, HIGH, 1)), axis=-1)[..., :3]
    )
    Image.fromarray(photo[0].numpy().astype("uint8")).save(tmp_path / "photo.png")

    def gram(maps: Tensor) -> Tensor:
        return _gram(maps.movedim(-1, 0)) / (maps.shape[0] * maps.shape[1])

    def loss(x: Tensor) -> Tensor:
        *styles, content = features(torch.cat([_preprocessed(each) for each in (photo, painting, x)]))
        total = 100 * (content[2] - content[0]).square().mean()
        for maps in styles:
            total = total + 0.8 / len(styles) * (gram(maps[2]) - gram(maps[1])).square().mean()
        variation = (x[:, 1:] - x[:, :-1]).abs().sum() + (x[:, :, 1:] - x[:, :, :-1]).abs().sum()
        return total + 0.01 * variation

    files = {name: tmp_path / f"{name}.png" for name in ("photo", "painting")}
    weights, first = _ours("eager_styletransfer", "vgg", tmp_path, **files, size=HIGH)
    adam = keras.optimizers.Adam(1.0, beta_1=0.99, epsilon=0.1)
    theirs = _minimized(loss, first["canvas/value"], adam, lambda x: x.clamp(0, 255))
    assert ((theirs == 0) | (theirs == 255)).any()
    _assert_same(weights["canvas/value"], theirs, photo, 2.0)


def test_neural_doodle(tmp_path: Path) -> None:
    network = _network(applications.VGG19, tmp_path)
    names = [f"block{number}_conv1" for number in range(1, 6)]
    features = _taps(network, names)
    painting = _picture(tmp_path, "painting")
    masks = np.zeros((2, HIGH, WIDE, 3))
    masks[0, :14, :, 0] = masks[0, 14:, :20, 1] = masks[0, 14:, 20:, 2] = 1
    masks[1, :, :17, 0] = masks[1, :11, 17:, 1] = masks[1, 11:, 17:, 2] = 1
    for name, mask in zip(("painting_mask", "doodle"), masks, strict=True):
        Image.fromarray((mask * 255).astype("uint8")).save(tmp_path / f"{name}.png")
    parts: dict[str, Tensor] = {}
    x: Any = torch.tensor(masks)
    for layer in network.layers[1:]:
        if "conv" in layer.name:
            x = parts[layer.name] = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        else:
            x = layers.AveragePooling2D(2)(x)

    def loss(x: Tensor) -> Tensor:
        total = 50 * _variation(x)
        for name, maps in zip(names, features(torch.cat([_preprocessed(painting), _preprocessed(x)])), strict=True):
            for region in range(3):
                own = parts[name][..., region]
                style, target = (
                    _gram(each.movedim(-1, 0) * part) / part.mean() / maps.shape[-1]
                    for each, part in zip(maps, own, strict=True)
                )
                total = total + (style - target).square().mean() / len(names)
        return total

    files = {name: tmp_path / f"{name}.png" for name in ("painting", "painting_mask", "doodle")}
    weights, first = _ours("neural_doodle", "vgg", tmp_path, **files, height=HIGH, width=WIDE)
    theirs = _minimized(loss, first["canvas/value"], keras.optimizers.Adam(4.0))
    _assert_same(weights["canvas/value"], theirs, first["canvas/value"], 4.0)
