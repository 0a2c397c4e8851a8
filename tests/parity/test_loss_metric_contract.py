"""Every loss and metric: accepted shapes, in batches, weighted and masked, compared with Keras on the same rows.

Keras is given the targets in the shape of the outputs, so that its own rules for other shapes play no part, and for a
metric all rows at once. Both compute in float64.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import LOSSES
from kerascli.metrics.base import METRICS
from tests.parity import loss_metric_cases as cases
from tests.parity.loss_metric_cases import ARRANGEMENTS, LABELS, NUMBERS, ROWS, Case, Data, K, data_of

pytestmark = pytest.mark.usefixtures("keras_makes_float64")

REGISTRIES = {"loss": (LOSSES, cases.LOSSES), "metric": (METRICS, cases.METRICS)}


def test_every_loss_and_metric_has_a_case() -> None:
    for registry, known in REGISTRIES.values():
        assert set(known) == set(registry.names())


@pytest.mark.parametrize("kind", REGISTRIES)
def test_what_check_lets_through_is_what_a_component_takes(kind: str) -> None:
    registry, known = REGISTRIES[kind]
    for name, case in known.items():
        component = registry.parse({name: case.arguments} if case.arguments else name)
        for arrangement, (target, output) in ARRANGEMENTS.items():
            said = component.check(TensorSpec(target), TensorSpec(output))
            if name == "expr" and {target[-1:], output[-1:]} == {(1,), (K,)}:
                continue  # a formula may broadcast a last axis of 1
            assert (said is None) == (arrangement in case.takes), (name, arrangement, said)


@pytest.mark.parametrize("name", cases.LOSSES)
def test_a_loss_of_each_batch_is_keras_s(name: str) -> None:
    case = cases.LOSSES[name]
    loss = LOSSES.parse({name: case.arguments} if case.arguments else name)
    for arrangement, weighted in _trials(case):
        theirs = _theirs(case, "losses", arrangement)
        for true, pred, weight, _ in _batches(data_of(case.kind, arrangement)):
            w = torch.tensor(weight) if weighted else None
            got = loss(torch.tensor(true), torch.tensor(pred), sample_weight=w)
            wanted_true, wanted_pred = map(torch.tensor, _alike(true, pred, arrangement))
            wanted = theirs(wanted_true, wanted_pred, sample_weight=_spread(theirs, wanted_true, wanted_pred, w))
            _close(got, wanted, case, arrangement)


@pytest.mark.parametrize("name", cases.METRICS)
def test_a_metric_of_three_batches_is_keras_s_of_all_rows(name: str) -> None:
    case = cases.METRICS[name]
    metric = METRICS.parse({name: case.arguments} if case.arguments else name)
    for arrangement, weighted in _trials(case):
        data = data_of(case.kind, arrangement)
        states = [
            metric(torch.tensor(true), torch.tensor(pred), sample_weight=torch.tensor(weight) if weighted else None)
            for true, pred, weight, _ in _batches(data)
        ]
        theirs = _theirs(case, "metrics", arrangement)
        true, pred = _alike(data.true, data.pred, arrangement)
        theirs.update_state(
            true, pred, sample_weight=_for_metric(theirs, data.weight, true, pred) if weighted else None
        )
        _close(metric.result(torch.stack(states).sum(0)), theirs.result(), case, arrangement)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_masked_steps_are_as_rows_that_are_left_out(kind: str) -> None:
    registry, known = REGISTRIES[kind]
    for name, case in known.items():
        component = registry.parse({name: case.arguments} if case.arguments else name)
        for arrangement in [a for a in case.takes if len(ARRANGEMENTS[a][1]) == 2]:
            data = data_of(case.kind, arrangement)
            mask, true, pred = (torch.tensor(x) for x in (data.mask, data.true, data.pred))
            if not case.masked or ("correlation" in name and pred.shape[-1] == 1):
                with pytest.raises(DataError, match="do not fit values"):
                    component(true, pred, mask=mask)
                continue
            got, wanted = component(true, pred, mask=mask), component(true[mask], pred[mask])
            if kind == "metric":
                got, wanted = component.result(got), component.result(wanted)
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9, msg=f"{name}: {arrangement}")


def test_shapes_that_do_not_meet_are_an_error_of_the_data_in_words() -> None:
    """Where a size is not known before there is data, `check` cannot tell."""
    for registry, known in REGISTRIES.values():
        for name, case in known.items():
            if name in {"expr", "one_hot_iou", "one_hot_mean_iou"} or case.takes & LABELS:
                continue  # a formula broadcasts, and of one-hot rows the greatest is taken first
            component = registry.parse({name: case.arguments} if case.arguments else name)
            with pytest.raises(DataError, match="do not match predictions"):
                component(torch.ones(7, 3), torch.ones(7, K))


@pytest.mark.parametrize(
    ("name", "arguments", "theirs"),
    [
        ("hinge", {}, "another number"),
        ("squared_hinge", {}, "another number"),
        ("categorical_hinge", {}, "another number"),
        ("poisson", {}, "another number"),
        ("kl_divergence", {}, "another number"),
        ("binary_crossentropy", {}, "ValueError"),
        ("f1_score", {"average": "micro", "threshold": 0.5}, "ValueError"),
        ("fbeta_score", {"average": "micro", "threshold": 0.5}, "ValueError"),
        ("mean_absolute_error", {}, "the same"),
        ("auc", {}, "the same"),
    ],
)
def test_what_the_docs_say_of_keras_s_metrics_of_vectors_beside_columns_is_true(
    name: str, arguments: dict[str, Any], theirs: str
) -> None:
    data = data_of("shares", "vector, column")
    true = (data.true > 0.5).astype(np.float64)
    make = cases.METRICS[name].keras if not arguments else getattr(keras.metrics, METRICS.get(name).__name__)
    figures: list[str] = []
    for given in (true[:, None], true):
        metric: Any = make(**arguments) if make is not None else None
        try:
            metric.update_state(given, data.pred)
            figures.append(f"{float(metric.result()):.9f}")
        except ValueError:
            figures.append("ValueError")
    found = "the same" if figures[0] == figures[1] else "ValueError" if "ValueError" in figures else "another number"
    assert found == theirs


def _trials(case: Case) -> Iterator[tuple[str, bool]]:
    for arrangement in sorted(case.takes):
        yield arrangement, False
        if case.weighted:
            yield arrangement, True


def _batches(data: Data) -> Iterator[list[np.ndarray]]:
    ends = np.cumsum(ROWS)[:-1]
    return map(list, zip(*(np.split(x, ends) for x in (data.true, data.pred, data.weight, data.mask)), strict=True))


def _alike(true: np.ndarray, pred: np.ndarray, arrangement: str) -> tuple[np.ndarray, np.ndarray]:
    """Return targets in the outputs' shape: one value per row as (N, 1), per step as (N, T), labels as (N, *)."""
    if arrangement == "steps, steps of one":
        return true, pred[..., 0]
    if arrangement in NUMBERS:
        return true.reshape(-1, 1), pred.reshape(-1, 1)
    if arrangement in LABELS and true.ndim == pred.ndim:
        return true[..., 0], pred
    return true, pred


def _theirs(case: Case, kind: str, arrangement: str) -> Any:
    """Return Keras's counterpart; for names resolved by shapes, Keras's object of that name."""
    if case.keras is not None:
        return case.keras()
    column = arrangement not in LABELS and ARRANGEMENTS[arrangement][1][-1:] != (K,)
    which = "Binary" if column else "SparseCategorical" if arrangement in LABELS else "Categorical"
    return getattr(keras, kind).__dict__[which + {"losses": "Crossentropy", "metrics": "Accuracy"}[kind]]()


def _spread(theirs: Any, true: torch.Tensor, pred: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor | None:
    """Return weights per row, broadcast to the loss's values, which Keras does not do by itself."""
    if weight is None:
        return None
    axes = theirs.call(true.to(pred.dtype), pred).ndim
    return weight.reshape(-1, *[1] * (axes - 1))


def _for_metric(theirs: Any, weight: np.ndarray, true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Return sample weights for a metric: per row for means, per value for counts of outcomes."""
    if isinstance(theirs, keras.metrics.Mean | keras.metrics.FBetaScore | keras.metrics.R2Score):
        return weight
    of_classes = isinstance(theirs, keras.metrics.IoU | keras.metrics.MeanIoU) and not theirs.sparse_y_pred
    like = pred[..., 0] if of_classes else pred[..., :1] if getattr(theirs, "class_id", None) is not None else pred
    return np.broadcast_to(weight.reshape(-1, *[1] * (like.ndim - 1)), like.shape)


def _close(got: torch.Tensor, wanted: torch.Tensor, case: Case, arrangement: str) -> None:
    wanted = torch.as_tensor(wanted).to(got.dtype)
    torch.testing.assert_close(got, wanted, rtol=case.rtol, atol=case.rtol, msg=lambda text: f"{arrangement}: {text}")
