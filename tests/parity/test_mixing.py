"""Augmentations that mix samples equal Keras's layers, given the same random numbers."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import pytest
import torch
from keras.src import backend
from torch import Tensor

from kerascli.data.mixing import AUGMENTATIONS, Augmentation
from kerascli.foundation import draws
from tests.parity import ledger

ROWS, HEIGHT, WIDTH = 5, 7, 9
FIRST = {"data_format": "channels_first"}
CASES = [
    ("MixUp", {}),
    ("MixUp", {"alpha": 4.0}),
    ("MixUp", {"alpha": 0.01}),
    ("MixUp", {"alpha": 1.0, **FIRST}),
    ("CutMix", {}),
    ("CutMix", {"factor": [0.7, 0.3]}),
    ("CutMix", {"factor": 0.1}),
    ("CutMix", {"factor": 0.0}),
    ("CutMix", {"factor": 1.0, **FIRST}),
]


def batch(config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return images and one-hot labels."""
    numbers = torch.Generator().manual_seed(3)
    shape = (ROWS, 3, HEIGHT, WIDTH) if config.get("data_format") == "channels_first" else (ROWS, HEIGHT, WIDTH, 3)
    return torch.rand(shape, generator=numbers), torch.eye(4)[torch.randint(0, 4, (ROWS,), generator=numbers)]


class Dictated:
    """Replaces Keras's `backend.random` by given numbers, in the order in which a layer draws."""

    def __init__(self, step: Augmentation, drawn: Any, alpha: float) -> None:
        self._order, self._weights, *ways = drawn
        self._ways = iter(ways)
        self._alpha = alpha
        self.asked: list[float] = []

    def shuffle(self, x: Tensor, seed: Any) -> Tensor:
        return self._order.to(x.dtype)

    def beta(self, shape: Any, alpha: Any, beta: Any, seed: Any, dtype: str | None = None) -> Tensor:
        self.asked = [float(alpha), float(beta)]
        return self._weights

    def uniform(self, shape: Any, minval: float, maxval: float, dtype: str, seed: Any) -> Tensor:
        if tuple(shape) == ():
            return torch.tensor(minval + self._alpha * (maxval - minval))
        return minval + next(self._ways) * (maxval - minval)


def both(name: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, ...]]:
    """Yield, for several steps, our result with its draws, and Keras's layer with the same numbers."""
    step = AUGMENTATIONS.parse({name: config} if config else name)
    images, _ = batch(config)
    for number in range(4):
        with draws.using(draws.Draws(number, "test", 0)):
            drawn = step.draw(images)
        theirs = getattr(keras.layers, name)(**config, dtype="float32")
        told = Dictated(step, drawn, 0.25)
        monkeypatch.setattr(theirs, "backend", type("Backend", (), {"random": told}))
        for part in ("numpy", "cast", "shape", "convert_to_tensor", "core", "_backend"):
            setattr(theirs.backend, part, getattr(backend, part, None))
        yield step, drawn, theirs, told


@pytest.mark.parametrize(("name", "config"), CASES)
def test_images_and_labels_are_keras_s(name: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch(config)
    comparison = ledger.Comparison(atol=1e-6, rtol=1e-6)
    changed = False
    for step, drawn, theirs, told in both(name, config, monkeypatch):
        wanted = theirs({"images": images.clone(), "labels": labels.clone()}, training=True)
        comparison.same(step.mix_images(images, drawn), wanted["images"])
        comparison.same(step.mix_targets(labels, images, drawn), wanted["labels"])
        low, high = sorted(theirs.factor) if name == "CutMix" else (theirs.alpha, theirs.alpha)
        alpha = low + 0.25 * (high - low) + 1e-6 if name == "CutMix" else low
        assert told.asked == pytest.approx([alpha, alpha])
        changed |= not torch.equal(wanted["images"], images)
    assert changed
    ledger.note(
        "augmentation", AUGMENTATIONS.get(name).component_name, ledger.describe(config), comparison.gap, config=config
    )


@pytest.mark.parametrize("config", [{}, {"factor": [0.7, 0.3]}])
def test_masks_are_cut_as_in_keras(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = batch(config)
    masks = torch.randint(0, 5, images.shape, generator=torch.Generator().manual_seed(1))
    for step, drawn, theirs, _ in both("CutMix", config, monkeypatch):
        wanted = theirs({"images": images.clone(), "segmentation_masks": masks.float()}, training=True)
        found = step.mix_targets(masks, images, drawn)
        assert found.dtype == masks.dtype
        assert torch.equal(found.float(), wanted["segmentation_masks"])


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_arguments_are_keras_s_in_their_order(name: str) -> None:
    theirs = inspect.signature(getattr(keras.layers, name)).parameters
    ours = AUGMENTATIONS.get(name).model_fields
    assert list(ours)[: len(theirs) - 1] == [argument for argument in theirs if argument != "kwargs"]
    wanted = {n: p.default for n, p in theirs.items() if n not in {"kwargs", "data_format"}}
    assert {n: ours[n].default for n in wanted} == wanted
