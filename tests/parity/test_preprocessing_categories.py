"""Layers and transforms for categories, numbers and text: values equal Keras's.

For texts and hashes Keras needs TensorFlow, even on its torch backend: those tests are marked `keras_tf`.
"""

import importlib.util
import os

os.environ["KERAS_BACKEND"] = "torch"

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.data.base import NO_STATE, TRANSFORMS, Field
from kerascli.features.discretization import quantile_boundaries
from tests.parity.layers import assert_same
from tests.support.transform_harness import fitted, transformed

RANDOM = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _floats_are_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"num_tokens": 5}, (4, 3)),
        ({"num_tokens": 5, "output_mode": "multi_hot"}, (4, 1)),
        ({"num_tokens": 5, "output_mode": "one_hot"}, (4, 3)),
        ({"num_tokens": 5, "output_mode": "one_hot"}, (4, 1)),
        ({"num_tokens": 5, "output_mode": "one_hot"}, (4, 3, 2)),
        ({"num_tokens": 5, "output_mode": "one_hot"}, (4,)),
        ({"num_tokens": 9, "output_mode": "count"}, (4, 7)),
    ],
)
def test_category_encoding(config, shape):
    assert_same("CategoryEncoding", config, inputs=[RANDOM.integers(0, 5, shape)])


def test_category_encoding_with_weights():
    weights = torch.tensor(RANDOM.normal(size=(4, 3)))
    ids = RANDOM.integers(0, 5, (4, 3))
    assert_same("CategoryEncoding", {"num_tokens": 5, "output_mode": "count"}, inputs=[ids], count_weights=weights)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"bin_boundaries": [-0.5, 0.0, 1.0]}, (6, 4)),
        ({"bin_boundaries": [0.0]}, (6, 4, 3)),
        ({"bin_boundaries": [-0.5, 0.5], "output_mode": "one_hot"}, (6, 4)),
        ({"bin_boundaries": [-0.5, 0.5], "output_mode": "one_hot"}, (6, 1)),
        ({"bin_boundaries": [-0.5, 0.5], "output_mode": "multi_hot"}, (6, 4)),
        ({"bin_boundaries": [-0.5, 0.5], "output_mode": "count"}, (6, 4)),
    ],
)
def test_discretization(config, shape):
    assert_same("Discretization", config, shape)


def test_a_number_on_a_boundary_is_in_the_bin_above():
    x = np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    assert_same("Discretization", {"bin_boundaries": [0.0, 1.0, 2.0]}, inputs=[x])


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"mean": 0.5, "variance": 4.0}, (5, 3)),
        ({"mean": [1.0, 0.0, 2.0], "variance": [4.0, 0.0, 0.25]}, (5, 3)),
        ({"mean": [1.0, 0.0, 2.0], "variance": [4.0, 1.0, 0.25], "invert": True}, (5, 4, 3)),
        ({"axis": None, "mean": 0.5, "variance": 2.0}, (5, 4, 3)),
        ({"axis": 1, "mean": [1.0, 0.0, 2.0, 3.0], "variance": [4.0, 1.0, 0.25, 9.0]}, (5, 4, 3)),
        ({"axis": [1, 2], "mean": [[1.0, 2.0, 3.0]] * 4, "variance": [[1.0, 4.0, 9.0]] * 4}, (5, 4, 3)),
        ({"axis": [-1, 1], "mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 9.0]}, (5, 4, 3)),
    ],
)
def test_normalization(config, shape):
    assert_same("Normalization", config, shape)


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], None])
@pytest.mark.parametrize("invert", [False, True])
def test_normalization_learns_the_moments_of_keras(axis, invert):
    x = RANDOM.normal(3, 5, (40, 4, 3))
    config: dict[str, Any] = {"axis": tuple(axis) if isinstance(axis, list) else axis, "invert": invert}
    theirs = keras.layers.Normalization(**config, dtype="float64")
    theirs.adapt(x)
    ours = made({"normalization": {"axis": axis, "invert": invert}}, x)
    np.testing.assert_allclose(ours, theirs(x).numpy(), rtol=1e-6)  # Keras keeps the moments in float32


@pytest.mark.parametrize(("num_bins", "epsilon"), [(2, 0.01), (4, 0.01), (7, 0.1), (49, 0.01), (100, 0.001)])
@pytest.mark.parametrize("rows", [8, 90, 5000])
def test_discretization_learns_the_boundaries_of_keras(rows, num_bins, epsilon):
    x = RANDOM.gamma(2.0, size=(rows, 2)).astype(np.float32)
    theirs = keras.layers.Discretization(num_bins=num_bins, epsilon=epsilon)
    _learned_from(theirs, x)
    assert quantile_boundaries([x], num_bins, epsilon).tolist() == theirs.bin_boundaries
    ours = made({"discretization": {"num_bins": num_bins, "epsilon": epsilon}}, x)
    np.testing.assert_array_equal(ours, theirs(x).numpy())


def _learned_from(layer: keras.layers.Discretization, *batches: np.ndarray) -> None:
    """Adapt a Keras layer without its use of TensorFlow's datasets."""
    layer.reset_state()
    for batch in batches:
        layer.update_state(batch)
    layer.finalize_state()


def test_discretization_merges_parts_as_keras_merges_batches():
    parts = [RANDOM.normal(size=(size, 1)).astype(np.float32) for size in (300, 50, 999)]
    theirs = keras.layers.Discretization(num_bins=6)
    _learned_from(theirs, *parts)
    assert quantile_boundaries(parts, 6, 0.01).tolist() == theirs.bin_boundaries


def test_bins_learned_from_many_rows_hold_about_as_many_each():
    x = RANDOM.normal(size=20_000)
    counts = np.bincount(made({"discretization": {"num_bins": 5}}, x))
    assert len(counts) == 5
    assert abs(counts / 20_000 - 0.2).max() < 0.01


def made(written: Any, values: np.ndarray, train: np.ndarray | None = None) -> np.ndarray:
    """Return a transform's output for values, after fitting it to `train` or else to them."""
    step = TRANSFORMS.parse(written)
    train = values if train is None else train
    return transformed(step, values, fitted(step, train))


needs_tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow")

WORDS = np.array(["red", "green", "blue", "über", "", "a rather long word of more than thirty-two letters", "x" * 200])
PRESENT = WORDS[WORDS != ""]
"""Texts that are not missing: only lookups, and hashing with a mask value, take missing ones."""
TEXTS = np.array(
    [
        "The cat, the CAT and the hat!", "", "A\u00a0b\tc\n d", "Émile's café: it's ÉMILE'S", "don't stop_me now",
        "one two three four five six seven", "the hat", "a a a a", "ß [UNK] unk", "日本 日本語",
    ]
)  # fmt: skip


@needs_tensorflow
@pytest.mark.keras_tf
class TestBesideKerasOnTensorFlow:
    @pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
    @pytest.mark.parametrize(
        "config", [{}, {"salt": 7}, {"salt": [133, 137]}, {"mask_value": "red"}, {"mask_value": ""}]
    )
    @pytest.mark.parametrize("shape", [(60, 1), (20, 3)])
    def test_hashing_of_words(self, shape, config, mode):
        config = {"num_bins": 11, "output_mode": mode, **config}
        values = RANDOM.choice(WORDS if config.get("mask_value") == "" else PRESENT, shape)
        theirs = keras.layers.Hashing(**config)(values)
        np.testing.assert_array_equal(made({"hashing": config}, values.astype(object)), np.asarray(theirs))

    @pytest.mark.parametrize("config", [{}, {"salt": [1, 2]}, {"mask_value": 0}])
    def test_hashing_of_whole_numbers(self, config):
        values = np.concatenate([np.arange(-20, 20), RANDOM.integers(-(2**62), 2**62, 200)])[:, None]
        theirs = keras.layers.Hashing(1000, **config)(values)
        np.testing.assert_array_equal(made({"hashing": {"num_bins": 1000, **config}}, values), np.asarray(theirs))

    @pytest.mark.parametrize("mode", ["int", "one_hot"])
    def test_hashed_crossing(self, mode):
        words, numbers = RANDOM.choice(PRESENT, 90), RANDOM.integers(-50, 50, 90)
        theirs = keras.layers.HashedCrossing(13, output_mode=mode)((words, numbers))
        records = np.empty(90, [("a", object), ("b", np.int64)])
        records["a"], records["b"] = words, numbers
        step = TRANSFORMS.parse({"hashed_crossing": {"num_bins": 13, "output_mode": mode}})
        field = Field((), "record", columns=(("a", Field((), "string")), ("b", Field((), "int64"))))
        np.testing.assert_array_equal(transformed(step, records, NO_STATE, field), np.asarray(theirs))

    @pytest.mark.parametrize(
        "config",
        [
            {}, {"max_tokens": 4}, {"num_oov_indices": 3, "max_tokens": 6}, {"mask_token": ""},
            {"mask_token": "", "output_mode": "count"}, {"output_mode": "multi_hot", "max_tokens": 5},
            {"output_mode": "count", "max_tokens": 12, "pad_to_max_tokens": True}, {"output_mode": "tf_idf"},
            {"output_mode": "tf_idf", "max_tokens": 12, "pad_to_max_tokens": True, "mask_token": ""},
            {"num_oov_indices": 4, "max_tokens": 6, "salt": [3, 4]}, {"output_mode": "one_hot", "oov_token": "red"},
        ],
    )  # fmt: skip
    def test_string_lookup_learned(self, config):
        words = WORDS[(WORDS != "") | (config.get("mask_token") == "")]  # a missing value is no word of ours
        train, values = RANDOM.choice(words[:-1], (40, 3)), RANDOM.choice(words, (15, 3))
        theirs = keras.layers.StringLookup(**config)
        theirs.adapt(train)
        ours = made({"string_lookup": config}, values.astype(object), train.astype(object))
        np.testing.assert_allclose(ours, np.asarray(theirs(values)), rtol=1e-5)

    @pytest.mark.parametrize(
        "config",
        [
            {}, {"num_oov_indices": 3, "max_tokens": 8}, {"mask_token": 0}, {"output_mode": "tf_idf"},
            {"num_oov_indices": 5, "oov_method": "farmhash", "max_tokens": 8},
            {"num_oov_indices": 5, "oov_method": "farmhash", "salt": 9, "max_tokens": 8},
            {"output_mode": "count", "mask_token": 1}, {"output_mode": "multi_hot", "oov_token": 2},
        ],
    )  # fmt: skip
    def test_integer_lookup_learned(self, config):
        train, values = RANDOM.integers(-3, 6, (40, 3)), RANDOM.integers(-9, 12, (25, 3))
        theirs = keras.layers.IntegerLookup(**config)
        theirs.adapt(train)
        ours = made({"integer_lookup": config}, values, train)
        np.testing.assert_allclose(ours, np.asarray(theirs(values)), rtol=1e-5)

    @pytest.mark.parametrize(
        "config",
        [
            {}, {"max_tokens": 8}, {"standardize": None}, {"standardize": "lower"},
            {"standardize": "strip_punctuation", "output_sequence_length": 4}, {"split": "character"},
            {"ngrams": 2}, {"ngrams": [3, 1], "max_tokens": 20}, {"output_mode": "multi_hot", "ngrams": 2},
            {"output_mode": "count", "max_tokens": 90, "pad_to_max_tokens": True}, {"output_mode": "tf_idf"},
            {"output_mode": "tf_idf", "max_tokens": 60, "pad_to_max_tokens": True, "ngrams": [2]},
            {"split": None, "output_mode": "count"}, {"split": "character", "output_mode": "tf_idf"},
        ],
    )  # fmt: skip
    def test_text_vectorization_learned(self, config):
        train, values = TEXTS[:-1], TEXTS[::-1]
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        theirs = keras.layers.TextVectorization(**plain)
        theirs.adapt(train)
        expected = np.asarray(theirs(values[:, None] if config.get("split", "") is None else values))
        ours = made({"text_vectorization": config}, values.astype(object), train.astype(object))
        np.testing.assert_allclose(ours, expected, rtol=1e-5)

    @pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, handing torch's tensors to numpy
    def test_feature_space(self):
        data = {
            "b": RANDOM.normal(size=200).astype(np.float32), "a": RANDOM.normal(size=200).astype(np.float32),
            "c": RANDOM.choice(WORDS[:4], 200), "d": RANDOM.integers(0, 6, 200), "e": RANDOM.choice(WORDS[:3], 200),
            "f": RANDOM.normal(size=200).astype(np.float32), "g": RANDOM.integers(0, 99, 200),
        }  # fmt: skip
        kinds = {
            "a": "float_normalized", "b": "float", "c": "string_categorical", "d": "integer_categorical",
            "e": "string_hashed", "f": "float_rescaled", "g": "integer_hashed",
        }  # fmt: skip
        settings: dict[str, Any] = {"crosses": [["c", "d"], ["d", "e"]], "crossing_dim": 9, "hashing_dim": 5}
        theirs = keras.utils.FeatureSpace(kinds, **settings)
        theirs.adapt(data)
        records = np.empty(200, [(k, object if v.dtype.kind == "U" else v.dtype) for k, v in data.items()])
        for name, column in data.items():
            records[name] = column
        fields = tuple((k, Field((), "string" if v.dtype.kind == "U" else v.dtype.name)) for k, v in data.items())
        step = TRANSFORMS.parse({"feature_space": {"features": kinds, **settings}})
        field = Field((), "record", columns=fields)
        ours = transformed(step, records, fitted(step, records, field), field)
        np.testing.assert_allclose(ours, np.asarray(theirs(data)), rtol=1e-4, atol=1e-5)
