"""Random initializers: values equal Keras's, given the same random draws."""

from typing import Any

import keras
import pytest
import torch
from keras.src.initializers import random_initializers

from tests.parity import ledger
from tests.support.parts_harness import FLOAT64, fill

AXES = {"input_axes": [0, 2], "output_axes": [1]}
SCALED = {
    "glorot_normal": "GlorotNormal", "glorot_uniform": "GlorotUniform", "he_normal": "HeNormal",
    "he_uniform": "HeUniform", "lecun_normal": "LecunNormal", "lecun_uniform": "LecunUniform",
    "variance_scaling": "VarianceScaling",
}  # fmt: skip
SHAPES = [(6, 5), (7,), (3, 2, 5, 4)]

CASES: list[tuple[str, str, dict[str, Any], tuple[int, ...]]] = [
    *[(name, theirs, {}, shape) for name, theirs in SCALED.items() for shape in SHAPES],
    *[(name, theirs, AXES, (4, 5, 6)) for name, theirs in SCALED.items()],
    *[
        ("variance_scaling", "VarianceScaling", {"scale": 3.0, "mode": mode, "distribution": distribution}, (3, 5, 4))
        for mode in ("fan_in", "fan_out", "fan_avg")
        for distribution in ("uniform", "normal", "truncated_normal", "untruncated_normal")
    ],
    *[
        (name, theirs, config, (4, 3))
        for name, theirs in (("random_normal", "RandomNormal"), ("truncated_normal", "TruncatedNormal"))
        for config in ({}, {"mean": 1.0, "stddev": 0.2})
    ],
    ("random_uniform", "RandomUniform", {}, (4, 3)),
    ("random_uniform", "RandomUniform", {"minval": -0.5, "maxval": 2.0}, (4, 3)),
    *[
        ("orthogonal", "Orthogonal", config, shape)
        for config in ({}, {"gain": 0.3})
        for shape in ((5, 3), (3, 5), (2, 3, 4))
    ],
]


class Draws:
    """Replaces Keras's random numbers by ours for the seed of `fill`, scaled and shifted as requested."""

    def normal(self, shape: Any, mean: float = 0.0, stddev: float = 1.0, **_: Any) -> torch.Tensor:
        return fill("random_normal", tuple(shape), {"mean": 0.0, "stddev": 1.0}) * stddev + mean

    def truncated_normal(self, shape: Any, mean: float = 0.0, stddev: float = 1.0, **_: Any) -> torch.Tensor:
        return fill("truncated_normal", tuple(shape), {"mean": 0.0, "stddev": 1.0}) * stddev + mean

    def uniform(self, shape: Any, minval: float = 0.0, maxval: float = 1.0, **_: Any) -> torch.Tensor:
        return fill("random_uniform", tuple(shape), {"minval": 0.0, "maxval": 1.0}) * (maxval - minval) + minval


@pytest.mark.parametrize(("name", "theirs", "config", "shape"), CASES)
def test_values_are_keras_s_given_the_draws(
    name: str, theirs: str, config: dict[str, Any], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    initializer = getattr(keras.initializers, theirs)(**config)
    monkeypatch.setattr(random_initializers, "random", Draws())
    expected = initializer(shape, dtype="float64")
    compared = ledger.Comparison(atol=1e-12)
    compared.same(fill(name, shape, config), torch.as_tensor(expected, dtype=FLOAT64))
    ledger.note("initializer", name, ledger.describe(config, shape), compared.gap, config=config)
