"""Masks: the output mask of every Keras layer, as later layers use it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from kerascli.foundation.errors import FileRefused
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from tests.support import mask_models
from tests.support.keras_import_harness import assert_same, predicted, rows, save, shake
from tests.support.mask_models import behind, behind_images, behind_rows, behind_two, words

pytestmark = [
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, in numpy 2
]

Layers = Mapping[str, Callable[[], Any]]

ON_STEPS: Layers = {
    "Activation": lambda: L.Activation("tanh"),
    "ActivityRegularization": lambda: L.ActivityRegularization(0.1),
    "AdaptiveAveragePooling1D": lambda: L.AdaptiveAveragePooling1D(3),
    "AdaptiveMaxPooling1D": lambda: L.AdaptiveMaxPooling1D(3),
    "AlphaDropout": lambda: L.AlphaDropout(0.2),
    "AveragePooling1D": lambda: L.AveragePooling1D(2, 1),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "Bidirectional": lambda: L.Bidirectional(L.GRU(3, return_sequences=True)),
    "Conv1D": lambda: L.Conv1D(3, 2, padding="same"),
    "Conv1DTranspose": lambda: L.Conv1DTranspose(3, 2, padding="same"),
    "Cropping1D": lambda: L.Cropping1D(1),
    "Dense": lambda: L.Dense(3),
    "DepthwiseConv1D": lambda: L.DepthwiseConv1D(2, padding="same"),
    "Dropout": lambda: L.Dropout(0.3),
    "ELU": lambda: L.ELU(),
    "EinsumDense": lambda: L.EinsumDense("btf,fg->btg", (None, 3)),
    "GRU": lambda: L.GRU(3, return_sequences=True),
    "GaussianDropout": lambda: L.GaussianDropout(0.2),
    "GaussianNoise": lambda: L.GaussianNoise(0.2),
    "GroupNormalization": lambda: L.GroupNormalization(2),
    "Identity": lambda: L.Identity(),
    "LSTM": lambda: L.LSTM(3, return_sequences=True),
    "LayerNormalization": lambda: L.LayerNormalization(),
    "LeakyReLU": lambda: L.LeakyReLU(),
    "Masking": lambda: L.Masking(0.3),
    "MaxPooling1D": lambda: L.MaxPooling1D(2, 1),
    "Normalization": lambda: L.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0]),
    "PReLU": lambda: L.PReLU(),
    "Permute": lambda: L.Permute((2, 1)),
    "Pipeline": lambda: L.Pipeline([L.Rescaling(2.0)]),
    "RMSNormalization": lambda: L.RMSNormalization(),
    "RNN": lambda: L.RNN(L.GRUCell(3), return_sequences=True),
    "ReLU": lambda: L.ReLU(),
    "Rescaling": lambda: L.Rescaling(2.0, 0.1),
    "Reshape": lambda: L.Reshape((6, 4)),
    "SeparableConv1D": lambda: L.SeparableConv1D(3, 2, padding="same"),
    "SimpleRNN": lambda: L.SimpleRNN(3, return_sequences=True),
    "SpatialDropout1D": lambda: L.SpatialDropout1D(0.3),
    "SpectralNormalization": lambda: L.SpectralNormalization(L.Dense(3)),
    "StackedRNNCells": lambda: L.RNN([L.GRUCell(3), L.LSTMCell(2)], return_sequences=True),
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(3)),
    "UnitNormalization": lambda: L.UnitNormalization(),
    "UpSampling1D": lambda: L.UpSampling1D(2),
    "ZeroPadding1D": lambda: L.ZeroPadding1D(1),
}
ON_IMAGES: Layers = {
    "AdaptiveAveragePooling2D": lambda: L.AdaptiveAveragePooling2D(2),
    "AdaptiveMaxPooling2D": lambda: L.AdaptiveMaxPooling2D(2),
    "AutoContrast": lambda: L.AutoContrast(value_range=(0, 1)),
    "AveragePooling2D": lambda: L.AveragePooling2D(2, 1),
    "CenterCrop": lambda: L.CenterCrop(4, 2),
    "Conv2D": lambda: L.Conv2D(2, 2, padding="same"),
    "Conv2DTranspose": lambda: L.Conv2DTranspose(2, 2, padding="same"),
    "ConvLSTM1D": lambda: L.ConvLSTM1D(2, 1, return_sequences=True),
    "Cropping2D": lambda: L.Cropping2D((1, 0)),
    "DepthwiseConv2D": lambda: L.DepthwiseConv2D(2, padding="same"),
    "MaxPooling2D": lambda: L.MaxPooling2D(2, 1),
    "Resizing": lambda: L.Resizing(3, 2),
    "SeparableConv2D": lambda: L.SeparableConv2D(2, 2, padding="same"),
    "SpatialDropout2D": lambda: L.SpatialDropout2D(0.3),
    "UpSampling2D": lambda: L.UpSampling2D(2),
    "ZeroPadding2D": lambda: L.ZeroPadding2D(1),
}
ON_VOLUMES: Layers = {
    "AdaptiveAveragePooling3D": lambda: L.AdaptiveAveragePooling3D(2),
    "AdaptiveMaxPooling3D": lambda: L.AdaptiveMaxPooling3D(2),
    "AveragePooling3D": lambda: L.AveragePooling3D(2, 1),
    "Conv3D": lambda: L.Conv3D(2, 2, padding="same"),
    "Conv3DTranspose": lambda: L.Conv3DTranspose(2, 2, padding="same"),
    "ConvLSTM2D": lambda: L.ConvLSTM2D(2, 1, return_sequences=True),
    "Cropping3D": lambda: L.Cropping3D((1, 0, 0)),
    "MaxPooling3D": lambda: L.MaxPooling3D(2, 1),
    "SpatialDropout3D": lambda: L.SpatialDropout3D(0.3),
    "UpSampling3D": lambda: L.UpSampling3D(2),
    "ZeroPadding3D": lambda: L.ZeroPadding3D(1),
}
TO_ROWS: Layers = {
    "Bidirectional": lambda: L.Bidirectional(L.LSTM(2)),
    "Flatten": lambda: L.Flatten(),
    "GRU": lambda: L.GRU(3),
    "GlobalAveragePooling1D": lambda: L.GlobalAveragePooling1D(),
    "GlobalMaxPooling1D": lambda: L.GlobalMaxPooling1D(),
    "LSTM": lambda: L.LSTM(3),
    "RNN": lambda: L.RNN([L.GRUCell(3), L.LSTMCell(2)]),
}
OF_TWO: Layers = {
    "Add": L.Add, "AdditiveAttention": L.AdditiveAttention, "Attention": L.Attention, "Average": L.Average,
    "Concatenate": L.Concatenate, "Concatenate, steps": lambda: L.Concatenate(axis=1), "Dot": lambda: L.Dot((2, 2)),
    "Maximum": L.Maximum, "Minimum": L.Minimum, "Multiply": L.Multiply, "Subtract": L.Subtract,
    "MultiHeadAttention": lambda: lambda xs: L.MultiHeadAttention(2, 2)(*xs),
    "GroupQueryAttention": lambda: lambda xs: L.GroupQueryAttention(2, 2, 1)(*xs),
}  # fmt: skip


def masked_rows(model: Any) -> dict[str, np.ndarray]:
    """Return inputs whose time steps are masked at the start, middle or end, but never all."""
    x = rows(model)
    for name, values in x.items():
        if values.ndim == 3:
            values[1::3, 3:] = values[2::3, 1:3] = 0.5
        elif values.dtype.kind == "i":
            values[:, 2] = np.maximum(values[:, 2], 1)
        x[name] = values
    return x


def assert_masked_as_in_keras(model: Any, folder: Path) -> None:
    shake(model, -0.6, 0.8)
    assert_same(model, folder, x=masked_rows(model))


@pytest.mark.parametrize("name", ON_STEPS)
def test_a_layer_hands_on_the_mask_that_keras_hands_on(name: str, tmp_path: Path) -> None:
    assert_masked_as_in_keras(behind(ON_STEPS[name]()), tmp_path)


@pytest.mark.parametrize("name", ON_IMAGES)
def test_a_layer_on_images_hands_on_the_mask_that_keras_hands_on(name: str, tmp_path: Path) -> None:
    assert_masked_as_in_keras(behind_images(ON_IMAGES[name]()), tmp_path)


@pytest.mark.parametrize("name", ON_VOLUMES)
def test_a_layer_on_volumes_hands_on_the_mask_that_keras_hands_on(name: str, tmp_path: Path) -> None:
    assert_masked_as_in_keras(behind_images(ON_VOLUMES[name](), (2, 2, 2)), tmp_path)


@pytest.mark.parametrize("name", TO_ROWS)
def test_behind_a_layer_that_ends_the_steps_there_is_no_mask(name: str, tmp_path: Path) -> None:
    assert_masked_as_in_keras(behind_rows(TO_ROWS[name]()), tmp_path)


@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True)], ids=["both", "first", "second"])
@pytest.mark.parametrize("name", OF_TWO)
def test_a_layer_of_two_sequences_hands_on_what_keras_does(
    name: str, masked: tuple[bool, bool], tmp_path: Path
) -> None:
    assert_masked_as_in_keras(behind_two(OF_TWO[name](), *masked), tmp_path)


NOT_HERE: Mapping[str, tuple[str, ...]] = {
    "takes no vectors of steps, or makes integers or rows of them": (
        "CategoryEncoding", "Discretization", "Embedding", "HashedCrossing", "Hashing", "InputLayer", "IntegerLookup",
        "MelSpectrogram", "RepeatVector", "STFTSpectrogram", "StringLookup", "TextVectorization",
    ),
    "changes images in training alone, or is one of many that change images and drop masks, as AutoContrast does": (
        "AugMix", "CutMix", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization", "MaxNumBoundingBoxes",
        "MixUp", "RandAugment", "Solarization", *(name for name in dir(L) if name.startswith("Random")),
    ),
    "ends the steps, as GlobalMaxPooling1D does": (
        "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    ),
    "is called on a step": ("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"),
    "is among the models": ("ReversibleEmbedding", "Softmax"),
    "needs two axes more than ConvLSTM1D": ("ConvLSTM3D",),
    "is Python code, or none of Keras's own": (
        "FlaxLayer", "JaxLayer", "Lambda", "Layer", "TFSMLayer", "TorchModuleWrapper", "Wrapper",
    ),
}  # fmt: skip


def test_every_layer_of_keras_has_a_case_or_a_reason() -> None:
    classes = {each.__name__ for each in vars(L).values() if isinstance(each, type) and issubclass(each, L.Layer)}
    cases = {name.partition(",")[0] for each in (ON_STEPS, ON_IMAGES, ON_VOLUMES, TO_ROWS, OF_TWO) for name in each}
    reasons = {name for names in NOT_HERE.values() for name in names}
    assert classes == cases - {"GroupQueryAttention"} | reasons | {"GroupedQueryAttention"}


def test_a_mask_of_the_value_alone_is_refused(tmp_path: Path) -> None:
    (a, x), (b, y) = words(), words(False)
    model = keras.Model([a, b], L.Attention()([x, y], mask=[None, keras.ops.not_equal(b, 2)]))
    with pytest.raises(FileRefused, match="is called with 'mask', which is not supported"):
        import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")


MODELS: list[Callable[[], Any]] = [
    make for name, make in vars(mask_models).items() if getattr(make, "__module__", "") == mask_models.__name__
    and not name.startswith(("behind", "words", "used"))
]  # fmt: skip


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_model_masks_as_in_keras(make: Callable[[], Any], tmp_path: Path) -> None:
    assert_masked_as_in_keras(make(), tmp_path)


GO_BACK = [
    mask_models.lstm_with_states, mask_models.states_of_an_encoder, mask_models.both_directions_with_states,
    mask_models.a_shared_layer_with_states_once, mask_models.states_and_a_mask_by_hand,
    mask_models.what_follows_heads_on_the_same_sequence, mask_models.an_encoder_and_a_decoder_of_heads,
    mask_models.a_mask_as_second_input_of_a_mean, mask_models.a_mask_by_hand_behind_a_layer_that_drops_it,
]  # fmt: skip


@pytest.mark.parametrize("make", GO_BACK, ids=lambda make: make.__name__)
def test_a_model_with_masks_comes_back_to_keras_unchanged(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    shake(model, -0.6, 0.8)
    x = masked_rows(model)
    record = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record
    export_run(record, "keras", tmp_path / "back.keras")
    back: Any = keras.models.load_model(tmp_path / "back.keras", compile=False)
    again = keras.tree.flatten(back.predict(list(x.values()) if len(x) > 1 else next(iter(x.values())), verbose=0))
    for mine, other in zip(again, predicted(model, x).values(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5, rtol=1e-5)


def _attending(layers: Callable[[Any, Any], Any]) -> Any:
    """Return a model whose attention removes the mask of its input; `layers` follow it."""
    x = L.Input((6, 4))
    return keras.Model(x, layers(x, L.MultiHeadAttention(2, 2)(x, x)))


NESTED: Mapping[str, Callable[[Any, Any], Any]] = {
    "beside it": lambda x, found: L.Concatenate()([L.LSTM(3)(x), L.GlobalAveragePooling1D()(found)]),
    "behind a sum": lambda x, found: L.LSTM(3)(L.Add()([x, found])),
    "behind a mask of its own": lambda x, found: L.LSTM(3)(L.Masking(0.1)(L.Add()([x, found]))),
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("calls", [1, 2])
def test_masks_that_attention_takes_off_in_a_nested_model_are_not_seen_behind_it(
    name: str, calls: int, tmp_path: Path
) -> None:
    inner = _attending(NESTED[name])
    ids: list[Any] = [L.Input((6,), dtype="int32", name=f"x{number}") for number in range(calls)]
    embedded = [L.Embedding(7, 4, mask_zero=True)(x) for x in ids]
    results = [each for e in embedded for each in (inner(e), L.GRU(2)(e))]
    model = keras.Model(ids, L.Dense(2)(L.Concatenate()(results)))
    shake(model, -0.6, 0.8)
    rows = np.array([[1, 2, 0, 3, 0, 0], [4, 5, 6, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 2, 3, 4]], "int32")
    assert_same(model, tmp_path, x={x.name: rows[::-1] if number else rows for number, x in enumerate(ids)})
