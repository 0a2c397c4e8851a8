"""Losses: values and gradients equal Keras's, for all arguments, reductions, weights and masks."""

import inspect
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import LOSSES
from tests.parity import ledger
from tests.parity.losses import Data

pytestmark = pytest.mark.usefixtures("keras_makes_float64")

REDUCTIONS = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("CategoricalCrossentropy", "one_hot", {}),
    ("CategoricalCrossentropy", "one_hot", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "one_hot_logits", {"from_logits": True}),
    ("CategoricalCrossentropy", "one_hot", {"axis": 1}),
    ("CategoricalCrossentropy", "one_hot_logits", {"from_logits": True, "label_smoothing": 0.2, "axis": 1}),
    ("SparseCategoricalCrossentropy", "classes", {}),
    ("SparseCategoricalCrossentropy", "classes", {"ignore_class": 2}),
    ("SparseCategoricalCrossentropy", "classes_logits", {"from_logits": True}),
    ("SparseCategoricalCrossentropy", "classes_logits", {"from_logits": True, "ignore_class": 1}),
    ("CategoricalGeneralizedCrossEntropy", "classes", {}),
    ("CategoricalGeneralizedCrossEntropy", "classes", {"q": 0.9}),
    ("CategoricalGeneralizedCrossEntropy", "classes", {"q": 0.1, "reduction": "sum"}),
    ("BinaryCrossentropy", "yes_no", {}),
    ("BinaryCrossentropy", "yes_no", {"axis": 1}),
    ("BinaryCrossentropy", "yes_no_logits", {"from_logits": True, "label_smoothing": 0.3, "reduction": "sum"}),
    ("BinaryCrossentropy", "yes_no", {"label_smoothing": 0.2}),
    ("BinaryCrossentropy", "yes_no_logits", {"from_logits": True}),
    ("BinaryFocalCrossentropy", "yes_no", {}),
    ("BinaryFocalCrossentropy", "yes_no", {"gamma": 1.5}),
    ("BinaryFocalCrossentropy", "yes_no_logits", {"from_logits": True, "apply_class_balancing": True, "alpha": 0.3}),
    ("BinaryFocalCrossentropy", "yes_no", {"label_smoothing": 0.1, "axis": 1, "gamma": 0.0}),
    ("CategoricalFocalCrossentropy", "one_hot", {}),
    ("CategoricalFocalCrossentropy", "one_hot", {"axis": 1}),
    ("CategoricalFocalCrossentropy", "one_hot", {"alpha": 0.4, "label_smoothing": 0.1}),
    ("CategoricalFocalCrossentropy", "one_hot_logits", {"from_logits": True, "gamma": 1.0}),
    ("CategoricalFocalCrossentropy", "one_hot", {"alpha": [0.1, 0.2, 0.3, 0.4]}),
    ("MeanSquaredError", "numbers", {}),
    ("MeanAbsoluteError", "numbers", {}),
    ("MeanAbsolutePercentageError", "numbers", {}),
    ("MeanSquaredLogarithmicError", "counts", {}),
    ("Huber", "numbers", {}),
    ("Huber", "numbers", {"delta": 0.3}),
    ("Huber", "numbers", {"delta": 2.5, "reduction": "sum"}),
    ("LogCosh", "numbers", {}),
    ("Poisson", "counts", {}),
    ("KLDivergence", "one_hot", {}),
    ("CosineSimilarity", "numbers", {}),
    ("CosineSimilarity", "numbers", {"axis": 1}),
    ("CosineSimilarity", "numbers", {"axis": 0, "reduction": "sum"}),
    ("Hinge", "signs", {}),
    ("Hinge", "yes_no_logits", {}),
    ("SquaredHinge", "signs", {}),
    ("CategoricalHinge", "one_hot_logits", {}),
    ("Dice", "yes_no", {}),
    ("Dice", "yes_no", {"axis": [1]}),
    ("Dice", "yes_no", {"axis": 0, "reduction": "sum"}),
    ("Tversky", "yes_no", {}),
    ("Tversky", "yes_no", {"alpha": 0.2, "beta": 0.9, "axis": -1}),
    ("Tversky", "yes_no", {"alpha": 0.3, "beta": 0.8}),
]


@pytest.mark.parametrize("shape", [(6, 4), (6, 3, 4)])
@pytest.mark.parametrize(("name", "kind", "arguments"), CASES)
def test_a_loss_and_its_gradient_are_keras_s(
    name: str, kind: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    data = Data(kind, shape)
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    theirs = getattr(keras.losses, name)(**plain)
    compare(name, arguments, torch.tensor(data.true), torch.tensor(data.pred), theirs, shape)


def compare(
    name: str, arguments: dict[str, Any], y_true: Tensor, y_pred: Tensor, theirs: Any, *shapes: tuple[int, ...]
) -> None:
    """Assert that values, and gradients of the predictions, agree."""
    ours_in, theirs_in = (y_pred.clone().requires_grad_() for _ in range(2))
    loss = LOSSES.parse({name: arguments} if arguments else name)
    got, want = loss(y_true, ours_in), theirs(y_true, theirs_in)
    compared = ledger.Comparison()
    compared.same(got, want)
    torch.autograd.backward([got, want])
    assert ours_in.grad is not None
    assert theirs_in.grad is not None
    compared.same(ours_in.grad, theirs_in.grad)
    ledger.note("loss", loss.component_name, ledger.describe(arguments, *shapes), compared.gap)


@pytest.mark.parametrize("name", [name for name, _, arguments in CASES if not arguments])
def test_every_reduction_is_keras_s(name: str) -> None:
    kind = next(kind for known, kind, _ in CASES if known == name)
    data, weight = Data(kind, (6, 4)), np.random.default_rng(7).uniform(size=6)
    for reduction in REDUCTIONS:
        want = keras_loss(name, data, reduction, weight, None)
        got = LOSSES.parse({name: {"reduction": reduction}})(
            torch.tensor(data.true), torch.tensor(data.pred), sample_weight=torch.tensor(weight)
        )
        compared = ledger.Comparison()
        compared.same(got, want)
        ledger.note("loss", LOSSES.get(name).component_name, f"reduction={reduction}, sample_weight", compared.gap)


AXES: list[tuple[str, str, dict[str, Any]]] = [
    ("BinaryCrossentropy", "yes_no", {}),
    ("BinaryCrossentropy", "yes_no_logits", {"from_logits": True}),
    ("BinaryFocalCrossentropy", "yes_no", {"apply_class_balancing": True, "alpha": 0.7}),
    ("CategoricalCrossentropy", "one_hot", {}),
    ("CategoricalFocalCrossentropy", "one_hot", {}),
    ("CosineSimilarity", "numbers", {}),
    ("Dice", "yes_no", {}),
    ("Tversky", "yes_no", {"alpha": 0.2}),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("axis", [[1, 2], [-2, -1]])
@pytest.mark.parametrize(("name", "kind", "arguments"), AXES)
def test_several_axes_are_taken_together_as_in_keras(
    name: str, kind: str, arguments: dict[str, Any], axis: list[int], weighted: bool
) -> None:
    data, weight = Data(kind, (6, 3, 4)), torch.tensor(np.random.default_rng(8).uniform(size=6)) if weighted else None
    y_true, y_pred = torch.tensor(data.true), torch.tensor(data.pred)
    want = getattr(keras.losses, name)(axis=tuple(axis), **arguments)(y_true, y_pred, sample_weight=weight)
    loss = LOSSES.parse({name: {"axis": axis, **arguments}})
    compared = ledger.Comparison()
    compared.same(loss(y_true, y_pred, sample_weight=weight), want)
    case = ledger.describe({**arguments, "axis": axis, "weighted": weighted})
    ledger.note("loss", loss.component_name, case, compared.gap)


CLASSES_FIRST: list[dict[str, Any]] = [
    {"axis": 1}, {"axis": 1, "ignore_class": 2}, {"axis": -2, "from_logits": True},
]  # fmt: skip


@pytest.mark.parametrize("arguments", CLASSES_FIRST, ids=str)
def test_classes_may_be_on_another_axis_than_the_last(arguments: dict[str, Any]) -> None:
    data = Data("classes_logits" if "from_logits" in arguments else "classes", (6, 3, 4))
    theirs = keras.losses.SparseCategoricalCrossentropy(**arguments)
    pred = torch.tensor(data.pred).swapaxes(1, 2)
    compare("sparse_categorical_crossentropy", arguments, torch.tensor(data.true), pred, theirs, (6, 4, 3))


@pytest.mark.parametrize("name", ["CategoricalCrossentropy", "CategoricalFocalCrossentropy"])
def test_logits_over_several_axes_are_those_over_one_of_all_their_values(name: str) -> None:
    """Keras on torch has no softmax over several axes."""
    random = np.random.default_rng(3)
    true, logits = torch.eye(12, dtype=torch.float64)[[3, 7]], torch.tensor(random.normal(size=(2, 12)))
    several = LOSSES.parse({name: {"from_logits": True, "axis": [1, 2]}})(true.view(2, 3, 4), logits.view(2, 3, 4))
    torch.testing.assert_close(several, LOSSES.parse({name: {"from_logits": True}})(true, logits), rtol=1e-12, atol=0)


CIRCLES: list[dict[str, Any]] = [
    {}, {"gamma": 10.0}, {"margin": 0.1}, {"remove_diagonal": False}, {"gamma": 2.0, "margin": 0.3, "reduction": "sum"},
]  # fmt: skip


@pytest.mark.parametrize("arguments", CIRCLES, ids=str)
@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 1, 0], [0, 1, 0, 2, 3, 4]])  # with rows that have no friend
def test_circle_is_keras_s(arguments: dict[str, Any], labels: list[int]) -> None:
    embeddings = torch.tensor(np.random.default_rng(9).normal(size=(6, 5)))
    embeddings = embeddings / embeddings.norm(dim=1, keepdim=True)
    compare("circle", arguments, torch.tensor(labels), embeddings, keras.losses.Circle(**arguments), (6, 5))


def test_circle_of_rows_without_friends_is_zero_with_a_gradient_of_zeros() -> None:
    embeddings = torch.eye(4, dtype=torch.float64).requires_grad_()
    loss = LOSSES.parse("circle")(torch.arange(4), embeddings)
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert torch.equal(embeddings.grad, torch.zeros(4, 4, dtype=torch.float64))


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
    compared = ledger.Comparison()
    compared.same(got, want)
    case = ledger.describe(
        {"reduction": reduction, "ignore_class": ignore_class, "mask": masked, "weight": weight_shape}
    )
    ledger.note("loss", "sparse_categorical_crossentropy", case, compared.gap)


def test_ctc_is_keras_s() -> None:
    random = np.random.default_rng(4)
    labels = np.array([[1, 2, 0], [3, 0, 0], [2, 2, 1], [1, 3, 2]])
    logits = random.normal(size=(4, 9, 5))
    for reduction in ("sum_over_batch_size", "sum"):
        theirs = keras.losses.CTC(reduction=reduction)
        labels_in = torch.tensor(labels, dtype=torch.int32)
        compare("ctc", {"reduction": reduction}, labels_in, torch.tensor(logits), theirs, (4, 9, 5))
    assert LOSSES.parse("ctc").check(TensorSpec((3,), "int64"), TensorSpec((9, 5))) is None
    assert LOSSES.parse("ctc").check(TensorSpec((), "int64"), TensorSpec((5,))) == (
        "'ctc' needs targets (None, labels) and an output (None, steps, classes), got (None,) and (None, 5)"
    )


@pytest.mark.parametrize(("kind", "meant"), [
    ("one_hot", "CategoricalCrossentropy"), ("classes", "SparseCategoricalCrossentropy"),
])  # fmt: skip
def test_crossentropy_is_the_one_that_fits(kind: str, meant: str) -> None:
    data = Data(kind, (6, 4))
    theirs = getattr(keras.losses, meant)()
    compare("crossentropy", {}, torch.tensor(data.true), torch.tensor(data.pred), theirs, (6, 4))
    column = torch.tensor([[0.3], [0.8]])
    want = LOSSES.parse("binary_crossentropy")(torch.tensor([0.0, 1.0]), column)
    assert LOSSES.parse("crossentropy")(torch.tensor([0.0, 1.0]), column).item() == want.item()


def test_defaults_are_keras_s() -> None:
    for cls in LOSSES:
        theirs = getattr(keras.losses, cls.__name__, None)
        if theirs is None:
            assert cls.component_name in {"crossentropy", "expr"}
            continue
        defaults = {name: p.default for name, p in inspect.signature(theirs).parameters.items()}
        assert cls.model_validate({}).model_dump() == {field: defaults[field] for field in cls.model_fields}
