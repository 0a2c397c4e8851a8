"""Activations, initializers, regularizers and constraints are Keras's."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import math
import re
from typing import Any

import keras
import pytest
import torch
from keras.src.backend.common import dtypes
from torch import Tensor

from kerascli.component import Invalid, Registry
from kerascli.parts.base import ACTIVATIONS, CONSTRAINTS, INITIALIZERS, REGULARIZERS

FLOAT64 = torch.float64


@pytest.fixture(autouse=True)
def _keras_in_float64(monkeypatch):
    """On torch Keras computes 64-bit types in 32 bits; with TensorFlow it does not, and here it does not either."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


def parse(registry: Registry[Any], name: str, config: dict[str, Any] | None = None) -> Any:
    return registry.parse({name: config} if config else name)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=FLOAT64, generator=torch.Generator().manual_seed(seed))


def keras_names(module: Any) -> set[str]:
    """The functions or classes that a Keras module offers, without its plumbing."""
    plumbing = {"get", "serialize", "deserialize", "Initializer", "Regularizer", "Constraint"}
    return {name for name in dir(module) if not name.startswith("_") and callable(getattr(module, name))} - plumbing


@pytest.mark.parametrize(
    ("registry", "module"),
    [
        (ACTIVATIONS, keras.activations),
        (INITIALIZERS, keras.initializers),
        (REGULARIZERS, keras.regularizers),
        (CONSTRAINTS, keras.constraints),
    ],
    ids=["activations", "initializers", "regularizers", "constraints"],
)
def test_every_name_of_keras_is_known(registry, module):
    assert {name for name in keras_names(module) if registry.find(name) is None} == set()


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


PLAIN = sorted(set(ACTIVATIONS.names()) - {"threshold", "sparsemax"})
ACTIVATION_CASES: list[tuple[str, dict[str, Any]]] = [
    *[(name, {}) for name in PLAIN],
    ("threshold", {"threshold": 0.3, "default_value": -1.5}),
    ("relu", {"max_value": 1.0}),
    ("relu", {"max_value": 6.0, "negative_slope": 0.1}),
    ("relu", {"threshold": 0.5}),
    ("relu", {"threshold": 0.5, "negative_slope": 0.2, "max_value": 2.0}),
    ("leaky_relu", {"negative_slope": 0.05}),
    ("elu", {"alpha": 0.7}),
    ("celu", {"alpha": 1.7}),
    ("gelu", {"approximate": True}),
    ("glu", {"axis": 1}),
    ("softmax", {"axis": 1}),
    ("log_softmax", {"axis": 1}),
    ("squareplus", {"b": 1.0}),
    ("soft_shrink", {"threshold": 0.2}),
    ("hard_shrink", {"threshold": 0.2}),
]


@pytest.mark.parametrize(("name", "config"), ACTIVATION_CASES)
def test_activations_and_their_gradients_are_those_of_keras(name, config):
    x = (3 * random(5, 8, 6)).requires_grad_()
    theirs_in = x.detach().clone().requires_grad_()
    y = parse(ACTIVATIONS, name, config)(x)
    expected = getattr(keras.activations, name)(theirs_in, **config)
    torch.testing.assert_close(y, expected, atol=1e-9, rtol=1e-9)
    weights = random(*y.shape, seed=1)
    torch.autograd.backward([(y * weights).sum(), (expected * weights).sum()])
    torch.testing.assert_close(x.grad, theirs_in.grad, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("axis", [-1, 1])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis):
    """Keras 3.15's own adds running sums up where the paper takes the last, and its results do not add up to 1.

    The nearest point is max(z - tau, 0) for the tau at which that adds up to 1: found here by bisection.
    """
    z = random(5, 8, 6)
    y = parse(ACTIVATIONS, "sparsemax", {"axis": axis})(z)
    low, high = z.amin(axis, keepdim=True) - 1, z.amax(axis, keepdim=True)
    for _ in range(80):
        tau = (low + high) / 2
        enough = (z - tau).clamp(min=0).sum(axis, keepdim=True) >= 1
        low, high = torch.where(enough, tau, low), torch.where(enough, high, tau)
    torch.testing.assert_close(y, (z - low).clamp(min=0), atol=1e-12, rtol=0)
    assert ((y > 0).sum(axis) > 1).any()


def test_sparsemax_has_the_gradient_of_its_values():
    assert torch.autograd.gradcheck(parse(ACTIVATIONS, "sparsemax"), random(3, 6).requires_grad_())


@pytest.mark.parametrize("name", ["relu6", "sparse_sigmoid", "sparse_plus", "hard_sigmoid", "hard_tanh", "sparsemax"])
def test_activations_bend_where_keras_bends_them(name):
    points = torch.tensor([[-3.0, -1.0, 0.0, 1.0, 3.0, 6.0]], dtype=FLOAT64)
    mine, theirs = points.clone().requires_grad_(), points.clone().requires_grad_()
    y, expected = parse(ACTIVATIONS, name)(mine), getattr(keras.activations, name)(theirs)
    assert torch.equal(y, expected)
    torch.autograd.backward([y[0, :4].sum(), expected[0, :4].sum()])
    assert torch.equal(mine.grad, theirs.grad)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("name", "config"), ACTIVATION_CASES)
def test_activations_read_back_as_they_were_written(name, config):
    part = parse(ACTIVATIONS, name, config)
    assert ACTIVATIONS.parse(part.dump()) == part


def fill(name: str, shape: tuple[int, ...], config: dict[str, Any] | None = None, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return parse(INITIALIZERS, name, config)(shape, dtype=FLOAT64, generator=generator)


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("zeros", {}, (3, 4)),
        ("ones", {}, (3,)),
        ("constant", {"value": 0.3}, (2, 3, 4)),
        ("identity", {"gain": 2.0}, (4, 6)),
        ("stft", {}, (16, 1, 9)),
        ("stft", {"side": "imag", "window": "hamming", "scaling": "spectrum", "periodic": True}, (16, 1, 9)),
        ("stft", {"window": "blackman", "scaling": None}, (15, 1, 4)),
        ("stft", {"window": "bartlett"}, (15, 1, 4)),
        ("stft", {"window": "cosine", "periodic": True}, (15, 1, 4)),
        ("stft", {"window": "nuttall"}, (16, 1, 4)),
        ("stft", {"window": None}, (16, 1, 4)),
    ],
)
def test_fixed_initializers_are_those_of_keras(name, config, shape):
    theirs = getattr(keras.initializers, "STFT" if name == "stft" else name.title())(**config)
    torch.testing.assert_close(fill(name, shape, config), theirs(shape, dtype="float64"), atol=1e-9, rtol=1e-9)


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


@pytest.mark.parametrize("name", INITIALIZERS.names())
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


@pytest.mark.parametrize(
    ("name", "keras_name", "config"),
    [
        ("l1", "L1", {}),
        ("l1", "L1", {"l1": 0.3}),
        ("l2", "L2", {}),
        ("l2", "L2", {"l2": 0.3}),
        ("l1_l2", "L1L2", {}),
        ("l1_l2", "L1L2", {"l1": 0.1, "l2": 0.2}),
        ("orthogonal_regularizer", "OrthogonalRegularizer", {}),
        ("orthogonal_regularizer", "OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
    ],
)
def test_regularizers_and_their_gradients_are_those_of_keras(name, keras_name, config):
    mine = random(5, 7).requires_grad_()
    theirs = mine.detach().clone().requires_grad_()
    penalty = parse(REGULARIZERS, name, config)(mine)
    expected = getattr(keras.regularizers, keras_name)(**config)(theirs)
    # Keras holds some factors in float32.
    torch.testing.assert_close(penalty, expected, atol=1e-9, rtol=1e-7)
    if expected.requires_grad:
        torch.autograd.backward([penalty, expected])
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-9, rtol=1e-7)


def test_one_row_has_no_other_to_be_orthogonal_to():
    assert parse(REGULARIZERS, "orthogonal_regularizer")(random(1, 4)) == 0


@pytest.mark.parametrize(
    ("name", "keras_name", "config"),
    [
        ("max_norm", "MaxNorm", {}),
        ("max_norm", "MaxNorm", {"max_value": 0.5, "axis": [0, 1]}),
        ("non_neg", "NonNeg", {}),
        ("unit_norm", "UnitNorm", {}),
        ("unit_norm", "UnitNorm", {"axis": -1}),
        ("min_max_norm", "MinMaxNorm", {}),
        ("min_max_norm", "MinMaxNorm", {"min_value": 1.0, "max_value": 1.5, "rate": 0.7, "axis": 1}),
    ],
)
def test_constraints_are_those_of_keras(name, keras_name, config):
    weight = 2 * random(4, 5, 6)
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    expected = getattr(keras.constraints, keras_name)(**plain)(weight)
    torch.testing.assert_close(parse(CONSTRAINTS, name, config)(weight), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("part", [*REGULARIZERS, *CONSTRAINTS, *INITIALIZERS], ids=lambda part: part.component_name)
def test_parts_read_back_as_they_were_written(part):
    registry = next(r for r in (REGULARIZERS, CONSTRAINTS, INITIALIZERS) if issubclass(part, r.base))
    assert registry.parse(part().dump()) == part()


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
