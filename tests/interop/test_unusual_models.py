"""Rare models that Keras allows: masks that broadcast, more axes, nested inputs and outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import Input, Model
from keras import layers as L

from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.keras_import_harness import arrays, rows, save, shake

pytestmark = pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")  # a mapping inside a list


def softmax_over_several_axes() -> Model:
    x = Input((4, 5))
    axes: Any = (1, 2)  # Keras says int
    return Model(x, L.Softmax(axis=axes)(x))


def softmax_with_a_mask_that_broadcasts() -> Model:
    x, mask = Input((4, 5)), Input((1, 5), dtype="bool")
    return Model([x, mask], L.Softmax()(x, mask=mask))


def batch_normalization_with_a_mask() -> Model:
    x, mask = Input((4, 5)), Input((4,), dtype="bool")
    return Model([x, mask], L.BatchNormalization()(x, mask=mask))


def heads_with_a_mask_that_broadcasts() -> Model:
    x, mask = Input((4, 5)), Input((1, 4), dtype="bool")
    return Model([x, mask], L.MultiHeadAttention(2, 3)(x, x, attention_mask=mask))


def pooling_with_a_mask() -> Model:
    x, mask = Input((4, 5)), Input((4,), dtype="bool")
    return Model([x, mask], L.GlobalAveragePooling1D()(x, mask=mask))


def attention_over_four_axes() -> Model:
    query, value = Input((3, 4, 5)), Input((3, 6, 5))
    return Model([query, value], L.Attention(use_scale=True)([query, value]))


def scores_of_sums_over_four_axes() -> Model:
    query, value = Input((3, 4, 5)), Input((3, 6, 5))
    return Model([query, value], L.Attention(score_mode="concat")([query, value]))


def additive_attention_over_five_axes() -> Model:
    x = Input((2, 3, 4, 5))
    return Model(x, L.AdditiveAttention()([x, x]))


def heads_over_two_axes() -> Model:
    x = Input((3, 4, 5))
    return Model(x, L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x))


def a_layer_named_like_an_activation_in_a_wrapper() -> Model:
    x = Input((4, 5))
    return Model(x, L.TimeDistributed(L.Softmax())(x))


def numbers_of_each_channel_rescaled() -> Model:
    x = Input((4, 4, 3))
    scale: Any = [0.5, 2.0, 1.0]  # Keras says float, and has lists in the published EfficientNets
    return Model(x, L.Rescaling(scale)(x))


def numbers_without_an_axis() -> Model:
    x = Input(())
    return Model(x, keras.ops.multiply(x, 2.0))


def nested_mapping_of_inputs() -> Model:
    x, y = Input((3,), name="a"), Input((2,))
    return Model({"a": x, "b": {"c": y}}, L.Concatenate()([x, y]))


def nested_list_of_inputs() -> Model:
    x, y, z = Input((3,)), Input((2,)), Input((1,))
    return Model([x, [y, z]], L.Concatenate()([x, y, z]))


def nested_mapping_of_outputs() -> Model:
    x = Input((3,), name="a")
    return Model({"a": x}, {"o": L.Dense(2)(x), "p": {"q": L.Dense(1)(x)}})


def lists_in_mappings() -> Model:
    x, y = Input((3,)), Input((2,))
    return Model({"a": [x, y]}, {"o": [L.Dense(2)(x), L.Dense(2)(y)]})


def spectral_normalization_in_wrappers() -> Model:
    x = Input((4, 5))
    inner = keras.Sequential([L.SpectralNormalization(L.Dense(3)), L.Dense(2)])
    return Model(x, L.TimeDistributed(inner)(L.TimeDistributed(L.SpectralNormalization(L.Dense(5)))(x)))


def categories_without_a_known_shape() -> Model:
    x = Input((None,), dtype="int64")
    return Model(x, L.CategoryEncoding(7, output_mode="multi_hot")(x))


def bins_with_both_settings() -> Model:
    x = Input((3,))
    return Model(x, L.Discretization(bin_boundaries=[-0.5, 0.5])(x))


UNUSUAL: list[Callable[[], Model]] = [
    softmax_over_several_axes, softmax_with_a_mask_that_broadcasts, batch_normalization_with_a_mask,
    heads_with_a_mask_that_broadcasts, pooling_with_a_mask, attention_over_four_axes, scores_of_sums_over_four_axes,
    additive_attention_over_five_axes, heads_over_two_axes, a_layer_named_like_an_activation_in_a_wrapper,
    numbers_of_each_channel_rescaled, numbers_without_an_axis, nested_mapping_of_inputs,
    nested_list_of_inputs, nested_mapping_of_outputs, lists_in_mappings, spectral_normalization_in_wrappers,
    categories_without_a_known_shape, bins_with_both_settings,
]  # fmt: skip


@pytest.mark.parametrize("make", UNUSUAL, ids=lambda make: make.__name__)
def test_an_unusual_model_predicts_what_keras_predicts(make: Callable[[], Model], tmp_path: Path) -> None:
    model: Any = make()
    shake(model)
    x = rows(model)
    for given in model.inputs:
        if given.dtype == "bool":
            x[given.name] = np.random.default_rng(4).random(x[given.name].shape) < 0.7
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    ours = predict_run(run, str(arrays(run, model, x, tmp_path / "x.npz"))).outputs.values()
    struct = getattr(model, "_inputs_struct", model.inputs)
    theirs: Any = model(keras.tree.map_structure(lambda tensor: x[tensor.name], struct), training=False)
    for mine, other in zip(ours, keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "make", [lists_in_mappings, spectral_normalization_in_wrappers], ids=lambda make: make.__name__
)
def test_an_unusual_model_comes_back_to_keras(make: Callable[[], Model], tmp_path: Path) -> None:
    model: Any = make()
    shake(model)
    run = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record
    export_run(run, "keras", tmp_path / "back.keras")
    back: Any = keras.models.load_model(tmp_path / "back.keras", compile=False)
    x = list(rows(model).values())
    theirs = keras.tree.flatten(model(keras.tree.pack_sequence_as(model._inputs_struct, x)))
    for mine, other in zip(keras.tree.flatten(back(x if len(x) > 1 else x[0])), theirs, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), atol=1e-5)


def an_input_beside() -> Model:
    x, y = Input((3,), name="a"), Input((2,), name="b")
    return Model([y, x], L.Dense(2)(x), name="inner")


def an_input_of_a_nested_model() -> Model:
    p, q = Input((3,), name="p"), Input((2,), name="q")
    return Model([p, q], an_input_beside()([q, p]))


def an_input_of_a_shared_model() -> Model:
    p, q = Input((3,), name="p"), Input((2,), name="q")
    inner = an_input_beside()
    return Model([p, q], L.Add()([inner([q, p]), inner([q, 2 * p])]))


def an_input_of_a_result_that_nobody_takes() -> Model:
    x, y = Input((3,), name="a"), Input((2,), name="b")
    inner = Model([x, y], [L.Dense(2)(y), L.Dense(2)(x)], name="inner")
    p, q = Input((3,), name="p"), Input((2,), name="q")
    return Model([p, q], inner([p, q])[1])


def an_input_two_models_deep() -> Model:
    p, q = Input((3,), name="p"), Input((2,), name="q")
    inner = an_input_beside()
    outer = Model([p, q], inner([q, p]), name="outer")
    u, v = Input((3,), name="u"), Input((2,), name="v")
    return Model([u, v], L.Add()([outer([u, v]), outer([keras.ops.negative(u), v])]))


@pytest.mark.parametrize(
    "make",
    [
        an_input_beside, an_input_of_a_nested_model, an_input_of_a_shared_model,
        an_input_of_a_result_that_nobody_takes, an_input_two_models_deep,
    ],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_an_input_that_no_output_depends_on_is_left_out(make: Callable[[], Model], tmp_path: Path) -> None:
    model: Any = make()
    shake(model)
    x = rows(model)
    imported = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    run = open_run(imported.record, device="cpu")
    (kept,) = [given.name for given in run.experiment.spec.model.inputs]
    (left,) = x.keys() - {kept}
    assert f"input '{left}' is not imported: no output depends on it" in imported.notes
    named: Any = x
    np.savez(tmp_path / "x.npz", **named)
    (ours,) = predict_run(run, str(tmp_path / "x.npz")).outputs.values()
    theirs = model([x[given.name] for given in model.inputs], training=False)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5, rtol=1e-5)
