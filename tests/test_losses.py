"""Losses give Keras's numbers, whatever the reduction, the weights and the mask."""

import inspect
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE
from torch import Tensor

from kerascli.losses.base import LOSSES
from kerascli.shapes import TensorSpec

REDUCTIONS = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]


@pytest.fixture(autouse=True)
def _float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64 all through: by itself it promotes 64-bit results to 32 bits, as JAX does."""
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


class Data:
    """Targets and predictions of one kind: (6, 4) or, over time, (6, 3, 4)."""

    def __init__(self, kind: str, shape: tuple[int, ...]) -> None:
        random = np.random.default_rng(5)
        logits = random.normal(size=shape)
        classes = random.integers(0, shape[-1], size=shape[:-1])
        one_hot = np.eye(shape[-1])[classes]
        exponentials = np.exp(logits)
        softmax = exponentials / exponentials.sum(-1, keepdims=True)
        sigmoid = 1 / (1 + np.exp(-logits))
        sigmoid.flat[0], sigmoid.flat[1] = 0.0, 1.0  # what clipping is for
        yes_no = random.integers(0, 2, size=shape).astype(float)
        self.true, self.pred = {
            "numbers": (random.normal(size=shape), logits),
            "counts": (random.poisson(3.0, size=shape).astype(float), np.exp(logits)),
            "one_hot": (one_hot, softmax * 1.3),  # sums to 1.3: Keras divides by the sum
            "one_hot_logits": (one_hot, logits),
            "classes": (classes, softmax),
            "classes_logits": (classes, logits),
            "yes_no": (yes_no, sigmoid),
            "yes_no_logits": (yes_no, logits),
            "signs": (2 * yes_no - 1, logits),
        }[kind]


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("CategoricalCrossentropy", "one_hot", {}),
    ("CategoricalCrossentropy", "one_hot", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "one_hot_logits", {"from_logits": True}),
    ("CategoricalCrossentropy", "one_hot", {"axis": 1}),
    ("SparseCategoricalCrossentropy", "classes", {}),
    ("SparseCategoricalCrossentropy", "classes", {"ignore_class": 2}),
    ("SparseCategoricalCrossentropy", "classes_logits", {"from_logits": True}),
    ("SparseCategoricalCrossentropy", "classes_logits", {"from_logits": True, "ignore_class": 1}),
    ("BinaryCrossentropy", "yes_no", {}),
    ("BinaryCrossentropy", "yes_no", {"label_smoothing": 0.2}),
    ("BinaryCrossentropy", "yes_no_logits", {"from_logits": True}),
    ("BinaryFocalCrossentropy", "yes_no", {"gamma": 1.5}),
    ("BinaryFocalCrossentropy", "yes_no_logits", {"from_logits": True, "apply_class_balancing": True, "alpha": 0.3}),
    ("CategoricalFocalCrossentropy", "one_hot", {"alpha": 0.4, "label_smoothing": 0.1}),
    ("CategoricalFocalCrossentropy", "one_hot_logits", {"from_logits": True, "gamma": 1.0}),
    ("MeanSquaredError", "numbers", {}),
    ("MeanAbsoluteError", "numbers", {}),
    ("MeanAbsolutePercentageError", "numbers", {}),
    ("MeanSquaredLogarithmicError", "counts", {}),
    ("Huber", "numbers", {}),
    ("Huber", "numbers", {"delta": 0.3}),
    ("LogCosh", "numbers", {}),
    ("Poisson", "counts", {}),
    ("KLDivergence", "one_hot", {}),
    ("CosineSimilarity", "numbers", {}),
    ("CosineSimilarity", "numbers", {"axis": 1}),
    ("Hinge", "signs", {}),
    ("Hinge", "yes_no_logits", {}),
    ("SquaredHinge", "signs", {}),
    ("CategoricalHinge", "one_hot_logits", {}),
    ("Dice", "yes_no", {}),
    ("Tversky", "yes_no", {"alpha": 0.3, "beta": 0.8}),
]


@pytest.mark.parametrize("shape", [(6, 4), (6, 3, 4)])
@pytest.mark.parametrize(("name", "kind", "arguments"), CASES)
def test_a_loss_and_its_gradient_are_keras_s(
    name: str, kind: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    data = Data(kind, shape)
    ours = torch.tensor(data.pred, requires_grad=True)
    theirs = torch.tensor(data.pred, requires_grad=True)
    got = LOSSES.parse({name: arguments})(torch.tensor(data.true), ours)
    want = getattr(keras.losses, name)(**arguments)(torch.tensor(data.true), theirs)
    assert got.item() == pytest.approx(want.item(), abs=1e-9)
    got.backward()
    want.backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)


def keras_loss(name: str, data: Data, reduction: str, weight: Any, mask: Any, **arguments: Any) -> Tensor:
    y_pred = torch.tensor(data.pred)
    if mask is not None:
        y_pred._keras_mask = torch.tensor(mask)  # pyright: ignore[reportAttributeAccessIssue]
    weight = None if weight is None else torch.tensor(weight)
    loss = getattr(keras.losses, name)(reduction=reduction, **arguments)
    return loss(torch.tensor(data.true), y_pred, sample_weight=weight)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("masked", "ignore_class", "weight_shape"),
    [(masked, ignored, shape) for masked in (False, True) for ignored in (None, 1) for shape in (None, (6, 3))]
    + [(False, None, (6, 1))],  # with a mask Keras cannot spread these; ours is checked below
)
def test_weights_and_masks_are_merged_and_reduced_as_in_keras(
    reduction: str, masked: bool, ignore_class: int | None, weight_shape: tuple[int, ...] | None
) -> None:
    data = Data("classes", (6, 3, 4))
    random = np.random.default_rng(7)
    mask = random.integers(0, 2, size=(6, 3)).astype(bool) if masked else None
    weight = None if weight_shape is None else random.uniform(size=weight_shape)
    name = "SparseCategoricalCrossentropy"
    want = keras_loss(name, data, reduction, weight, mask, ignore_class=ignore_class)
    got = LOSSES.parse({name: {"reduction": reduction, "ignore_class": ignore_class}})(
        torch.tensor(data.true),
        torch.tensor(data.pred),
        sample_weight=None if weight is None else torch.tensor(weight),
        mask=None if mask is None else torch.tensor(mask),
    )
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


def test_ctc_is_keras_s() -> None:
    random = np.random.default_rng(4)
    labels = np.array([[1, 2, 0], [3, 0, 0], [2, 2, 1], [1, 3, 2]])
    logits = random.normal(size=(4, 9, 5))
    ours, theirs = (torch.tensor(logits, requires_grad=True) for _ in range(2))
    got = LOSSES.parse("ctc")(torch.tensor(labels), ours)
    want: Any = keras.losses.CTC()(torch.tensor(labels, dtype=torch.int32), theirs)
    assert got.item() == pytest.approx(want.item(), abs=1e-9)
    got.backward()
    want.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)
    assert LOSSES.parse("ctc").check(TensorSpec((3,), "int64"), TensorSpec((9, 5))) is None
    assert LOSSES.parse("ctc").check(TensorSpec((), "int64"), TensorSpec((5,))) == (
        "'ctc' needs targets (None, labels) and an output (None, steps, classes), got (None,) and (None, 5)"
    )


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
    with pytest.raises(ValueError, match=r"targets of shape \(3, 1\) do not match predictions of shape \(3, 2\)"):
        LOSSES.parse("mse")(torch.zeros(3, 1), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"class numbers of shape \(3, 2\)"):
        LOSSES.parse("sparse_categorical_crossentropy")(torch.zeros(3, 2), torch.ones(3, 4))
    with pytest.raises(ValueError, match=r"sample weights or a mask of shape \(2,\) do not fit values of shape \(3,\)"):
        LOSSES.parse("mse")(torch.zeros(3, 2), torch.zeros(3, 2), sample_weight=torch.ones(2))


def test_half_precision_is_lifted_and_class_numbers_stay_exact() -> None:
    loss = LOSSES.parse("sparse_categorical_crossentropy")
    value = loss(torch.tensor([1, 0]), torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.bfloat16))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2, abs=1e-6)


@pytest.mark.parametrize(("kind", "meant"), [
    ("one_hot", "CategoricalCrossentropy"), ("classes", "SparseCategoricalCrossentropy"),
])  # fmt: skip
def test_crossentropy_is_the_one_that_fits(kind: str, meant: str) -> None:
    data = Data(kind, (6, 4))
    got = LOSSES.parse("ce")(torch.tensor(data.true), torch.tensor(data.pred))
    assert got.item() == pytest.approx(keras_loss(meant, data, "mean", None, None).item(), abs=1e-9)
    column = torch.tensor([[0.3], [0.8]])
    want = LOSSES.parse("binary_crossentropy")(torch.tensor([0.0, 1.0]), column)
    assert LOSSES.parse("crossentropy")(torch.tensor([0.0, 1.0]), column).item() == want.item()


CLASSES, ONE_HOT, OUTPUT = TensorSpec((), "int64"), TensorSpec((10,)), TensorSpec((10,))


@pytest.mark.parametrize(
    ("name", "target", "output", "text"),
    [
        (
            "categorical_crossentropy", CLASSES, OUTPUT,
            "'categorical_crossentropy' needs one-hot targets of shape (None, 10), got class numbers (None,); "
            "use 'sparse_categorical_crossentropy' or add to_categorical: 10 to the target",
        ),
        (
            "sparse_categorical_crossentropy", ONE_HOT, OUTPUT,
            "'sparse_categorical_crossentropy' needs class numbers (None,), got one-hot targets (None, 10); "
            "use 'categorical_crossentropy' or leave to_categorical out of the target",
        ),
        (
            "sparse_categorical_crossentropy", CLASSES, TensorSpec((1,)),
            "'sparse_categorical_crossentropy' needs one output per class, got (None, 1); "
            "use 'binary_crossentropy' for one output",
        ),
        (
            "categorical_crossentropy", TensorSpec(()), TensorSpec(()),
            "'categorical_crossentropy' needs one output per class, got (None,); "
            "use 'binary_crossentropy' for one output",
        ),
        (
            "mse", TensorSpec((4,)), OUTPUT,
            "'mean_squared_error' needs targets of the output's shape (None, 10), got (None, 4); change one of them",
        ),
        (
            "mse", TensorSpec((), "string"), TensorSpec((1,)),
            "'mean_squared_error' needs numbers, got text; add string_lookup to the target's pipeline",
        ),
        (
            "crossentropy", TensorSpec((4, 10)), OUTPUT,
            "'categorical_crossentropy' needs one-hot targets of the output's shape (None, 10), got (None, 4, 10)",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_the_remedy(
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


def test_defaults_are_keras_s() -> None:
    for cls in LOSSES:
        theirs = getattr(keras.losses, cls.__name__, None)
        if theirs is None:
            assert cls.component_name in {"crossentropy", "expr"}
            continue
        defaults = {name: p.default for name, p in inspect.signature(theirs).parameters.items()}
        assert cls.model_validate({}).model_dump() == {field: defaults[field] for field in cls.model_fields}
