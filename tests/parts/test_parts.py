"""Initializers, regularizers and others: moments of draws, dumping and reading, refused arguments."""

import math
import re

import pytest
import torch
from torch import Tensor

from kerascli.language.component import Invalid
from kerascli.parts.base import ACTIVATIONS, CONSTRAINTS, INITIALIZERS, REGULARIZERS
from tests.parity.test_parts import ACTIVATION_CASES
from tests.support.parts_harness import FLOAT64, fill, parse, random


@pytest.mark.parametrize(
    ("registry", "name", "canonical"),
    [
        (ACTIVATIONS, "activation_swish", "silu"),
        (ACTIVATIONS, "hard_swish", "hard_silu"),
        (INITIALIZERS, "initializer_glorot_uniform", "glorot_uniform"),
        (INITIALIZERS, "uniform", "random_uniform"),
        (INITIALIZERS, "normal", "random_normal"),
        (REGULARIZERS, "regularizer_orthogonal", "orthogonal_regularizer"),
        (REGULARIZERS, "L1L2", "l1_l2"),
        (CONSTRAINTS, "constraint_maxnorm", "max_norm"),
        (CONSTRAINTS, "constraint_minmaxnorm", "min_max_norm"),
    ],
)
def test_other_spellings_find_the_canonical_part(registry, name, canonical):
    assert registry.find(name).component_name == canonical


@pytest.mark.parametrize(("name", "config"), ACTIVATION_CASES)
def test_activations_read_back_as_they_were_written(name, config):
    part = parse(ACTIVATIONS, name, config)
    assert ACTIVATIONS.parse(part.dump()) == part


SCALED = ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"]


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("shape", [(300, 500), (3, 3, 40, 60), (20_000,)])
def test_scaled_initializers_have_the_variance_that_the_fans_ask_for(name, shape):
    fan_in, fan_out = (math.prod(shape[:-2]) * size for size in (shape * 2)[len(shape) * 2 - 2 :])
    if len(shape) == 1:
        fan_in = fan_out = shape[0]
    fan = (fan_in + fan_out) / 2 if "glorot" in name else fan_in
    variance = (2 if "he_" in name else 1) / fan
    values = fill(name, shape)
    assert_moments(values, 0.0, variance)
    # A uniform number ends at sqrt(3) deviations; a truncated normal at 2 of those before it was cut.
    limit = math.sqrt(3 * variance) if "uniform" in name else 2 * math.sqrt(variance) / 0.87962566103423978
    assert 0.98 * limit < values.abs().max() <= limit


def assert_moments(values: Tensor, mean: float, variance: float) -> None:
    """Mean and variance within five standard errors (the fourth moment of a normal number bounds all of ours)."""
    count = values.numel()
    assert values.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(variance / count))
    assert values.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / count))


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal", "untruncated_normal"])
def test_variance_scaling(mode, distribution):
    values = fill("variance_scaling", (100, 400), {"scale": 3.0, "mode": mode, "distribution": distribution})
    assert_moments(values, 0.0, 3.0 / {"fan_in": 100, "fan_out": 400, "fan_avg": 250}[mode])


def test_variance_scaling_takes_the_axes_it_is_given():
    values = fill("he_uniform", (50, 60, 70), {"input_axes": [0, 2], "output_axes": [1]})
    assert_moments(values, 0.0, 2 / (50 * 70))


def test_normal_initializers():
    assert_moments(fill("random_normal", (200, 300), {"mean": 1.0, "stddev": 0.2}), 1.0, 0.04)
    truncated = fill("truncated_normal", (200, 300), {"mean": 1.0, "stddev": 0.2})
    assert_moments(truncated, 1.0, (0.2 * 0.87962566103423978) ** 2)
    assert 0.395 < (truncated - 1).abs().max() <= 0.4


def test_random_uniform():
    values = fill("random_uniform", (200, 300), {"minval": -1.0, "maxval": 3.0})
    assert_moments(values, 1.0, 16 / 12)
    assert -1 <= values.min() < -0.99
    assert 2.99 < values.max() <= 3


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (3, 3, 4, 10), (2, 3, 10)])
def test_orthogonal_weights_are_orthonormal(shape):
    flat = fill("orthogonal", shape, {"gain": 2.0}).reshape(-1, shape[-1]) / 2
    small = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    torch.testing.assert_close(small, torch.eye(len(small), dtype=FLOAT64), atol=1e-12, rtol=0)


def test_orthogonal_matrices_are_uniform_over_all_of_them():
    """The first entry of a random rotation has mean 0; without the sign correction it never changes sign."""
    first = torch.stack([fill("orthogonal", (3, 3), seed=seed)[0, 0] for seed in range(2000)])
    assert first.mean().abs() < 5 * math.sqrt(1 / 3 / 2000)


@pytest.mark.parametrize(
    "name", [*SCALED, "random_normal", "random_uniform", "truncated_normal", "variance_scaling", "orthogonal"]
)
def test_a_seed_of_its_own_wins_over_the_generator(name):
    assert torch.equal(fill(name, (4, 5), seed=1), fill(name, (4, 5), seed=1))
    assert not torch.equal(fill(name, (4, 5), seed=1), fill(name, (4, 5), seed=2))
    assert torch.equal(fill(name, (4, 5), {"seed": 7}, seed=1), fill(name, (4, 5), {"seed": 7}, seed=2))
    assert not torch.equal(fill(name, (4, 5), {"seed": 7}), fill(name, (4, 5), {"seed": 8}))


OF_FILES = {"file", "image"}
"""Initializers that read a file, which tests/workflow/test_weights_alone.py gives them."""


@pytest.mark.parametrize("name", sorted({*INITIALIZERS.names()} - OF_FILES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_initializers_give_the_shape_and_type_asked_for(name, dtype):
    shape = (6, 1, 4) if name == "stft" else (6, 4)
    values = parse(INITIALIZERS, name)(shape, dtype=dtype, generator=torch.Generator())
    assert (values.shape, values.dtype, values.device.type) == (shape, dtype, "cpu")


@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        ("identity", (2, 2, 2), "identity fills matrices, got (2, 2, 2)"),
        ("orthogonal", (4,), "orthogonal needs at least two axes, got (4,)"),
        ("stft", (4, 4), "stft needs (frame length, channels, at least 2 frequencies), got (4, 4)"),
    ],
)
def test_initializers_say_what_they_cannot_fill(name, shape, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        parse(INITIALIZERS, name).check(shape)


def test_one_row_has_no_other_to_be_orthogonal_to():
    assert parse(REGULARIZERS, "orthogonal_regularizer")(random(1, 4)) == 0


@pytest.mark.parametrize("part", [*REGULARIZERS, *CONSTRAINTS, *INITIALIZERS], ids=lambda part: part.component_name)
def test_parts_read_back_as_they_were_written(part):
    registry = next(r for r in (REGULARIZERS, CONSTRAINTS, INITIALIZERS) if issubclass(part, r.base))
    made = part(path="x") if part.component_name in OF_FILES else part()  # pyright: ignore[reportCallIssue]
    assert registry.parse(made.dump()) == made


@pytest.mark.parametrize(
    ("registry", "written", "text"),
    [
        (INITIALIZERS, {"random_uniform": {"minval": 1.0, "maxval": 0.0}}, "minval 1.0 is above maxval 0.0"),
        (INITIALIZERS, {"variance_scaling": {"scale": 0}}, "scale: must be greater than 0, got 0"),
        (REGULARIZERS, {"l2": -1.0}, "l2: must be at least 0, got -1.0"),
        (CONSTRAINTS, {"max_norm": {"axes": 0}}, "unknown key 'axes' in max_norm; did you mean 'axis'?"),
        (ACTIVATIONS, "rleu", "there is no activation 'rleu'; did you mean 'relu'?"),
        (ACTIVATIONS, {"threshold": 0.5}, "threshold needs 'default_value'"),
    ],
)
def test_settings_that_cannot_be_are_refused(registry, written, text):
    with pytest.raises(Invalid) as caught:
        registry.parse(written)
    assert [fault.text for fault in caught.value.faults] == [text]
