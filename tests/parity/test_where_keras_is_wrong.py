"""Keras's mistakes listed in docs/numbers.md exist in Keras, and not here."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS
from kerascli.losses.base import LOSSES
from kerascli.metrics.base import METRICS
from kerascli.parts.base import ACTIVATIONS
from kerascli.training.checks.row_independence import comparison_keeps_rows_apart
from tests.support import layer_harness as harness


@pytest.mark.filterwarnings("ignore:You are passing weight as `float`:UserWarning")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("MeanIoU", {"num_classes": 3}), ("IoU", {"num_classes": 3, "target_class_ids": [0, 1]}), ("BinaryIoU", {})],
)
def test_keras_cuts_the_weights_of_iou_to_integers(name: str, arguments: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    classes = 2 if name == "BinaryIoU" else 3
    true = random.integers(0, classes, 30)
    pred = random.uniform(size=30) if name == "BinaryIoU" else random.integers(0, classes, 30)
    weight = random.uniform(0, 2, 30)

    def theirs(sample_weight: np.ndarray, **dtype: str) -> float:
        metric = getattr(keras.metrics, name)(**arguments, **dtype)
        metric.update_state(true, pred, sample_weight=sample_weight)
        return float(metric.result())

    metric = METRICS.parse({name: arguments})
    state = metric(torch.tensor(true), torch.tensor(pred), sample_weight=torch.tensor(weight))
    ours = metric.result(state).item()
    assert theirs(weight) == theirs(np.floor(weight))
    assert ours == pytest.approx(theirs(weight, dtype="float64"), rel=1e-6)  # Keras divides in float32
    assert ours != pytest.approx(theirs(weight), rel=1e-2)


def test_keras_weighs_false_negatives_by_the_alpha_of_tversky() -> None:
    """Keras's page says false positives. The single error in this data is a false negative."""
    true, pred = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    for alpha, beta, wanted in ((1.0, 0.0, 0.5), (0.0, 1.0, 0.0)):
        arguments: dict[str, Any] = {"alpha": alpha, "beta": beta}
        theirs: Any = keras.losses.Tversky(**arguments)(true, pred)
        assert theirs.item() == pytest.approx(wanted, abs=1e-6)
        assert LOSSES.parse({"tversky": arguments})(true, pred).item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", ["PearsonCorrelation", "ConcordanceCorrelation"])
def test_a_correlation_along_the_rows_is_a_mean_over_batches_in_keras_too(name: str) -> None:
    random = np.random.default_rng(1)
    true = random.normal(size=(50, 3))
    pred = true + random.normal(size=true.shape)
    theirs, ours = getattr(keras.metrics, name)(axis=0, dtype="float64"), METRICS.parse({name: {"axis": 0}})
    state, of_batches = torch.zeros(2, dtype=torch.float64), []
    for rows in (slice(0, 20), slice(20, 40), slice(40, 50)):
        theirs.update_state(true[rows], pred[rows])
        state += ours(torch.tensor(true[rows]), torch.tensor(pred[rows]))
        alone = getattr(keras.metrics, name)(axis=0, dtype="float64")
        alone.update_state(true[rows], pred[rows])
        of_batches.append(float(alone.result()))
    whole = getattr(keras.metrics, name)(axis=0, dtype="float64")
    whole.update_state(true, pred)
    found = ours.result(state).item()
    assert found == pytest.approx(float(theirs.result()), rel=1e-9)
    assert found == pytest.approx(np.mean(of_batches), rel=1e-9)  # a short batch counts as much as a long one
    assert found != pytest.approx(float(whole.result()), rel=1e-3)
    assert not comparison_keeps_rows_apart(ours, TensorSpec((3,), "float32"))


def test_sparsemax_of_keras_on_torch_is_no_distribution() -> None:
    logits = torch.tensor([[1.0, 0.5, 0.2], [0.3, 0.2, 2.0]], dtype=torch.float64)
    theirs: Any = keras.activations.sparsemax(logits)
    assert not torch.allclose(theirs.sum(-1), torch.ones(2, dtype=theirs.dtype), atol=0.1)
    ours = ACTIVATIONS.parse("sparsemax")(logits)
    torch.testing.assert_close(ours.sum(-1), torch.ones(2, dtype=torch.float64), rtol=1e-12, atol=0)


def test_keras_ignores_the_activity_regularizer_of_a_simple_rnn() -> None:
    """Here it counts, as tests/parity/test_weight_settings.py shows for every layer."""
    x = torch.ones(2, 3, 4)
    penalties = {}
    for name in ("SimpleRNN", "GRU"):
        layer = getattr(keras.layers, name)(3, activity_regularizer="l2")
        layer(x)
        penalties[name] = len(layer.losses)
    assert penalties == {"SimpleRNN": 0, "GRU": 1}


def test_keras_ignores_the_query_mask_that_multi_head_attention_is_called_with() -> None:
    """Keras uses the propagated mask of the query; group_query_attention uses both, as here."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 4)))
    mask = torch.tensor([[True, True, False], [False, False, True]])
    theirs: Any = keras.layers.MultiHeadAttention(2, 3, dtype="float64")
    assert torch.equal(theirs(x, x), theirs(x, x, query_mask=mask))
    module = harness.make(
        harness.parse("multi_head_attention", {"num_heads": 2, "key_dim": 3}), *[TensorSpec((3, 4))] * 2
    )
    harness.materialise(module, dtype=torch.float64)
    assert torch.equal(module(x, x, query_mask=mask), module(x, x, masks=[mask, None]))
    assert not torch.allclose(module(x, x, query_mask=mask), module(x, x))


def test_keras_cuts_the_rows_of_a_spectrally_normalized_embedding_to_integers() -> None:
    ids = torch.tensor([[0, 2, 1]])
    theirs: Any = keras.layers.SpectralNormalization(keras.layers.Embedding(3, 2))
    assert not theirs(ids).is_floating_point()
    module = harness.make(
        harness.parse("spectral_normalization", {"layer": {"embedding": {"input_dim": 3, "output_dim": 2}}}),
        TensorSpec((3,), "int64"),
    )
    harness.materialise(module, dtype=torch.float64)
    (rows,) = [weight for name, weight in module.named_parameters() if name.endswith("embeddings")]
    assert torch.equal(module.eval()(ids), rows[ids])


@pytest.mark.parametrize("name", ["dense", "embedding"])
def test_keras_ignores_the_lora_alpha_of_a_constructor(name: str) -> None:
    sizes: dict[str, Any] = {"units": 3} if name == "dense" else {"input_dim": 5, "output_dim": 3}
    theirs = getattr(keras.layers, name.title())(**sizes, lora_rank=2, lora_alpha=8)
    theirs.build((None, 4))
    assert theirs.lora_alpha == 2
    ours: Any = LAYERS.parse({name: {**sizes, "lora_rank": 2, "lora_alpha": 8}})
    assert ours.build(TensorSpec((4,), "int64" if name == "embedding" else "float32")).lora_scale == 4
