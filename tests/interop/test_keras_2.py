"""Files in the formats of Keras 2 and R, written by hand, since Keras 2 does not run here."""

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L

from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.keras_import_harness import rows, shake

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2


def layer(kind: str, name: str, calls: list[Any] | None = None, **config: Any) -> dict[str, Any]:
    settings = {"name": name, "trainable": True, "dtype": "float32", **config}
    found = {"class_name": kind, "config": settings}
    return found if calls is None else {**found, "name": name, "inbound_nodes": calls}


def start(name: str, *shape: int | None, dtype: str = "float32", calls: bool = True) -> dict[str, Any]:
    config = {"batch_input_shape": [None, *shape], "dtype": dtype, "sparse": False, "ragged": False}
    return {**layer("InputLayer", name, [] if calls else None), "config": {**config, "name": name}}


def functional(name: str, layers: list[Any], inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def write(
    path: Path, model: dict[str, Any], weights: dict[str, list[tuple[str, np.ndarray]]], *, parts: int = 1
) -> Path:
    """Write each layer's weights under its name; the list of names is split into parts, as Keras does for long ones."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = b"2.9.0"
        file.attrs["backend"] = b"tensorflow"
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = [name.encode() for name in weights]
        top.attrs["keras_version"] = b"2.9.0"
        for name, arrays in weights.items():
            group = top.create_group(name)
            names = [f"{path}:0".encode() for path, _ in arrays]
            if parts == 1:
                group.attrs["weight_names"] = names
            for number in range(parts if parts > 1 else 0):
                group.attrs[f"weight_names{number}"] = np.array_split(np.array(names), parts)[number]
            for path_, values in arrays:
                group[f"{path_}:0"] = values
    return path


def of(keras_layer: Any, *names: str) -> list[tuple[str, np.ndarray]]:
    return list(zip(names, keras_layer.get_weights(), strict=True))


def same(path: Path, model: Any, x: dict[str, np.ndarray], folder: Path) -> Any:
    found = import_model(path, runs_dir=folder / "runs")
    run = open_run(found.record, device="cpu")
    named: Any = x
    np.savez(folder / "x.npz", **named)
    (ours,) = predict_run(run, str(folder / "x.npz")).outputs.values()
    given = list(x.values())
    theirs = model.predict(given[0] if len(given) == 1 else given, verbose=0)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    return found


@pytest.mark.parametrize("parts", [1, 3])
def test_a_sequential_model_of_r(parts: int, tmp_path: Path) -> None:
    """A bare list of layers, the first with its input shape, and names of weights in parts."""
    model = keras.Sequential([
        keras.Input((6, 6, 1), name="conv2d_input"), L.Conv2D(3, 3, activation="relu", name="conv2d"),
        L.BatchNormalization(name="bn"), L.Flatten(name="flatten"), L.Dense(2, activation="softmax", name="dense"),
    ])  # fmt: skip
    shake(model)
    conv, norm, _, dense = model.layers
    layers = [
        layer("Conv2D", "conv2d", batch_input_shape=[None, 6, 6, 1], filters=3, kernel_size=[3, 3], strides=[1, 1],
              padding="valid", data_format="channels_last", dilation_rate=[1, 1], groups=1, activation="relu",
              kernel_initializer={"class_name": "GlorotUniform", "config": {"seed": None}}),
        layer("BatchNormalization", "bn", axis=[3], momentum=0.99, epsilon=0.001, center=True, scale=True),
        layer("Flatten", "flatten", data_format="channels_last"),
        layer("Dense", "dense", units=2, activation="softmax", use_bias=True),
    ]  # fmt: skip
    config = layers if parts > 1 else {"name": "sequential", "layers": [start("x", 6, 6, 1, calls=False), *layers]}
    weights = {
        "conv2d": of(conv, "conv2d/kernel", "conv2d/bias"),
        "bn": of(norm, "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"),
        "flatten": [],
        "dense": of(dense, "dense/kernel", "dense/bias"),
    }
    path = write(tmp_path / "r.h5", {"class_name": "Sequential", "config": config}, weights, parts=parts)
    same(path, model, {"x": rows(model)["conv2d_input"]}, tmp_path)


def test_a_model_with_masks_cells_and_both_directions(tmp_path: Path) -> None:
    given = keras.Input((5,), dtype="int32", name="words")
    read, last = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both"), L.GRU(2, name="gru")
    words = L.Embedding(7, 4, mask_zero=True, name="embedding")
    model: Any = keras.Model(given, last(read(words(given))))
    shake(model)
    inner = layer("LSTM", "lstm", units=3, return_sequences=True, return_state=False, time_major=False,
                  activation="tanh", recurrent_activation="sigmoid", implementation=2)  # fmt: skip
    layers = [
        start("words", 5, dtype="int32"),
        layer("Embedding", "embedding", [[["words", 0, 0, {}]]], input_dim=7, output_dim=4, mask_zero=True,
              input_length=None),
        layer("Bidirectional", "both", [[["embedding", 0, 0, {}]]], layer=inner, merge_mode="concat"),
        layer("GRU", "gru", [[["both", 0, 0, {}]]], units=2, reset_after=True, implementation=2),
    ]  # fmt: skip
    cell, back = "both/forward_lstm/lstm_cell_4", "both/backward_lstm/lstm_cell_5"
    names = [f"{where}/{kind}" for where in (cell, back) for kind in ("kernel", "recurrent_kernel", "bias")]
    weights = {
        "words": [],
        "embedding": of(words, "embedding/embeddings"),
        "both": of(read, *names),
        "gru": of(last, *(f"gru/gru_cell_9/{kind}" for kind in ("kernel", "recurrent_kernel", "bias"))),
    }
    spec = functional("model", layers, [["words", 0, 0]], [["gru", 0, 0]])
    same(write(tmp_path / "m.h5", spec, weights), model, {"words": rows(model)["words"]}, tmp_path)


def test_the_calls_of_a_nested_model_are_counted_from_1(tmp_path: Path) -> None:
    """Two calls of one tower; its weights are under its name, trainable ones first."""
    inner = keras.Input((4,), name="in")
    dense, norm = L.Dense(3, name="d"), L.BatchNormalization(name="n")
    tower = keras.Model(inner, norm(dense(inner)), name="tower")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model: Any = keras.Model([a, b], L.Subtract(name="s")([tower(a), tower(b)]))
    shake(model)
    parts = [
        start("in", 4),
        layer("Dense", "d", [[["in", 0, 0, {}]]], units=3, activation="linear"),
        layer("BatchNormalization", "n", [[["d", 0, 0, {}]]], axis=[1]),
    ]
    nested = functional("tower", parts, [["in", 0, 0]], [["n", 0, 0]])
    calls = [[["a", 0, 0, {}]], [["b", 0, 0, {}]]]
    layers = [
        start("a", 4), start("b", 4), {**nested, "name": "tower", "inbound_nodes": calls},
        layer("Subtract", "s", [[["tower", 1, 0, {}], ["tower", 2, 0, {}]]]),
    ]  # fmt: skip
    trained = [*of(dense, "d/kernel", "d/bias"), *zip(("n/gamma", "n/beta"), norm.get_weights()[:2], strict=True)]
    moving = zip(("n/moving_mean", "n/moving_variance"), norm.get_weights()[2:], strict=True)
    spec = functional("model", layers, [["a", 0, 0], ["b", 0, 0]], [["s", 0, 0]])
    path = write(tmp_path / "m.h5", spec, {"a": [], "b": [], "tower": [*trained, *moving], "s": []})
    found = same(path, model, rows(model), tmp_path)
    assert "shared:" in found.record.config()
