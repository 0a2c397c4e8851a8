"""Whole trainings equal Keras's: same history, weights and outputs from the same initial weights and batches.

In float64 on both sides, at 1e-9: what differs by more than rounding differs in meaning.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers, losses, metrics, optimizers, regularizers
from keras.src.backend.common import dtypes

from tests.support.fit_harness import Arrays, assert_same, compare, prepare, train_keras, weights_of

# Keras's predict hands torch's tensors to numpy, which finds them old-fashioned.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras on torch casts 64-bit types to 32 bits, unlike on TensorFlow; make it compute in float64."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


def table(rows: int, features: int = 4, classes: int = 3) -> Arrays:
    """Return rows whose class can be learned, of float32 values, which both sides convert exactly to float64."""
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    y = (x @ rng.normal(size=(features, classes))).argmax(1)
    return {"x": x, "y": y}


def compiled(model: keras.Model, optimizer: Any, loss: Any, **settings: Any) -> keras.Model:
    """Compile a model with random weights: initial zeros of biases would hide mistakes."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        noise = rng.normal(size=weight.shape) * 0.3
        weight.assign(np.abs(noise) + 0.5 if "variance" in weight.name else weight.value.detach().numpy() + noise)
    model.compile(optimizer, loss, **settings)
    return model


def classifier(units: int = 3, activation: str = "softmax") -> keras.Model:
    """Return Keras's model for CLASSIFIER, for tables of four features."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "tanh", name="hidden"),
            layers.Dense(units, activation, name="out"),
        ]
    )


CLASSIFIER = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - dense: {units: 8, activation: tanh, name: hidden}
    - dense: {units: 3, activation: softmax, name: out}
"""
BINARY = CLASSIFIER.replace("units: 3, activation: softmax", "units: 1, activation: sigmoid")
SPARSE = "sparse_categorical_crossentropy"


def test_sgd_with_momentum_a_validation_split_and_a_smaller_last_batch(tmp_path: Path) -> None:
    data = table(50)
    rest = """
compile:
  optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9, nesterov: true}}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy, {sparse_top_k_categorical_accuracy: {k: 2}}]
fit: {epochs: 3, batch_size: 8, validation_split: 0.25}
"""
    top_2 = metrics.SparseTopKCategoricalAccuracy(k=2, name="sparse_top_k_categorical_accuracy")
    optimizer = optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    model = compiled(classifier(), optimizer, SPARSE, metrics=["accuracy", top_2])
    fit = {"epochs": 3, "batch_size": 8, "validation_split": 0.25}
    compare(
        tmp_path, data, CLASSIFIER + rest, model, data["x"], data["y"], rows=(data["x"][:37], data["y"][:37]), **fit
    )


def test_adam_with_penalties_a_constraint_batch_normalization_and_one_hot_targets(tmp_path: Path) -> None:
    data = table(48)
    config = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: [{to_categorical: 3}]}}
model:
  layers:
    - dense: {units: 8, kernel_regularizer: {l2: 0.05}, kernel_constraint: {max_norm: 0.7}, name: hidden}
    - batch_normalization: {momentum: 0.8, gamma_regularizer: {l1: 0.02}, name: norm}
    - relu: {name: relu_1}
    - dense: {units: 3, activation: softmax, bias_regularizer: {l1_l2: {l1: 0.01, l2: 0.1}}, name: out}
compile: {optimizer: {adam: 0.02}, loss: categorical_crossentropy, metrics: [accuracy, mse]}
fit: {epochs: 4, batch_size: 12}
"""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                8,
                kernel_regularizer=regularizers.L2(0.05),
                kernel_constraint=keras.constraints.MaxNorm(0.7),  # type: ignore[arg-type]
                name="hidden",
            ),
            layers.BatchNormalization(momentum=0.8, gamma_regularizer=regularizers.L1(0.02), name="norm"),
            layers.ReLU(name="relu_1"),
            layers.Dense(3, "softmax", bias_regularizer=regularizers.L1L2(0.01, 0.1), name="out"),
        ]
    )
    compiled(model, optimizers.Adam(0.02), "categorical_crossentropy", metrics=["accuracy", "mse"])
    y = keras.utils.to_categorical(data["y"], 3)
    compare(tmp_path, data, config, model, data["x"], y, epochs=4, batch_size=12)


def test_a_convolutional_network_with_rmsprop(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    data = {"x": rng.normal(size=(20, 8, 8, 2)).astype(np.float32), "y": rng.integers(0, 3, 20)}
    config = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - conv_2d: {filters: 4, kernel_size: 3, padding: same, activation: relu, name: conv_1}
    - batch_normalization: {name: norm}
    - max_pooling_2d: {name: pool}
    - conv_2d: {filters: 5, kernel_size: [2, 3], strides: 2, use_bias: false, name: conv_2}
    - global_average_pooling_2d: {name: mean}
    - dense: {units: 3, activation: softmax, name: out}
compile:
  optimizer: {rmsprop: {learning_rate: 0.01, rho: 0.8, centered: true}}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
fit: {epochs: 3, batch_size: 6}
"""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="conv_1"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(5, (2, 3), strides=2, use_bias=False, name="conv_2"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(3, "softmax", name="out"),
        ]
    )
    compiled(model, optimizers.RMSprop(0.01, rho=0.8, centered=True), SPARSE, metrics=["accuracy"])
    compare(tmp_path, data, config, model, data["x"], data["y"], epochs=3, batch_size=6)


def tokens(rows: int, steps: int, *, whole_rows_of_padding: bool) -> np.ndarray:
    """Return token ids, padded with 0 at the end."""
    rng = np.random.default_rng(3)
    ids = rng.integers(1, 9, (rows, steps))
    lengths = rng.integers(0 if whole_rows_of_padding else 1, steps + 1, rows)
    return np.where(np.arange(steps) < lengths[:, None], ids, 0)


def test_token_ids_through_a_masked_lstm(tmp_path: Path) -> None:
    ids = tokens(24, 6, whole_rows_of_padding=True)
    data = {"x": ids, "y": (ids.sum(1) % 2).astype(np.float32)}
    config = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - embedding: {input_dim: 9, output_dim: 4, mask_zero: true, name: words}
    - lstm: {units: 5, name: memory}
    - dense: {units: 1, activation: sigmoid, name: out}
compile: {optimizer: {adam: 0.05}, loss: binary_crossentropy, metrics: [accuracy, recall]}
fit: {epochs: 3, batch_size: 10}
"""
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int64"),
            layers.Embedding(9, 4, mask_zero=True, name="words"),
            layers.LSTM(5, name="memory"),
            layers.Dense(1, "sigmoid", name="out"),
        ]
    )
    compiled(model, optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy", metrics.Recall(name="recall")])
    compare(tmp_path, data, config, model, data["x"], data["y"], epochs=3, batch_size=10)


def test_a_label_for_each_token_where_padding_does_not_count(tmp_path: Path) -> None:
    ids = tokens(22, 5, whole_rows_of_padding=False)
    data = {"x": ids, "y": ids % 3}
    config = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - embedding: {input_dim: 9, output_dim: 4, mask_zero: true, name: words}
    - lstm: {units: 5, return_sequences: true, name: memory}
    - dense: {units: 3, activation: softmax, name: out}
compile:
  optimizer: {adam: 0.05}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
  weighted_metrics: [sparse_categorical_crossentropy]
fit: {epochs: 3, batch_size: 6}
"""
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int64"),
            layers.Embedding(9, 4, mask_zero=True, name="words"),
            layers.LSTM(5, return_sequences=True, name="memory"),
            layers.Dense(3, "softmax", name="out"),
        ]
    )
    compiled(model, optimizers.Adam(0.05), SPARSE, metrics=["accuracy"], weighted_metrics=[SPARSE])
    compare(tmp_path, data, config, model, data["x"], data["y"], epochs=3, batch_size=6)


def test_two_inputs_and_two_outputs_with_weights_and_metrics_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    data = {
        "left": rng.normal(size=(30, 4)).astype(np.float32),
        "right": rng.normal(size=(30, 3)).astype(np.float32),
        "kind": rng.integers(0, 3, 30),
        "size": rng.normal(size=(30, 1)).astype(np.float32),
    }
    config = """
data:
  source: {npz: {path: data.npz}}
  inputs: {left: [], right: []}
  targets: {kind: [], size: []}
model:
  inputs: {left: [4], right: [3]}
  layers:
    - dense: {units: 6, activation: tanh, inputs: left, name: a}
    - dense: {units: 6, activation: tanh, inputs: right, name: b}
    - concatenate: {inputs: [a, b], name: both}
    - dense: {units: 3, activation: softmax, kernel_regularizer: {l2: 0.1}, name: kind}
    - dense: {units: 1, inputs: both, name: size}
  outputs: [kind, size]
compile:
  optimizer: {adam: {learning_rate: 0.02, global_clipnorm: 0.5}}
  loss: {kind: sparse_categorical_crossentropy, size: mse}
  loss_weights: {kind: 0.7, size: 1.5}
  metrics: {kind: accuracy, size: [mae, mape]}
fit: {epochs: 3, batch_size: 8, validation_split: 0.2}
"""
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    both = layers.Concatenate(name="both")([
        layers.Dense(6, "tanh", name="a")(left), layers.Dense(6, "tanh", name="b")(right)
    ])  # fmt: skip
    kind = layers.Dense(3, "softmax", kernel_regularizer=regularizers.L2(0.1), name="kind")(both)
    size = layers.Dense(1, name="size")(both)
    model = compiled(
        keras.Model([left, right], [kind, size]), optimizers.Adam(0.02, global_clipnorm=0.5),
        {"kind": SPARSE, "size": "mse"}, loss_weights={"kind": 0.7, "size": 1.5},
        metrics={"kind": ["accuracy"], "size": ["mae", "mape"]},
    )  # fmt: skip
    x, y = [data["left"], data["right"]], [data["kind"], data["size"]]
    rows = ([a[:24] for a in x], [a[:24] for a in y])
    compare(tmp_path, data, config, model, x, y, epochs=3, batch_size=8, validation_split=0.2, rows=rows)


def test_class_weights_count_in_training_alone(tmp_path: Path) -> None:
    data = table(40)
    rest = """
compile:
  optimizer: {sgd: 0.3}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
  weighted_metrics: [{sparse_categorical_crossentropy: {name: weighted}}]
fit: {epochs: 3, batch_size: 16, class_weight: {0: 0.25, 2: 3.5}, validation_split: 0.25}
"""
    weighted = metrics.SparseCategoricalCrossentropy(name="weighted")
    model = compiled(classifier(), optimizers.SGD(0.3), SPARSE, metrics=["accuracy"], weighted_metrics=[weighted])
    fit = {"epochs": 3, "batch_size": 16, "class_weight": {0: 0.25, 1: 1.0, 2: 3.5}, "validation_split": 0.25}
    compare(
        tmp_path, data, CLASSIFIER + rest, model, data["x"], data["y"], rows=(data["x"][:30], data["y"][:30]), **fit
    )


def test_sample_weights_count_in_the_loss_and_in_weighted_metrics(tmp_path: Path) -> None:
    data = table(40)
    data["w"] = np.random.default_rng(5).uniform(0, 3, 40).astype(np.float32)
    base = CLASSIFIER.replace("{y: []}", "{y: []}, sample_weight: {y: [{columns: w}]}")
    rest = """
compile: {optimizer: {sgd: 0.3}, loss: sparse_categorical_crossentropy, metrics: [accuracy], weighted_metrics: [acc]}
fit: {epochs: 3, batch_size: 16, validation_split: 0.25}
"""
    model = compiled(classifier(), optimizers.SGD(0.3), SPARSE, metrics=["accuracy"], weighted_metrics=["acc"])
    fit = {"epochs": 3, "batch_size": 16, "sample_weight": data["w"], "validation_split": 0.25}
    rows = (data["x"][:30], data["y"][:30])
    mine, _ = compare(tmp_path, data, base + rest, model, data["x"], data["y"], rows=rows, **fit)
    assert mine.history["accuracy"] != mine.history["acc"]


@pytest.mark.parametrize(("steps", "first"), [(2, 0), (3, 0), (7, 0), (3, 1)])
def test_an_epoch_of_other_length_than_the_data_goes_on_where_the_last_one_ended(
    tmp_path: Path, steps: int, first: int
) -> None:
    """Steps per epoch for 4 batches: 2 divide them, 3 do not, 7 are more.

    Keras gets the batches repeatedly; from arrays it would omit the rest of an epoch, with a warning.
    """
    data = table(30)
    rest = f"""
compile: {{optimizer: {{adam: 0.05}}, loss: sparse_categorical_crossentropy, metrics: [accuracy]}}
fit: {{epochs: 5, initial_epoch: {first}, batch_size: 8, steps_per_epoch: {steps}}}
"""

    def forever() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            for start in range(0, 30, 8):
                yield data["x"][start : start + 8], data["y"][start : start + 8]

    model = compiled(classifier(), optimizers.Adam(0.05), SPARSE, metrics=["accuracy"])
    fit = {"epochs": 5, "initial_epoch": first, "steps_per_epoch": steps, "rows": (data["x"], data["y"])}
    compare(tmp_path, data, CLASSIFIER + rest, model, forever(), None, **fit)


@pytest.mark.parametrize("frequency", [2, [1, 4]])
def test_validation_every_so_often_in_batches_and_steps_of_its_own(tmp_path: Path, frequency: int | list[int]) -> None:
    data = table(40)
    rest = f"""
compile: {{optimizer: {{adam: 0.05}}, loss: sparse_categorical_crossentropy, metrics: [accuracy]}}
fit:
  {{epochs: 4, batch_size: 8, validation_split: 0.4, validation_freq: {frequency},
    validation_batch_size: 5, validation_steps: 2}}
"""
    model = compiled(classifier(), optimizers.Adam(0.05), SPARSE, metrics=["accuracy"])
    fit = {"epochs": 4, "batch_size": 8, "validation_split": 0.4, "validation_freq": frequency}
    held_out = {"validation_batch_size": 5, "validation_steps": 2, "rows": (data["x"][:24], data["y"][:24])}
    mine, _ = compare(tmp_path, data, CLASSIFIER + rest, model, data["x"], data["y"], **fit, **held_out)
    assert len(mine.history["val_loss"]) == 2


def test_a_rate_that_decays_with_every_update(tmp_path: Path) -> None:
    data = table(40)
    rest = """
compile:
  optimizer: {sgd: {learning_rate: {exponential_decay: {initial_learning_rate: 0.5, decay_steps: 3, decay_rate: 0.6}}}}
  loss: sparse_categorical_crossentropy
fit: {epochs: 3, batch_size: 8}
"""
    rate = optimizers.schedules.ExponentialDecay(0.5, 3, 0.6)
    model = compiled(classifier(), optimizers.SGD(rate), SPARSE)  # type: ignore[arg-type]
    compare(tmp_path, data, CLASSIFIER + rest, model, data["x"], data["y"], epochs=3, batch_size=8)


def test_a_penalty_on_activity_is_part_of_the_loss(tmp_path: Path) -> None:
    data = table(30)
    base = CLASSIFIER.replace("tanh,", "tanh, activity_regularizer: {l2: 0.1},")
    rest = """
compile: {optimizer: {sgd: 0.2}, loss: sparse_categorical_crossentropy}
fit: {epochs: 3, batch_size: 8, validation_split: 0.2}
"""
    model = classifier()
    model.get_layer("hidden").activity_regularizer = regularizers.L2(0.1)
    compiled(model, optimizers.SGD(0.2), SPARSE)
    rows = (data["x"][:24], data["y"][:24])
    compare(
        tmp_path,
        data,
        base + rest,
        model,
        data["x"],
        data["y"],
        epochs=3,
        batch_size=8,
        validation_split=0.2,
        rows=rows,
    )


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
@pytest.mark.parametrize("from_logits", [True, False])
def test_binary_crossentropy_takes_targets_with_and_without_a_last_axis(
    tmp_path: Path, shape: tuple[int, ...], from_logits: bool
) -> None:
    data = {"x": table(40)["x"], "y": (table(40)["y"] > 0).astype(np.float32).reshape(shape)}
    activation = "linear" if from_logits else "sigmoid"
    base = BINARY.replace("sigmoid", activation)
    rest = f"""
compile:
  optimizer: {{sgd: 0.5}}
  loss: {{binary_crossentropy: {{from_logits: {str(from_logits).lower()}, label_smoothing: 0.1}}}}
  metrics: [accuracy, mae, precision]
fit: {{epochs: 3, batch_size: 16}}
"""
    loss = losses.BinaryCrossentropy(from_logits=from_logits, label_smoothing=0.1)
    chosen = ["accuracy", "mae", metrics.Precision(name="precision")]
    model = compiled(classifier(1, activation), optimizers.SGD(0.5), loss, metrics=chosen)
    compare(tmp_path, data, base + rest, model, data["x"], data["y"], epochs=3, batch_size=16)


@pytest.mark.parametrize(
    ("target", "units", "activation", "loss", "resolved"),
    [
        ("{y: []}", 3, "softmax", SPARSE, "sparse_categorical_accuracy"),
        ("{y: [{to_categorical: 3}]}", 3, "softmax", "categorical_crossentropy", "categorical_accuracy"),
        ("{y: [{to_categorical: 3}]}", 3, "sigmoid", "binary_crossentropy", "categorical_accuracy"),
        ("{y: [cast: float32]}", 1, "sigmoid", "mse", "binary_accuracy"),
    ],
)
def test_accuracy_means_what_the_shapes_say(
    tmp_path: Path, target: str, units: int, activation: str, loss: str, resolved: str
) -> None:
    """As in Keras, the shapes of targets and outputs decide, not the loss."""
    data = table(40)
    base = CLASSIFIER.replace("units: 3, activation: softmax", f"units: {units}, activation: {activation}")
    base = base.replace("{y: []}", target)
    rest = f"""
compile: {{optimizer: {{sgd: 0.2}}, loss: {loss}, metrics: [accuracy, {{{resolved}: {{name: resolved}}}}]}}
fit: {{epochs: 2, batch_size: 16}}
"""
    y = keras.utils.to_categorical(data["y"], 3) if "to_categorical" in target else data["y"].astype(np.float32)
    model = compiled(classifier(units, activation), optimizers.SGD(0.2), loss, metrics=["accuracy"])
    ours = prepare(tmp_path, data, base + rest)
    ours.take_weights(model)
    mine, theirs = ours.train(), train_keras(model, data["x"], y, {"epochs": 2, "batch_size": 16})
    assert mine.history.pop("resolved") == mine.history["accuracy"]
    assert mine.evaluated.pop("resolved") == mine.evaluated["accuracy"]
    assert_same(mine, theirs)


def _patience() -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)


def _plateau() -> keras.callbacks.Callback:
    return keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1)


STOPS = """
fit:
  epochs: 30
  batch_size: 8
  validation_split: 0.3
  callbacks:
    - reduce_lr_on_plateau: {factor: 0.5, patience: 1}
    - early_stopping: {patience: 3, restore_best_weights: true}
"""


@pytest.mark.parametrize("averaged", [True, False])
def test_a_run_that_stops_early_ends_with_the_best_weights(tmp_path: Path, averaged: bool) -> None:
    """With averaged weights too: Keras takes the averages first and restores the best epoch after."""
    data = table(40)
    data["y"] = np.random.default_rng(6).integers(0, 3, 40)  # nothing to learn: validation soon gets worse
    rest = f"""
compile:
  optimizer: {{sgd: {{learning_rate: 0.8, momentum: 0.5, use_ema: {str(averaged).lower()}, ema_momentum: 0.9}}}}
  loss: sparse_categorical_crossentropy
"""
    keras.utils.set_random_seed(1)  # from some first weights validation gets better for long
    optimizer = optimizers.SGD(0.8, momentum=0.5, use_ema=averaged, ema_momentum=0.9)
    model = compiled(classifier(), optimizer, SPARSE)
    fit = {"epochs": 30, "batch_size": 8, "validation_split": 0.3, "callbacks": [_plateau(), _patience()]}
    ours = prepare(tmp_path, data, CLASSIFIER + rest + STOPS)
    ours.take_weights(model)
    mine = ours.train()
    theirs = train_keras(model, data["x"], data["y"], {**fit, "rows": (data["x"][:28], data["y"][:28])})
    rates = theirs.history.pop("learning_rate")
    assert len(rates) < 30
    assert rates[-1] < rates[0]
    assert_same(mine, theirs)


class SwapEMAWeights(keras.callbacks.SwapEMAWeights):
    """Keras's callback with a copy of the weights, since on torch it overwrites its own view of them."""

    def _backend_swap_variables(self, optimizer: Any) -> None:
        for weight, average in zip(
            optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
        ):
            before = weight.value.detach().clone()
            weight.assign(average)
            average.assign(before)


def test_validations_are_of_averaged_weights_where_that_is_asked_for(tmp_path: Path) -> None:
    data = table(40)
    rest = """
compile:
  optimizer: {sgd: {learning_rate: 0.3, use_ema: true, ema_momentum: 0.8}}
  loss: sparse_categorical_crossentropy
fit: {epochs: 4, batch_size: 8, validation_split: 0.3, callbacks: [swap_ema_weights]}
"""
    optimizer = optimizers.SGD(0.3, use_ema=True, ema_momentum=0.8)
    model = compiled(classifier(), optimizer, SPARSE)
    ours = prepare(tmp_path, data, CLASSIFIER + rest)
    ours.take_weights(model)
    fit = {"epochs": 4, "batch_size": 8, "validation_split": 0.3, "callbacks": [SwapEMAWeights()]}
    rows = (data["x"][:28], data["y"][:28])
    mine = ours.train()
    theirs = train_keras(model, data["x"], data["y"], {**fit, "rows": rows})
    assert_same(mine, theirs)


@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        ("{adamw: {learning_rate: 0.05, weight_decay: 0.1, clipnorm: 0.1}}",
         lambda: optimizers.AdamW(0.05, weight_decay=0.1, clipnorm=0.1)),
        ("{adam: {learning_rate: 0.05, amsgrad: true, gradient_accumulation_steps: 3}}",
         lambda: optimizers.Adam(0.05, amsgrad=True, gradient_accumulation_steps=3)),
        ("{sgd: {learning_rate: 0.3, use_ema: true, ema_momentum: 0.8, loss_scale_factor: 16.0}}",
         lambda: optimizers.SGD(0.3, use_ema=True, ema_momentum=0.8, loss_scale_factor=16.0)),
    ],
)  # fmt: skip
def test_what_all_optimizers_share(tmp_path: Path, settings: str, optimizer: Callable[[], Any]) -> None:
    data = table(40)
    rest = f"""
compile: {{optimizer: {settings}, loss: sparse_categorical_crossentropy}}
fit: {{epochs: 3, batch_size: 8}}
"""
    model = compiled(classifier(), optimizer(), SPARSE)
    compare(tmp_path, data, CLASSIFIER + rest, model, data["x"], data["y"], epochs=3, batch_size=8)


def test_epochs_are_counted_from_initial_epoch(tmp_path: Path) -> None:
    data = table(40)
    rest = """
compile: {optimizer: {sgd: 0.3}, loss: sparse_categorical_crossentropy}
fit: {epochs: 5, initial_epoch: 3, batch_size: 8}
"""
    model = compiled(classifier(), optimizers.SGD(0.3), SPARSE)
    mine, _ = compare(
        tmp_path, data, CLASSIFIER + rest, model, data["x"], data["y"], epochs=5, initial_epoch=3, batch_size=8
    )
    assert len(mine.history["loss"]) == 2


def test_a_frozen_layer_stays_and_its_penalties_do_not_count(tmp_path: Path) -> None:
    data = table(40)
    config = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - dense: {units: 8, kernel_regularizer: {l2: 0.1}, trainable: false, name: hidden}
    - batch_normalization: {trainable: false, name: norm}
    - dense: {units: 3, activation: softmax, name: out}
compile: {optimizer: {adam: 0.05}, loss: sparse_categorical_crossentropy}
fit: {epochs: 2, batch_size: 8}
"""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, kernel_regularizer=regularizers.L2(0.1), trainable=False, name="hidden"),
            layers.BatchNormalization(trainable=False, name="norm"),
            layers.Dense(3, "softmax", name="out"),
        ]
    )
    compiled(model, optimizers.Adam(0.05), SPARSE)
    frozen = weights_of(model)["hidden/kernel"]
    mine, _ = compare(tmp_path, data, config, model, data["x"], data["y"], epochs=2, batch_size=8)
    np.testing.assert_array_equal(mine.weights["hidden/kernel"], frozen)


HEADS = """
data:
  source: {npz: {path: data.npz}}
  inputs: {x: []}
  targets: {kind: [], size: []}
model:
  inputs: {x: [4]}
  layers:
    - dense: {units: 6, activation: tanh, name: hidden}
    - dense: {units: 3, activation: softmax, inputs: hidden, name: kind}
    - dense: {units: 1, inputs: hidden, name: size}
  outputs: [kind, size]
"""


def heads() -> tuple[keras.Model, Arrays]:
    """Return Keras's model for HEADS, and data for it."""
    x = keras.Input((4,), name="x")
    hidden = layers.Dense(6, "tanh", name="hidden")(x)
    kind = layers.Dense(3, "softmax", name="kind")(hidden)
    size = layers.Dense(1, name="size")(hidden)
    data = table(30)
    return keras.Model(x, [kind, size]), {"x": data["x"], "kind": data["y"], "size": data["x"][:, :1] * 2}


@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")  # Keras wonders whether it was forgotten
def test_an_output_without_a_loss_is_measured_all_the_same(tmp_path: Path) -> None:
    model, data = heads()
    rest = """
compile: {optimizer: {adam: 0.05}, loss: {kind: sparse_categorical_crossentropy}, metrics: {kind: accuracy, size: mae}}
fit: {epochs: 2, batch_size: 8}
"""
    loss = {"kind": SPARSE, "size": None}
    compiled(model, optimizers.Adam(0.05), loss, metrics={"kind": ["accuracy"], "size": ["mae"]})
    compare(tmp_path, data, HEADS + rest, model, data["x"], [data["kind"], data["size"]], epochs=2, batch_size=8)


@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")
def test_an_output_without_a_target_is_only_predicted(tmp_path: Path) -> None:
    """Keras requires a target for it, and ignores it."""
    model, data = heads()
    base = HEADS.replace("kind: [], ", "")
    rest = """
compile: {optimizer: {adam: 0.05}, loss: {size: mse}, metrics: {size: [mae]}}
fit: {epochs: 2, batch_size: 8}
"""
    compiled(model, optimizers.Adam(0.05), {"kind": None, "size": "mse"}, metrics={"size": ["mae"]})
    compare(tmp_path, data, base + rest, model, data["x"], [data["kind"], data["size"]], epochs=2, batch_size=8)


def test_class_weights_find_the_classes_of_one_hot_and_of_binary_targets(tmp_path: Path) -> None:
    data = table(40)
    base = CLASSIFIER.replace("{y: []}", "{y: [{to_categorical: 3}]}")
    rest = """
compile: {optimizer: {sgd: 0.3}, loss: categorical_crossentropy}
fit: {epochs: 2, batch_size: 16, class_weight: {0: 0.25, 2: 3.5}}
"""
    model = compiled(classifier(), optimizers.SGD(0.3), "categorical_crossentropy")
    fit = {"epochs": 2, "batch_size": 16, "class_weight": {0: 0.25, 1: 1.0, 2: 3.5}}
    compare(tmp_path, data, base + rest, model, data["x"], keras.utils.to_categorical(data["y"], 3), **fit)

    data["y"] = (data["y"] == 1).astype(np.float32)
    rest = """
compile: {optimizer: {sgd: 0.3}, loss: binary_crossentropy}
fit: {epochs: 2, batch_size: 16, class_weight: {0: 0.25, 1: 3.5}}
"""
    model = compiled(classifier(1, "sigmoid"), optimizers.SGD(0.3), "binary_crossentropy")
    fit["class_weight"] = {0: 0.25, 1: 3.5}
    compare(tmp_path, data, BINARY + rest, model, data["x"], data["y"], **fit)
