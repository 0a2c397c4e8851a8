"""Activations, initializers, regularizers and constraints: values and gradients equal Keras's."""

from typing import Any

import keras
import pytest
import torch

from kerascli.parts.base import ACTIVATIONS, CONSTRAINTS, REGULARIZERS
from tests.parity import ledger
from tests.support.parts_harness import FLOAT64, fill, parse, random

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
    compared = ledger.Comparison()
    compared.same(y, expected)
    weights = random(*y.shape, seed=1)
    torch.autograd.backward([(y * weights).sum(), (expected * weights).sum()])
    assert x.grad is not None
    assert theirs_in.grad is not None
    compared.same(x.grad, theirs_in.grad)
    ledger.note("activation", name, ledger.describe(config), compared.gap, config=config)


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
    compared = ledger.Comparison(atol=1e-12, rtol=0)
    compared.same(y, (z - low).clamp(min=0))
    ledger.note("activation", "sparsemax", f"axis={axis}, beside its definition", compared.gap, config={"axis": axis})
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


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("zeros", {}, (3, 4)),
        ("ones", {}, (3,)),
        ("constant", {"value": 0.3}, (2, 3, 4)),
        ("constant", {}, (3, 2)),
        ("identity", {}, (3, 3)),
        ("identity", {"gain": -0.5}, (6, 4)),
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
    compared = ledger.Comparison()
    compared.same(fill(name, shape, config), theirs(shape, dtype="float64"))
    ledger.note("initializer", name, ledger.describe(config, shape), compared.gap, config=config)


@pytest.mark.parametrize(
    ("name", "keras_name", "config"),
    [
        ("l1", "L1", {}),
        ("l1", "L1", {"l1": 0.3}),
        ("l1", "L1", {"l1": 0.0}),
        ("l2", "L2", {"l2": 2.0}),
        ("l1_l2", "L1L2", {"l1": 0.7}),
        ("l1_l2", "L1L2", {"l2": 0.7}),
        ("orthogonal_regularizer", "OrthogonalRegularizer", {"mode": "columns"}),
        ("orthogonal_regularizer", "OrthogonalRegularizer", {"factor": 2.0}),
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
    compared = ledger.Comparison(rtol=1e-7)  # Keras holds some factors in float32
    compared.same(penalty, expected)
    if expected.requires_grad:
        torch.autograd.backward([penalty, expected])
        assert mine.grad is not None
        assert theirs.grad is not None
        compared.same(mine.grad, theirs.grad)
    ledger.note("regularizer", name, ledger.describe(config), compared.gap, config=config)


@pytest.mark.parametrize(
    ("name", "keras_name", "config"),
    [
        ("max_norm", "MaxNorm", {}),
        ("max_norm", "MaxNorm", {"max_value": 0.5, "axis": [0, 1]}),
        ("max_norm", "MaxNorm", {"max_value": 1.0, "axis": -1}),
        ("unit_norm", "UnitNorm", {"axis": [0, 1]}),
        ("min_max_norm", "MinMaxNorm", {"rate": 0.3, "max_value": 3.0}),
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
    compared = ledger.Comparison()
    compared.same(parse(CONSTRAINTS, name, config)(weight), expected)
    ledger.note("constraint", name, ledger.describe(config), compared.gap, config=config)
