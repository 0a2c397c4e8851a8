"""Each layer class of Keras can be imported, in a model and with arguments other than the defaults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.keras_import_harness import assert_same, rows, shake

L: Any = keras.layers
Shapes = tuple[int | None, ...] | list[tuple[int | None, ...]]


def model_of(layer: Any, shapes: Shapes, dtype: str = "float32", **call: Any) -> Any:
    """Return a model with a layer called on one input or on a list of inputs."""
    several = isinstance(shapes, list)
    inputs = [keras.Input(shape, dtype=dtype, name=f"x{i}") for i, shape in enumerate(shapes if several else [shapes])]
    return keras.Model(inputs, layer(inputs if several else inputs[0], **call))


def heads(layer: Any, **call: Any) -> Any:
    query, value = keras.Input((4, 6), name="q"), keras.Input((5, 6), name="v")
    return keras.Model([query, value], layer(query, value, **call))


CUBE, IMAGE, STEPS, ROW = (6, 6, 6, 2), (8, 9, 3), (7, 3), (6,)
CONV = {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu", "use_bias": False}
MORE = {"strides": 2, "bias_initializer": "ones", "kernel_regularizer": "l2"}
DEPTHWISE = {"kernel_size": 3, "depth_multiplier": 2, "padding": "same", "activation": "tanh"}
CONV_LSTM = {"filters": 2, "kernel_size": 3, "return_sequences": True, "dropout": 0.1, "unit_forget_bias": False}
RECURRENT = {"return_sequences": True, "return_state": True, "dropout": 0.2, "activation": "relu"}
CELLS = [L.LSTMCell, L.GRUCell, L.SimpleRNNCell]

CASES: dict[str, list[Callable[[], Any]]] = {
    "Activation": [lambda: model_of(L.Activation("elu"), ROW), lambda: model_of(L.Activation("softmax"), STEPS)],
    "ActivityRegularization": [lambda: model_of(L.ActivityRegularization(l1=0.1, l2=0.2), ROW)],
    "AdaptiveAveragePooling1D": [lambda: model_of(L.AdaptiveAveragePooling1D(3), STEPS)],
    "AdaptiveAveragePooling2D": [lambda: model_of(L.AdaptiveAveragePooling2D((3, 2)), IMAGE)],
    "AdaptiveAveragePooling3D": [lambda: model_of(L.AdaptiveAveragePooling3D(2), CUBE)],
    "AdaptiveMaxPooling1D": [lambda: model_of(L.AdaptiveMaxPooling1D(3), STEPS)],
    "AdaptiveMaxPooling2D": [lambda: model_of(L.AdaptiveMaxPooling2D((3, 2)), IMAGE)],
    "AdaptiveMaxPooling3D": [lambda: model_of(L.AdaptiveMaxPooling3D(2), CUBE)],
    "Add": [lambda: model_of(L.Add(), [ROW, ROW, ROW])],
    "AdditiveAttention": [lambda: model_of(L.AdditiveAttention(use_scale=True, dropout=0.1), [(4, 5), (6, 5)])],
    "AlphaDropout": [lambda: model_of(L.AlphaDropout(0.3, noise_shape=(None, 1), seed=3), ROW)],
    "Attention": [
        lambda: model_of(L.Attention(use_scale=True, score_mode="concat"), [(4, 5), (6, 5)]),
        lambda: model_of(L.Attention(use_scale=True), [(4, 5), (6, 5), (6, 5)], use_causal_mask=True),
    ],
    "AugMix": [lambda: model_of(L.AugMix(num_chains=2, seed=1), IMAGE)],
    "AutoContrast": [lambda: model_of(L.AutoContrast(value_range=(0, 1)), IMAGE)],
    "Average": [lambda: model_of(L.Average(), [ROW, ROW])],
    "AveragePooling1D": [lambda: model_of(L.AveragePooling1D(3, strides=2, padding="same"), STEPS)],
    "AveragePooling2D": [lambda: model_of(L.AveragePooling2D((2, 3), padding="same"), IMAGE)],
    "AveragePooling3D": [lambda: model_of(L.AveragePooling3D(2, strides=1), CUBE)],
    "BatchNormalization": [
        lambda: model_of(L.BatchNormalization(axis=1, momentum=0.8, epsilon=0.01, scale=False), STEPS),
        lambda: model_of(L.BatchNormalization(center=False, gamma_regularizer="l2"), IMAGE),
    ],
    "Bidirectional": [
        lambda: model_of(L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="ave"), STEPS),
        lambda: model_of(L.Bidirectional(L.GRU(3, return_state=True)), STEPS),
        lambda: model_of(L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(2, go_backwards=True)), STEPS),
        lambda: model_of(L.Bidirectional(L.RNN([L.LSTMCell(3), L.GRUCell(2)])), STEPS),
    ],
    "CategoryEncoding": [
        lambda: model_of(L.CategoryEncoding(5, output_mode="multi_hot"), (3,), "int64"),
        lambda: model_of(L.CategoryEncoding(5, output_mode="one_hot"), (1,), "int64"),
    ],
    "CenterCrop": [lambda: model_of(L.CenterCrop(4, 5), IMAGE)],
    "Concatenate": [lambda: model_of(L.Concatenate(axis=1), [(2, 3), (4, 3)])],
    "Conv1D": [
        lambda: model_of(L.Conv1D(4, 3, padding="causal", dilation_rate=2, groups=2), (7, 6)),
    ],
    "Conv1DTranspose": [lambda: model_of(L.Conv1DTranspose(**CONV, strides=2, output_padding=1), STEPS)],
    "Conv2D": [
        lambda: model_of(L.Conv2D(**CONV, **{**MORE, "strides": (1, 2)}), IMAGE),
        lambda: model_of(L.Conv2D(4, (2, 3), dilation_rate=(2, 1), data_format="channels_first"), (3, 8, 9)),
    ],
    "Conv2DTranspose": [lambda: model_of(L.Conv2DTranspose(4, 3, strides=2, padding="same"), IMAGE)],
    "Conv3D": [lambda: model_of(L.Conv3D(**CONV, **MORE), CUBE)],
    "Conv3DTranspose": [lambda: model_of(L.Conv3DTranspose(2, 3, strides=2), CUBE)],
    "ConvLSTM1D": [lambda: model_of(L.ConvLSTM1D(**CONV_LSTM, padding="same"), (4, 6, 2))],
    "ConvLSTM2D": [lambda: model_of(L.ConvLSTM2D(**CONV_LSTM, recurrent_activation="sigmoid"), (3, 6, 6, 2))],
    "ConvLSTM3D": [lambda: model_of(L.ConvLSTM3D(**{**CONV_LSTM, "return_sequences": False}), (2, *CUBE))],
    "Cropping1D": [lambda: model_of(L.Cropping1D((1, 2)), STEPS)],
    "Cropping2D": [lambda: model_of(L.Cropping2D(((1, 2), (0, 3))), IMAGE)],
    "Cropping3D": [lambda: model_of(L.Cropping3D((1, 2, 1)), CUBE)],
    "Dense": [
        lambda: model_of(L.Dense(4, activation="gelu", use_bias=False, kernel_constraint="non_neg"), STEPS),
        lambda: model_of(L.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=0.3)), ROW),
        lambda: model_of(L.Dense(4, activation=keras.layers.LeakyReLU(negative_slope=0.2)), ROW),
    ],
    "DepthwiseConv1D": [lambda: model_of(L.DepthwiseConv1D(**DEPTHWISE, strides=2), STEPS)],
    "DepthwiseConv2D": [lambda: model_of(L.DepthwiseConv2D(**DEPTHWISE, dilation_rate=2), IMAGE)],
    "Discretization": [
        lambda: model_of(L.Discretization(bin_boundaries=[-0.5, 0.0, 0.7]), ROW),
        lambda: model_of(L.Discretization(bin_boundaries=[-0.5, 0.5], output_mode="multi_hot"), ROW),
    ],
    "Dot": [
        lambda: model_of(L.Dot(axes=(2, 1), normalize=True), [(4, 3), (3, 5)]), lambda: model_of(L.Dot(1), [ROW, ROW]),
    ],
    "Dropout": [lambda: model_of(L.Dropout(0.3, noise_shape=(None, 1, 3), seed=7), STEPS)],
    "ELU": [lambda: model_of(L.ELU(alpha=0.4), ROW)],
    "EinsumDense": [
        lambda: model_of(L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 4), bias_axes="de"), STEPS),
        lambda: model_of(L.EinsumDense("...x,xy->...y", output_shape=5, activation="relu"), STEPS),
    ],
    "Embedding": [lambda: model_of(L.Embedding(9, 4, embeddings_constraint="unit_norm"), (5,), "int32")],
    "Flatten": [lambda: model_of(L.Flatten(data_format="channels_first"), IMAGE)],
    "GRU": [
        lambda: model_of(L.GRU(4, **RECURRENT, reset_after=False, go_backwards=True), STEPS),
        lambda: model_of(L.GRU(4, recurrent_activation="hard_sigmoid", use_bias=False), STEPS),
        lambda: model_of(L.GRU(4), STEPS),
    ],
    "GRUCell": [lambda: model_of(L.RNN(L.GRUCell(4, reset_after=False), return_sequences=True), STEPS)],
    "GaussianDropout": [lambda: model_of(L.GaussianDropout(0.4), ROW)],
    "GaussianNoise": [lambda: model_of(L.GaussianNoise(0.4, seed=2), ROW)],
    "GlobalAveragePooling1D": [lambda: model_of(L.GlobalAveragePooling1D(keepdims=True), STEPS)],
    "GlobalAveragePooling2D": [lambda: model_of(L.GlobalAveragePooling2D(keepdims=True), IMAGE)],
    "GlobalAveragePooling3D": [lambda: model_of(L.GlobalAveragePooling3D(data_format="channels_first"), CUBE)],
    "GlobalMaxPooling1D": [lambda: model_of(L.GlobalMaxPooling1D(keepdims=True), STEPS)],
    "GlobalMaxPooling2D": [lambda: model_of(L.GlobalMaxPooling2D(data_format="channels_first"), IMAGE)],
    "GlobalMaxPooling3D": [lambda: model_of(L.GlobalMaxPooling3D(), CUBE)],
    "GroupNormalization": [lambda: model_of(L.GroupNormalization(groups=2, epsilon=0.01), (4, 5, 6))],
    "GroupQueryAttention": [
        lambda: heads(L.GroupQueryAttention(3, num_query_heads=4, num_key_value_heads=2, use_gate=True)),
    ],
    "Identity": [lambda: model_of(L.Identity(), ROW)],
    "LSTM": [
        lambda: model_of(L.LSTM(4, **RECURRENT, recurrent_dropout=0.1, unit_forget_bias=False), STEPS),
        lambda: model_of(L.LSTM(4, recurrent_activation="hard_sigmoid", use_bias=False, go_backwards=True), STEPS),
        lambda: model_of(L.LSTM(4, return_state=True), STEPS),
    ],
    "LSTMCell": [lambda: model_of(L.RNN(L.LSTMCell(4, activation="relu"), return_state=True), STEPS)],
    "LayerNormalization": [lambda: model_of(L.LayerNormalization(axis=[1, 2], center=False, epsilon=0.1), (4, 5))],
    "LeakyReLU": [lambda: model_of(L.LeakyReLU(negative_slope=0.1), ROW)],
    "Masking": [lambda: keras.Sequential([keras.Input(STEPS), L.Masking(0.5), L.LSTM(2), L.Dense(2)])],
    "MaxPooling1D": [lambda: model_of(L.MaxPooling1D(3, strides=2, padding="same"), STEPS)],
    "MaxPooling2D": [lambda: model_of(L.MaxPooling2D((2, 3), strides=1, data_format="channels_first"), IMAGE)],
    "MaxPooling3D": [lambda: model_of(L.MaxPooling3D(2, padding="same"), CUBE)],
    "Maximum": [lambda: model_of(L.Maximum(), [ROW, ROW])],
    "MelSpectrogram": [lambda: model_of(L.MelSpectrogram(fft_length=64, num_mel_bins=8, sequence_stride=16), (256,))],
    "Minimum": [lambda: model_of(L.Minimum(), [ROW, ROW])],
    "MultiHeadAttention": [
        lambda: heads(L.MultiHeadAttention(2, 3, value_dim=5, output_shape=4, use_bias=False, dropout=0.1)),
        lambda: heads(L.MultiHeadAttention(2, 3, kernel_regularizer="l2", use_gate=True)),
        lambda: heads(L.MultiHeadAttention(2, 3), return_attention_scores=True, use_causal_mask=True),
    ],
    "Multiply": [lambda: model_of(L.Multiply(), [ROW, ROW])],
    "Normalization": [
        lambda: model_of(L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0], invert=True), STEPS),
        lambda: model_of(adapted(L.Normalization(), (40, 7, 3)), STEPS),
        lambda: model_of(adapted(L.Normalization(axis=None), (40, 6)), ROW),
    ],
    "PReLU": [lambda: model_of(L.PReLU(shared_axes=[1]), STEPS)],
    "Permute": [lambda: model_of(L.Permute((2, 1)), STEPS)],
    "Pipeline": [lambda: model_of(L.Pipeline([L.CenterCrop(4, 4), L.Rescaling(0.5), L.Dense(2), L.Dense(3)]), IMAGE)],
    "RMSNormalization": [lambda: model_of(L.RMSNormalization(axis=-1, epsilon=0.1), STEPS)],
    "RNN": [
        lambda: model_of(L.RNN([c(4) for c in CELLS], return_sequences=True, return_state=True), STEPS),
        lambda: model_of(L.RNN([L.LSTMCell(3), L.LSTMCell(2)], go_backwards=True), STEPS),
    ],
    "RandAugment": [lambda: model_of(L.RandAugment(num_ops=1, factor=0.3), IMAGE)],
    "RandomBrightness": [lambda: model_of(L.RandomBrightness(0.2, value_range=(0, 1)), IMAGE)],
    "RandomColorDegeneration": [lambda: model_of(L.RandomColorDegeneration(0.3), IMAGE)],
    "RandomColorJitter": [lambda: model_of(L.RandomColorJitter(brightness_factor=0.2, hue_factor=0.1), IMAGE)],
    "RandomContrast": [lambda: model_of(L.RandomContrast(0.2, seed=4), IMAGE)],
    "RandomElasticTransform": [lambda: model_of(L.RandomElasticTransform(0.3), IMAGE)],
    "RandomErasing": [lambda: model_of(L.RandomErasing(0.3, scale=(0.1, 0.2)), IMAGE)],
    "RandomFlip": [lambda: model_of(L.RandomFlip("horizontal", seed=3), IMAGE)],
    "RandomGaussianBlur": [lambda: model_of(L.RandomGaussianBlur(0.3, kernel_size=3), IMAGE)],
    "RandomGrayscale": [lambda: model_of(L.RandomGrayscale(0.3), IMAGE)],
    "RandomHue": [lambda: model_of(L.RandomHue(0.3, value_range=(0, 1)), IMAGE)],
    "RandomInvert": [lambda: model_of(L.RandomInvert(0.3), IMAGE)],
    "RandomPerspective": [lambda: model_of(L.RandomPerspective(0.3, scale=0.5), IMAGE)],
    "RandomPosterization": [lambda: model_of(L.RandomPosterization(4), IMAGE)],
    "RandomRotation": [lambda: model_of(L.RandomRotation(0.2, fill_mode="nearest"), IMAGE)],
    "RandomSaturation": [lambda: model_of(L.RandomSaturation(0.2), IMAGE)],
    "RandomSharpness": [lambda: model_of(L.RandomSharpness(0.2), IMAGE)],
    "RandomShear": [lambda: model_of(L.RandomShear(0.2, 0.1), IMAGE)],
    "RandomTranslation": [lambda: model_of(L.RandomTranslation((-0.1, 0.2), 0.1, fill_mode="constant"), IMAGE)],
    "RandomZoom": [lambda: model_of(L.RandomZoom((-0.1, 0.2), interpolation="nearest"), IMAGE)],
    "ReLU": [lambda: model_of(L.ReLU(max_value=0.9, negative_slope=0.1, threshold=0.1), ROW)],
    "RepeatVector": [lambda: model_of(L.RepeatVector(3), ROW)],
    "Rescaling": [lambda: model_of(L.Rescaling(1 / 255, offset=-0.5), IMAGE)],
    "Reshape": [lambda: model_of(L.Reshape((3, -1)), STEPS)],
    "Resizing": [
        lambda: model_of(L.Resizing(5, 12, interpolation="bicubic"), IMAGE),
        lambda: model_of(L.Resizing(5, 6, crop_to_aspect_ratio=True), IMAGE),
    ],
    "ReversibleEmbedding": [lambda: model_of(L.ReversibleEmbedding(9, 4, tie_weights=False), (5,), "int32")],
    "STFTSpectrogram": [lambda: model_of(L.STFTSpectrogram("log", frame_length=32, fft_length=64), (256, 2))],
    "SeparableConv1D": [lambda: model_of(L.SeparableConv1D(4, **DEPTHWISE), STEPS)],
    "SeparableConv2D": [lambda: model_of(L.SeparableConv2D(4, **DEPTHWISE, strides=2, use_bias=False), IMAGE)],
    "SimpleRNN": [lambda: model_of(L.SimpleRNN(4, **RECURRENT), STEPS)],
    "SimpleRNNCell": [lambda: model_of(L.RNN(L.SimpleRNNCell(4, use_bias=False), unroll=True), STEPS)],
    "Softmax": [lambda: model_of(L.Softmax(axis=1), STEPS), lambda: model_of(L.Softmax(axis=(1, 2)), STEPS)],
    "Solarization": [lambda: model_of(L.Solarization(0.3, 0.5, value_range=(0, 1)), IMAGE)],
    "SpatialDropout1D": [lambda: model_of(L.SpatialDropout1D(0.3), STEPS)],
    "SpatialDropout2D": [lambda: model_of(L.SpatialDropout2D(0.3, data_format="channels_first"), IMAGE)],
    "SpatialDropout3D": [lambda: model_of(L.SpatialDropout3D(0.3), CUBE)],
    "SpectralNormalization": [
        lambda: model_of(L.SpectralNormalization(L.Conv2D(4, 3), power_iterations=2), IMAGE),
        lambda: model_of(L.SpectralNormalization(L.Dense(4)), ROW),
    ],
    "StackedRNNCells": [lambda: model_of(L.RNN(L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)])), STEPS)],
    "Subtract": [lambda: model_of(L.Subtract(), [ROW, ROW])],
    "TimeDistributed": [
        lambda: model_of(L.TimeDistributed(L.Conv2D(4, 3, activation="relu")), (3, 6, 6, 2)),
        lambda: model_of(L.TimeDistributed(L.BatchNormalization()), STEPS),
        lambda: model_of(L.TimeDistributed(L.Bidirectional(L.LSTM(2))), (3, 5, 2)),
        lambda: model_of(L.TimeDistributed(keras.Sequential([L.Dense(4, activation="relu"), L.Dense(2)])), STEPS),
    ],
    "UnitNormalization": [lambda: model_of(L.UnitNormalization(axis=1), STEPS)],
    "UpSampling1D": [lambda: model_of(L.UpSampling1D(3), STEPS)],
    "UpSampling2D": [lambda: model_of(L.UpSampling2D((2, 3), interpolation="bilinear"), IMAGE)],
    "UpSampling3D": [lambda: model_of(L.UpSampling3D((1, 2, 3)), CUBE)],
    "ZeroPadding1D": [lambda: model_of(L.ZeroPadding1D((1, 2)), STEPS)],
    "ZeroPadding2D": [lambda: model_of(L.ZeroPadding2D(((1, 2), (0, 3))), IMAGE)],
    "ZeroPadding3D": [lambda: model_of(L.ZeroPadding3D((1, 0, 2)), CUBE)],
}  # fmt: skip

_NO_LAYER = "a base class, or made by every model"
_CODE = "code of another framework"
_LABELS = "changes labels with images: no layer of one result, but done by data.augment"
_BOXES = "of boxes: no tensor of one shape"
_TEXT = "takes text or keeps a table beside the weights: part of the data's pipelines here"
LEFT_OUT = {
    "Input": _NO_LAYER, "InputLayer": _NO_LAYER, "InputSpec": _NO_LAYER, "Layer": _NO_LAYER, "Wrapper": _NO_LAYER,
    "ContrastLimitedAdaptiveHistogramEqualization": "Keras on torch cuts its limit off: see parity/test_shades.py",
    "Equalization": "Keras cannot put it into a functional model: its call returns its input",
    "RandomCrop": "at inference Keras hands on the whole image, against its own shape; here it is resized",
    "FlaxLayer": _CODE, "JaxLayer": _CODE, "Lambda": _CODE, "TFSMLayer": _CODE, "TorchModuleWrapper": _CODE,
    "CutMix": _LABELS, "MixUp": _LABELS, "MaxNumBoundingBoxes": _BOXES,
    "Hashing": _TEXT, "HashedCrossing": _TEXT, "IntegerLookup": _TEXT, "StringLookup": _TEXT,
    "TextVectorization": _TEXT,
}  # fmt: skip


def adapted(layer: Any, shape: tuple[int, ...]) -> Any:
    """Return a layer adapted to data."""
    layer.adapt(np.random.default_rng(8).normal(3.0, 2.0, shape).astype("float32"))
    return layer


_ONLY_KERAS = frozenset({
    "RandomBrightness", "RandomColorDegeneration", "RandomPosterization", "RandomSaturation", "RandomSharpness",
    "Solarization",
})  # fmt: skip
"""Layers that Keras itself cannot save as .h5."""


_ALL = [(name, i, ".keras") for name, cases in CASES.items() for i in range(len(cases))]
_OLD = [(name, len(cases) - 1, ".h5") for name, cases in CASES.items() if name not in _ONLY_KERAS]


@pytest.mark.parametrize(("name", "case", "suffix"), [*_ALL, *_OLD])
def test_a_layer_of_keras_can_be_imported(name: str, case: int, suffix: str, tmp_path: Path) -> None:
    model = CASES[name][case]()
    if not any(isinstance(layer, L.Normalization) for layer in model.layers):
        shake(model, 0.05, 0.4)
    x = rows(model)
    if len(model.inputs[0].shape) == 4:  # images of values that they may have
        x = {name: values.clip(0, 1) for name, values in x.items()}
    assert_same(model, tmp_path, suffix, x=x)


def test_every_layer_of_keras_has_a_case_or_a_reason() -> None:
    public = {name: getattr(L, name) for name in dir(L) if name[0].isupper()}
    known = {public.get(name) for name in (*CASES, *LEFT_OUT)}
    assert [name for name, found in public.items() if found not in known] == []
    assert not set(CASES) & set(LEFT_OUT)
