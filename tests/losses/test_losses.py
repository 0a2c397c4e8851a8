"""Losses: weights, masks and shapes; their values are compared with Keras's in tests/parity."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import LOSSES
from kerascli.metrics.base import METRICS
from tests.parity.losses import Data


def test_means_over_what_counts_are_what_they_say() -> None:
    data, random = Data("numbers", (6, 3, 4)), np.random.default_rng(7)
    mask, weight = random.integers(0, 2, size=(6, 3)).astype(bool), random.uniform(size=(6, 3))
    values = ((data.true - data.pred) ** 2).mean(-1)
    want = {
        "sum": (values * weight)[mask].sum(),
        "sum_over_batch_size": (values * weight)[mask].mean(),
        "mean_with_sample_weight": (values * weight)[mask].sum() / weight[mask].sum(),
    }
    for reduction, figure in want.items():
        got = LOSSES.parse({"mse": reduction})(
            torch.tensor(data.true), torch.tensor(data.pred),
            sample_weight=torch.tensor(weight), mask=torch.tensor(mask),
        )  # fmt: skip
        assert got.item() == pytest.approx(figure, abs=1e-12)


def test_a_weight_for_each_sample_weighs_all_its_time_steps() -> None:
    data, weight = Data("numbers", (3, 3, 4)), torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    loss = LOSSES.parse("mse")
    for mask in (None, torch.tensor([[True, True, False]] * 3)):
        by_sample = loss(torch.tensor(data.true), torch.tensor(data.pred), sample_weight=weight, mask=mask)
        spread_out = weight[:, None].expand(3, 3).contiguous()
        by_step = loss(torch.tensor(data.true), torch.tensor(data.pred), sample_weight=spread_out, mask=mask)
        assert by_sample.item() == pytest.approx(by_step.item(), abs=1e-12)


def test_a_mask_that_leaves_nothing_gives_zero() -> None:
    data = Data("numbers", (6, 3, 4))
    nothing = torch.zeros(6, 3, dtype=torch.bool)
    assert LOSSES.parse("mse")(torch.tensor(data.true), torch.tensor(data.pred), mask=nothing).item() == 0


@pytest.mark.parametrize("name", ["mse", "mae", "binary_crossentropy", "huber"])
def test_a_column_and_a_vector_meet_row_by_row(name: str) -> None:
    true, pred = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.2, 0.9, 0.4])
    loss = LOSSES.parse(name)
    flat = loss(true[:, None], pred[:, None])
    assert loss(true, pred[:, None]).item() == flat.item()
    assert loss(true[:, None], pred).item() == flat.item()


def test_shapes_that_do_not_fit_are_refused_and_never_broadcast() -> None:
    with pytest.raises(DataError, match=r"targets of shape \(3, 1\) do not match predictions of shape \(3, 2\)"):
        LOSSES.parse("mse")(torch.zeros(3, 1), torch.zeros(3, 2))
    with pytest.raises(DataError, match=r"class labels of shape \(3, 2\)"):
        LOSSES.parse("sparse_categorical_crossentropy")(torch.zeros(3, 2), torch.ones(3, 4))
    with pytest.raises(DataError, match=r"sample weights or a mask of shape \(2,\) do not fit values of shape \(3,\)"):
        LOSSES.parse("mse")(torch.zeros(3, 2), torch.zeros(3, 2), sample_weight=torch.ones(2))


@pytest.mark.parametrize("name", ["binary_crossentropy", "binary_focal_crossentropy", "mse"])
@pytest.mark.parametrize("kind", [LOSSES, METRICS], ids=["loss", "metric"])
def test_a_prediction_that_is_nan_makes_the_value_nan_and_raises_nothing(kind: Any, name: str) -> None:
    """torch's own binary_cross_entropy raises, and stops CUDA for the rest of the process."""
    true, pred = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[math.nan, 0.3], [0.2, 0.9]])
    component = kind.parse(name)
    value = component(true, pred)
    assert math.isnan(value if kind is LOSSES else component.result(value))


def test_half_precision_is_lifted_and_class_numbers_stay_exact() -> None:
    loss = LOSSES.parse("sparse_categorical_crossentropy")
    value = loss(torch.tensor([1, 0]), torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.bfloat16))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2, abs=1e-6)


CLASSES, ONE_HOT, OUTPUT = TensorSpec((), "int64"), TensorSpec((10,)), TensorSpec((10,))


@pytest.mark.parametrize(
    ("name", "target", "output", "text"),
    [
        (
            "categorical_crossentropy", CLASSES, OUTPUT,
            "'categorical_crossentropy' needs one-hot targets of shape (None, 10), got integer class labels (None,); "
            "use 'sparse_categorical_crossentropy' or add to_categorical: 10 to the target",
        ),
        (
            "sparse_categorical_crossentropy", ONE_HOT, OUTPUT,
            "'sparse_categorical_crossentropy' needs integer class labels (None,), got one-hot targets (None, 10); "
            "use 'categorical_crossentropy' or integer class labels, without a one-hot encoding, as the target",
        ),
        (
            "sparse_categorical_crossentropy", CLASSES, TensorSpec((1,)),
            "'sparse_categorical_crossentropy' needs one output per class, got (None, 1); "
            "use 'binary_crossentropy' for two classes, or units: 3 for three",
        ),
        (
            "categorical_crossentropy", TensorSpec(()), TensorSpec(()),
            "'categorical_crossentropy' needs one output per class, got (None,); "
            "use 'binary_crossentropy' for two classes, or units: 3 for three",
        ),
        (
            "mse", TensorSpec((4,)), OUTPUT,
            "'mean_squared_error' needs targets of the output's shape (None, 10), got (None, 4); change one of them",
        ),
        (
            "mse", TensorSpec((), "string"), TensorSpec((1,)),
            "'mean_squared_error' needs numeric targets, got text; add string_lookup to the target's pipeline",
        ),
        (
            "crossentropy", TensorSpec((4, 10)), OUTPUT,
            "'categorical_crossentropy' needs one-hot targets of the output's shape (None, 10), got (None, 4, 10)",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_reported_with_the_remedy(
    name: str, target: TensorSpec, output: TensorSpec, text: str
) -> None:
    assert LOSSES.parse(name).check(target, output) == text


@pytest.mark.parametrize(
    ("name", "target", "output"),
    [
        ("categorical_crossentropy", ONE_HOT, OUTPUT),
        ("categorical_crossentropy", TensorSpec((None,)), OUTPUT),
        ("sparse_categorical_crossentropy", CLASSES, OUTPUT),
        ("sparse_categorical_crossentropy", TensorSpec((1,), "int64"), OUTPUT),
        ("sparse_categorical_crossentropy", TensorSpec((7,), "int64"), TensorSpec((7, 10))),
        ("binary_crossentropy", TensorSpec(()), TensorSpec((1,))),
        ("mse", TensorSpec((1,)), TensorSpec(())),
        ("crossentropy", CLASSES, OUTPUT),
    ],
)
def test_what_fits_is_let_through(name: str, target: TensorSpec, output: TensorSpec) -> None:
    assert LOSSES.parse(name).check(target, output) is None


def test_the_first_argument_is_the_loss_s_own() -> None:
    assert LOSSES.parse({"huber": 0.5}).dump() == {"huber": {"reduction": "sum_over_batch_size", "delta": 0.5}}
    assert LOSSES.parse({"mse": "sum"}).reduction == "sum"
