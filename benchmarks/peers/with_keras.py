"""Keras 3 over the backend that KERAS_BACKEND names, with everything left at its defaults."""

from typing import Any

import keras
from keras import layers

from benchmarks.digits import load_digits
from benchmarks.peers import OnEpoch
from benchmarks.workloads import BATCH, Job

_QUIET: Any = 0
"""Keras's type hint wants a word, its documentation and its code take the number."""


class _Tell(keras.callbacks.Callback):
    def __init__(self, on_epoch: OnEpoch) -> None:
        super().__init__()
        self.on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        assert logs is not None
        self.on_epoch(float(logs["loss"]))


def run(job: Job, on_epoch: OnEpoch) -> float:
    keras.utils.set_random_seed(job.seed)
    digits, work = load_digits(job), job.workload
    y, y_val, y_test = digits.y, digits.y_val, digits.y_test
    if work.one_hot:
        y, y_val, y_test = (keras.utils.to_categorical(classes, 10) for classes in (y, y_val, y_test))
    loss = "categorical_crossentropy" if work.one_hot else "sparse_categorical_crossentropy"
    model = build(job.work)
    model.compile(loss=loss, optimizer=work.optimizer, metrics=["accuracy"])
    model.fit(
        digits.x, y, batch_size=BATCH, epochs=job.epochs, verbose=_QUIET, callbacks=[_Tell(on_epoch)],
        validation_data=(digits.x_val, y_val) if len(digits.x_val) else None,
    )  # fmt: skip
    results = model.evaluate(digits.x_test, y_test, batch_size=BATCH, verbose=_QUIET, return_dict=True)
    return float(results["accuracy"])


def build(work: str) -> keras.Model:
    return _residual() if work == "residual" else keras.Sequential(_STACKS[work]())


def _mnist_mlp() -> list:
    hidden = [_relu(256), layers.Dropout(0.4), _relu(128), layers.Dropout(0.3)]
    return [keras.Input((784,)), *hidden, _classes()]


def _wide_mlp() -> list:
    return [keras.Input((784,)), _relu(2048), _relu(2048), _classes()]


def _lstm() -> list:
    return [keras.Input((28, 28)), layers.LSTM(128), _classes()]


def _cnn() -> list:
    convolutions = [layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(64, 3, activation="relu")]
    head = [layers.Flatten(), _relu(128), layers.Dropout(0.5), _classes()]
    return [keras.Input((28, 28, 1)), *convolutions, layers.MaxPooling2D(2), layers.Dropout(0.25), *head]


def _relu(units: int) -> layers.Layer:
    return layers.Dense(units, activation="relu")


def _classes() -> layers.Layer:
    return layers.Dense(10, activation="softmax")


def _residual() -> keras.Model:
    inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    for _ in range(4):
        skip = x
        x = layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(layers.Add()([x, skip]))
    return keras.Model(inputs, _classes()(layers.GlobalAveragePooling2D()(x)))


_STACKS = {"mnist_mlp": _mnist_mlp, "wide_mlp": _wide_mlp, "lstm": _lstm, "cnn": _cnn}
