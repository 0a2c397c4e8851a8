"""Transforms compared with Keras's layers, scikit-learn or the definition."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import tracemalloc
from typing import Any

import keras
import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer

from kerascli.data.base import TRANSFORMS, Field, Transform
from kerascli.data.pipeline.pipeline import runs_per_batch
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow
from kerascli.features import normalization
from kerascli.language.component import Invalid
from kerascli.preprocessing.images.base import ImageOperation
from tests.support.transform_harness import field_of, fitted, transformed

RANDOM = np.random.default_rng(3)


def run(written: Any, values: np.ndarray, *, target: bool = False, train: np.ndarray | None = None) -> np.ndarray:
    """Fit and apply a transform; its module per batch must agree with what runs ahead."""
    step = TRANSFORMS.parse(written)
    field = field_of(values)
    learned = fitted(step, values if train is None else train, field, target=target)
    result = transformed(step, values, learned, field, target=target)
    after = step.infer(field, learned, target=target)
    assert result.shape[1:] == after.shape
    assert (result.dtype.name if result.dtype != object else "string") in {after.dtype, "float64"}
    before = step.infer(field, None, target=target)
    assert all(size in (None, known) for size, known in zip(before.shape, after.shape, strict=True))
    if runs_per_batch(step, field, after):
        batch = step.module(field, learned, torch.float32, target=target)(torch.from_numpy(values)).numpy()
        np.testing.assert_allclose(batch, result, rtol=1e-5, atol=1e-6)
        assert batch.dtype.name == after.dtype
    return result


def words(*items: str) -> np.ndarray:
    return np.array(items, dtype=object)


def test_rescaling_equals_keras() -> None:
    x = RANDOM.integers(0, 256, (7, 4, 3)).astype(np.uint8)
    expected = keras.layers.Rescaling(1 / 127.5, offset=-1)(x).numpy()
    np.testing.assert_allclose(
        run({"rescaling": {"scale": 1 / 127.5, "offset": -1.0}}, x), expected, rtol=1e-6, atol=1e-6
    )
    offset: Any = [1.0, 0.0, 3.0]  # Keras says float
    expected = keras.layers.Rescaling([0.5, 2.0, -1.0], offset=offset)(x).numpy()
    by_channel = run({"rescaling": {"scale": [0.5, 2.0, -1.0], "offset": [1.0, 0.0, 3.0]}}, x)
    np.testing.assert_allclose(by_channel, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(50, 4), (20, 3, 4), (90,)])
@pytest.mark.parametrize("by_feature", [True, False])
def test_moments_are_those_of_the_whole_whatever_the_blocks(shape: tuple[int, ...], by_feature: bool) -> None:
    x = RANDOM.normal(3, 5, shape).astype(np.float32)
    axes = tuple(range(x.ndim - 1)) if by_feature and x.ndim > 1 else None
    kept = (x.ndim - 1,) if by_feature and x.ndim > 1 else ()
    mean, variance = normalization.mean_and_variance(Blocks(lambda: iter([x])).parts(30), kept=kept)
    again = normalization.mean_and_variance(Blocks(lambda: iter([x[:7], x[7:8], x[8:]])).parts(30), kept=kept)
    assert (mean.tolist(), variance.tolist()) == (again[0].tolist(), again[1].tolist())  # to the last bit
    np.testing.assert_allclose(mean.squeeze(), x.astype(np.float64).mean(axes), rtol=1e-12)
    np.testing.assert_allclose(variance.squeeze(), x.astype(np.float64).var(axes), rtol=1e-12)


def test_moments_take_no_copy_of_the_whole() -> None:
    x = np.zeros((2**23, 2), np.uint8)  # 16 MiB, 128 in float64
    tracemalloc.start()
    try:
        normalization.mean_and_variance(Blocks(lambda: iter([x])).parts())
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(50, 4), (20, 3, 4), (10, 5, 5, 2)])
def test_normalization_equals_keras(shape: tuple[int, ...]) -> None:
    x = (RANDOM.normal(3, 5, shape)).astype(np.float32)
    layer = keras.layers.Normalization()
    layer.adapt(x)
    np.testing.assert_allclose(run("normalization", x), layer(x).numpy(), rtol=1e-4, atol=1e-5)


def test_normalization_over_all_values_equals_keras() -> None:
    x = RANDOM.normal(3, 5, (30, 4)).astype(np.float32)
    layer = keras.layers.Normalization(axis=None)  # pyright: ignore[reportArgumentType]
    layer.adapt(x)
    np.testing.assert_allclose(run({"normalization": {"axis": None}}, x), layer(x).numpy(), rtol=1e-4, atol=1e-5)


def test_normalization_with_given_numbers_equals_keras() -> None:
    x = RANDOM.normal(3, 5, (30, 2)).astype(np.float32)
    layer = keras.layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0])
    layer.build((None, 2))
    ours = run({"normalization": {"mean": [1, 2], "variance": [4, 0]}}, x)
    np.testing.assert_allclose(ours, layer(x).numpy(), rtol=1e-5)


def test_normalization_keeps_the_precision_of_large_float64_columns() -> None:
    x = 1.7e9 + np.arange(100.0)  # seconds since 1970: float32 would see steps of 128
    np.testing.assert_allclose(run("normalization", x), (x - x.mean()) / x.std(), rtol=1e-9)


def whitened(x: np.ndarray, epsilon: float = 1e-6) -> np.ndarray:
    """Return rows whitened by a singular value decomposition, as Keras's ImageDataGenerator computes it."""
    centred = x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(0)
    u, s, _ = np.linalg.svd(centred.T, full_matrices=False)
    return (centred @ (u * (np.sqrt(len(x)) / (s + epsilon))) @ u.T).reshape(x.shape)


@pytest.mark.parametrize(("shape", "epsilon"), [((60, 5), 1e-6), ((80, 4, 3, 2), 0.5)])
def test_zca_whitening_makes_values_uncorrelated_of_variance_1(shape: tuple[int, ...], epsilon: float) -> None:
    x = (RANDOM.normal(size=shape) * RANDOM.uniform(0.1, 9, shape[1:])).cumsum(1).astype(np.float32)
    got = run({"zca_whitening": {"epsilon": epsilon}}, x)
    np.testing.assert_allclose(got, whitened(x.astype(np.float64), epsilon), rtol=1e-5, atol=1e-5)
    if epsilon == 1e-6:
        covariance = np.cov(got.reshape(len(x), -1), rowvar=False, bias=True)
        np.testing.assert_allclose(covariance, np.eye(len(covariance)), atol=1e-4)


def test_zca_whitening_equals_keras_where_the_mean_is_that_of_a_channel() -> None:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    half = RANDOM.normal(size=(60, 3, 3, 3))
    x = np.concatenate([half, -half]) + np.array([1.0, 2.0, 3.0])
    theirs = ImageDataGenerator(featurewise_center=True, zca_whitening=True, dtype="float64")
    theirs.fit(x)
    np.testing.assert_allclose(run("zca_whitening", x), theirs.standardize(x.copy()), rtol=1e-6, atol=1e-6)


def test_zca_whitening_leaves_out_directions_that_training_rows_lack() -> None:
    train = np.pad(RANDOM.normal(size=(30, 3)), [(0, 0), (0, 1)], constant_values=2.0)
    other = np.array([[0.0, 0.0, 0.0, 2.5]])
    assert np.abs(run("zca_whitening", other, train=train)).max() < 2
    np.testing.assert_allclose(run("zca_whitening", train)[:, 3], 0, atol=1e-12)


def test_a_constant_feature_becomes_zero() -> None:
    x = np.stack([np.full(9, 5.0), np.arange(9.0)], axis=1)
    assert not run("normalization", x)[:, 0].any()


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3)])
def test_to_categorical_equals_keras(shape: tuple[int, ...]) -> None:
    y = RANDOM.integers(0, 5, shape)
    np.testing.assert_array_equal(run({"to_categorical": 5}, y), keras.utils.to_categorical(y, 5))


def test_to_categorical_finds_the_number_of_classes() -> None:
    y = np.array([0, 2, 1, 2])
    np.testing.assert_array_equal(run("to_categorical", y), keras.utils.to_categorical(y))


def test_reshape_is_numpys() -> None:
    x = RANDOM.normal(size=(5, 12)).astype(np.float32)
    np.testing.assert_array_equal(run({"reshape": [-1, 4]}, x), x.reshape(5, 3, 4))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_impute_equals_scikit_learn(strategy: str) -> None:
    x = RANDOM.integers(0, 4, (40, 3)).astype(float)
    x[RANDOM.random((40, 3)) < 0.2] = np.nan
    expected = SimpleImputer(strategy=strategy).fit_transform(x)
    np.testing.assert_allclose(run({"impute": strategy}, x), expected, rtol=1e-12)


@pytest.mark.parametrize(("strategy", "dtype"), [("mean", "float64"), ("median", "float64"), ("most_frequent", "int64"),
                                                 ("constant", "int64")])  # fmt: skip
def test_impute_keeps_whole_numbers_where_it_puts_in_one(strategy: str, dtype: str) -> None:
    x = np.array([1, 2, 2])
    step = TRANSFORMS.parse({"impute": {"strategy": strategy, "fill_value": 2.0 if strategy == "constant" else None}})
    learned = fitted(step, x)
    assert step.infer(field_of(x), learned, target=False).dtype == dtype
    assert step.infer(field_of(x), None, target=False).dtype == dtype
    for values in (x, np.array([1.0, np.nan, 2.0])):
        assert transformed(step, values, learned, field_of(x)).dtype.name == dtype


def test_impute_fills_words() -> None:
    x = words("b", "", "a", "b", "a", "")
    assert run({"impute": "most_frequent"}, x).tolist() == ["b", "a", "a", "b", "a", "a"]
    filled = run({"impute": {"strategy": "constant", "fill_value": "none"}}, x)
    assert filled.tolist() == ["b", "none", "a", "b", "a", "none"]


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_string_lookup_orders_words_as_keras_does(mode: str) -> None:
    """Keras's rule is np.lexsort((tokens, counts))[::-1] after the special tokens; its layer needs TensorFlow."""
    x = RANDOM.choice(["ant", "bee", "cat", "dog"], 50).astype(object)
    tokens, counts = np.unique(x.astype(str), return_counts=True)
    vocabulary = ["[UNK]", *tokens[np.lexsort((tokens, counts))[::-1]]]
    expected = np.array([vocabulary.index(word) for word in x])
    if mode == "one_hot":
        expected = keras.utils.to_categorical(expected, len(vocabulary))
    np.testing.assert_array_equal(run({"string_lookup": {"output_mode": mode}}, x), expected)


def test_ties_of_frequency_fall_as_in_keras() -> None:
    assert run("string_lookup", words("a", "b", "c")).tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"vocabulary": ["a", "b"]}, [1, 2, 0, 0]),
        ({"vocabulary": ["a", "b"], "mask_token": "m"}, [2, 3, 1, 0]),
        ({"vocabulary": ["a", "b"], "output_mode": "one_hot"}, [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]),
        # A masked value is dropped where the output is a vector.
        (
            {"vocabulary": ["a", "b"], "output_mode": "one_hot", "mask_token": "m"},
            [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]],
        ),
    ],
)
def test_string_lookup_places(settings: dict[str, Any], expected: list[Any]) -> None:
    assert run({"string_lookup": settings}, words("a", "b", "z", "m")).tolist() == expected


def test_lookups_of_several_columns_count_or_mark() -> None:
    x = np.array([["a", "a", "b"], ["b", "z", "z"]], dtype=object)
    for mode, expected in (("count", [[0, 2, 1], [2, 0, 1]]), ("multi_hot", [[0, 1, 1], [1, 0, 1]])):
        settings = {"vocabulary": ["a", "b"], "output_mode": mode}
        assert run({"string_lookup": settings}, x).tolist() == expected


def test_integer_lookup_spreads_unknown_numbers_over_the_places_as_keras_does() -> None:
    x = np.array([10, 20, 7, 8, -1])
    settings = {"vocabulary": [20, 10], "num_oov_indices": 2}
    assert run({"integer_lookup": settings}, x).tolist() == [3, 2, 1, 0, 1]


def test_in_targets_classes_are_sorted_and_have_no_place_for_unknown_ones() -> None:
    y = words("owl", "cat", "owl", "dog")
    step = TRANSFORMS.parse("string_lookup")
    learned = fitted(step, y, target=True)
    assert transformed(step, y, learned, target=True).tolist() == [2, 0, 2, 1]
    field = step.infer(field_of(y), learned, target=True)
    assert (field.num_classes, field.classes) == (3, ("cat", "dog", "owl"))
    with pytest.raises(BadRow, match="class 'eel' is not among the 3 classes of the training data") as caught:
        transformed(step, words("cat", "eel"), learned, target=True)
    assert caught.value.row == 1


@pytest.mark.parametrize(
    ("written", "values", "expected"),
    [
        ({"cast": "int64"}, words("1", "2.0"), [1, 2]),
        ({"cast": "float64"}, words("1.5", ""), [1.5, np.nan]),
        ({"cast": "int64"}, np.array([1, 2], np.float16), [1, 2]),
        ({"cast": "uint8"}, np.array([0, 255]), [0, 255]),
        ({"cast": "bool"}, np.array([0, 1]), [False, True]),
        ({"cast": "float32"}, np.array([3], np.uint8), [3.0]),
    ],
)
def test_cast(written: Any, values: np.ndarray, expected: list[Any]) -> None:
    np.testing.assert_array_equal(run(written, values), expected)


@pytest.mark.parametrize(
    ("written", "values", "row", "text"),
    [
        ({"cast": "uint8"}, np.array([1, 300]), 1, "300 is outside 0..255 (uint8)"),
        ({"cast": "int64"}, np.array([1.0, 2.5]), 1, "2.5 is not an integer"),
        ({"cast": "int64"}, np.array([1.0, np.nan]), 1, "a missing value is not an integer"),
        ({"cast": "bool"}, np.array([1, 0, 2]), 2, "2 is neither 0 nor 1"),
        ({"cast": "int64"}, words("1", "x"), 1, "'x' is not a number"),
        ({"cast": "float32"}, words("nan"), 0, "'nan' is not a number"),
        ({"to_categorical": 3}, np.array([0, 3]), 1, "class 3 is outside 0..2 (num_classes 3)"),
        ({"to_categorical": 3}, np.array([0, -1]), 1, "class -1 is outside 0..2 (num_classes 3)"),
        ("string_lookup", words("a", ""), 1, "missing value"),
        ("normalization", np.array([[1.0, 2.0], [1.0, np.nan]]), 1, "missing value"),
        ({"integer_lookup": {"vocabulary": [1], "num_oov_indices": 0}}, np.array([1, 2]), 1,
         "integer '2' is not in the vocabulary of 1 (1)"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_reported_with_their_row(
    written: Any, values: np.ndarray, row: int, text: str
) -> None:
    with pytest.raises(BadRow) as caught:
        run(written, values)
    assert (caught.value.row, caught.value.text) == (row, text)


@pytest.mark.parametrize(
    ("written", "field", "text"),
    [
        ("normalization", Field((), "string"), "needs numbers, got text"),
        ({"rescaling": 2.0}, Field((), "string"), "needs numbers, got text"),
        ({"rescaling": {"scale": [1.0, 2.0]}}, Field((5, 3), "float32"), "has 2 numbers, one for each channel, for 3"),
        ("string_lookup", Field((), "int64"), "needs text, got numbers (int64); use integer_lookup"),
        ("integer_lookup", Field((), "float64"), "needs integers, got float64; add cast: int64 before it"),
        ({"reshape": [5]}, Field((2, 3), "float32"), "cannot reshape (2, 3) (6 values a row) to (5,)"),
        ({"impute": "mean"}, Field((), "string"), "text has no mean"),
        ({"normalization": {"mean": [1, 2, 3], "variance": [1, 1, 1]}}, Field((2,), "float32"), "mean: expected 2"),
    ],
)
def test_columns_that_do_not_fit_are_reported_before_loading(written: Any, field: Field, text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        TRANSFORMS.parse(written).infer(field, None, target=False)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"normalization": {"mean": [1]}}, "give 'mean' and 'variance' both, or neither"),
        ({"impute": "constant"}, "'fill_value' is required with strategy 'constant', and allowed only with it"),
        ({"string_lookup": {"vocabulary": ["a", "a"]}}, "vocabulary: 'a' occurs more than once"),
        ({"reshape": [0]}, "target_shape: expected positive sizes and at most one -1, got [0]"),
        ({"zca_whitening": {"epsilon": 0}}, "epsilon: must be greater than 0"),
        ({"cast": "int7"}, "dtype: expected float32, float64, int8, int16, int32, int64, uint8 or bool"),
    ],
)
def test_settings_that_cannot_be_are_refused(written: Any, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        TRANSFORMS.parse(written)
    assert caught.value.faults[0].text.startswith(text)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_every_transform_reads_back_what_it_writes(name: str) -> None:
    required: dict[str, Any] = {
        "reshape": [2], "rescaling": 2.0, "preprocess": "tf",
        "cast": "bool", "category_encoding": 3, "hashing": 3, "hashed_crossing": 3,
        "discretization": {"num_bins": 3}, "word_vectors": "v.txt", "regex_replace": {"pattern": "a", "rewrite": "$b"},
        "feature_space": {"features": {"a": "float", "b": ["impute", "string_hashed"]}},
    }  # fmt: skip
    cls = TRANSFORMS.get(name)
    if issubclass(cls, ImageOperation) and cls.uses[0]:
        required[name] = dict(cls.uses[0])
    written = {name: required[name]} if name in required else name
    step = TRANSFORMS.parse(written)
    assert TRANSFORMS.parse(step.dump()) == step


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("undoing", lambda *_: np.sinh, r"inverse\("),
        ("takes_apart", True, "splits_values"),
        ("apply", len, r"module\("),
    ],
)
def test_a_transform_with_an_attribute_of_an_earlier_version_is_refused_with_its_new_name(
    old: str, value: Any, new: str
) -> None:
    with pytest.raises(TypeError, match=f"'{old}' of the transform Old is now {new}"):
        type("Old", (Transform,), {"__module__": __name__, old: value})


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("network", "module"),
    [
        ("mobilenet_v2", "mobilenet_v2"), ("vgg16", "vgg16"), ("resnet50", "resnet"), ("resnet50_v2", "resnet_v2"),
        ("densenet121", "densenet"), ("efficientnet_b0", "efficientnet"), ("convnext_tiny", "convnext"),
        ("xception", "xception"), ("nasnet_mobile", "nasnet"), ("mobilenet_v3_small", "mobilenet_v3"),
    ],
)  # fmt: skip
def test_preprocess_equals_keras(network: str, module: str, dtype: str) -> None:
    x = RANDOM.integers(0, 256, (5, 4, 3, 3)).astype(dtype)
    expected = getattr(keras.applications, module).preprocess_input(x.copy())
    np.testing.assert_allclose(run({"preprocess": network}, x), expected, rtol=1e-6, atol=1e-6)


def test_preprocess_needs_the_channels_of_its_mode() -> None:
    step = TRANSFORMS.parse({"preprocess": "vgg16"})
    with pytest.raises(ValueError, match="mode caffe, of vgg16, needs three channels"):
        step.infer(field_of(np.zeros((2, 4, 4, 1), "uint8")), None, target=False)
    with pytest.raises(Invalid, match="there is no network 'vgg15'; did you mean 'vgg1"):
        TRANSFORMS.parse({"preprocess": "vgg15"})
