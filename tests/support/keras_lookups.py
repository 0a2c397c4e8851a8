"""Models with Keras's lookups, hashes, bins and mixed samples, in the settings of Keras's own layer tests.

Keras needs TensorFlow for most of them. `python -m tests.support.keras_lookups`, in an environment with Keras and
TensorFlow, saves each model, and writes what is in the `.keras` file and what Keras predicts to keras_lookups.json.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

PREDICTIONS = Path(__file__).parents[1] / "interop" / "keras_lookups.json"

NUMBERS = [[0], [1], [2], [3], [-7], [1138], [42], [10**12]]
ROWS = [[1, 2, 3], [3, 3, 9], [0, -1, 2], [5, 1, 1]]
WORDS = [["a"], ["b"], ["zebra"], [""], ["B"], ["[UNK]"], ["omar"], ["été"]]
TEXTS = [["one two"], ["Two, ONE! three"], [""], ["  a b\tc "], ["Été à 12:30 one one one two"], ["one"]]
FLOATS = [[-1.5, 0.0], [0.2, 0.8], [2.0, -0.1], [0.5, 0.5]]


def flat(rows: list[list[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


class Case:
    """A model by its layer class and settings: of one input, or of several if a layer takes several."""

    def __init__(
        self, layer: str, rows: Any, kind: str = "int64", /, *, adapt: Any = None, count: int = 1, **settings: Any,
    ) -> None:  # fmt: skip
        self.layer, self.rows, self.dtype, self.adapt, self.count = layer, rows, kind, adapt, count
        self.settings = settings
        self.shape = tuple(np.shape(rows)[1:])

    @property
    def name(self) -> str:
        words = [f"{key}={value}" for key, value in self.settings.items()]
        kind = "" if self.dtype == "int64" else self.dtype
        learned = "adapted" if self.adapt is not None else ""
        return " ".join(filter(None, [self.layer, kind, str(self.shape), learned, *words]))

    def model(self) -> Any:
        import keras

        layer = getattr(keras.layers, self.layer)(**self.settings)
        if self.adapt is not None:
            layer.adapt(np.array(self.adapt))
        inputs = [keras.Input(self.shape, dtype=self.dtype, name=f"x{i}" if i else "x") for i in range(self.count)]
        return keras.Model(inputs, layer(inputs if self.count > 1 else inputs[0]))


def combined() -> Any:
    """Two lookups of one text, a text and a number, and weights behind them."""
    import keras
    from keras import layers

    words = layers.TextVectorization(output_sequence_length=4)
    words.adapt(np.array(["one two three", "two three"]))
    whole = layers.TextVectorization(output_mode="count", vocabulary=["one", "two"])
    kind = layers.StringLookup(output_mode="one_hot")
    kind.adapt(np.array([["a"], ["b"]]))
    text, word = keras.Input((), dtype="string", name="text"), keras.Input((), dtype="string", name="word")
    number = keras.Input((1,), dtype="int64", name="number")
    lookup = layers.IntegerLookup(output_mode="one_hot")
    lookup.adapt(np.array([[3], [5]]))
    mean = layers.GlobalAveragePooling1D()(layers.Embedding(8, 3)(words(text)))
    joined = layers.Concatenate()([mean, whole(text), kind(word), lookup(number)])
    return keras.Model([text, word, number], layers.Dense(2, name="y")(joined))


def in_front() -> Any:
    """A text vectorization in front of a trained model, as models are given to users."""
    import keras
    from keras import layers

    words = layers.TextVectorization(max_tokens=20, output_sequence_length=5)
    words.adapt(np.array(["one two three", "two three"]))
    trained = keras.Sequential([keras.Input((5,), dtype="int64"), layers.Embedding(20, 2), layers.LSTM(3)])
    return keras.Sequential([keras.Input((1,), dtype="string", name="text"), words, trained, layers.Dense(1)])


HASHES = [
    Case("Hashing", NUMBERS, num_bins=bins, **settings)
    for bins, settings in [
        (8, {}), (3, {}), (1, {}), (2, {"salt": [133, 137]}), (3, {"salt": 133}), (3, {"salt": [211, 137]}),
        (3, {"mask_value": 0}), (3, {"dtype": "int32"}), (3, {"output_mode": "one_hot"}),
        (5, {"output_mode": "one_hot", "dtype": "float64"}),
    ]
]  # fmt: skip
HASHES += [
    Case("Hashing", ROWS, num_bins=5, output_mode=mode, dtype=dtype)
    for mode in ("int", "one_hot", "multi_hot", "count")
    for dtype in ("int32", "int64")
    for dtype in ([dtype] if mode == "int" else ["float32"] if dtype == "int32" else [])
]
HASHES += [
    Case("Hashing", ROWS, "int32", num_bins=3, output_mode="count"),
    Case("Hashing", np.reshape(ROWS, (4, 3, 1)).tolist(), num_bins=5, output_mode="one_hot"),
]
CROSSES = [
    Case("HashedCrossing", rows, dtype, count=count, num_bins=bins, **settings)
    for rows, dtype, count, bins, settings in [
        (NUMBERS, "int64", 2, 1, {}), (NUMBERS, "int64", 2, 5, {}), (NUMBERS[:7], "int32", 2, 5, {"dtype": "int32"}),
        (NUMBERS, "int64", 2, 5, {"output_mode": "one_hot"}),
        (flat(NUMBERS), "int64", 2, 10, {}), (flat(NUMBERS), "int64", 2, 5, {"output_mode": "one_hot"}),
    ]
]  # fmt: skip
INTEGERS = [
    Case("IntegerLookup", rows, adapt=adapt, **settings)
    for rows, adapt, settings in [
        (NUMBERS, [[3], [1], [3]], {}), (NUMBERS, [[3], [1], [3], [42]], {"max_tokens": 3}),
        (NUMBERS, [[3], [1], [0]], {"mask_token": 0}), (NUMBERS, [[3], [1], [0]], {"num_oov_indices": 3}),
        (NUMBERS, [[3], [1]], {"mask_token": 0, "num_oov_indices": 2}), (ROWS, [[3], [1]], {"output_mode": "count"}),
        (NUMBERS, [[3], [1]], {"output_mode": "one_hot"}), (ROWS, [[3], [1]], {"output_mode": "multi_hot"}),
        (ROWS, [[3], [1]], {"output_mode": "multi_hot", "mask_token": 2}),
        (ROWS, [[3], [1]], {"output_mode": "multi_hot", "max_tokens": 6, "pad_to_max_tokens": True}),
        (NUMBERS, [[3], [1]], {"num_oov_indices": 4, "oov_method": "farmhash"}),
        (NUMBERS, [[3], [1]], {"num_oov_indices": 4, "oov_method": "farmhash", "salt": [137, 42]}),
        (NUMBERS, None, {"vocabulary": [1, 2, 3, 42]}), (NUMBERS, None, {"vocabulary": [1, 2, 3], "mask_token": 0}),
        (NUMBERS, None, {"vocabulary": [1, 2, 3], "num_oov_indices": 2}),
        (ROWS, None, {"vocabulary": [1, 2, 3], "output_mode": "tf_idf", "idf_weights": [0.5, 0.25, 1.5]}),
        ([[0], [1], [2], [3], [1]], None, {"vocabulary": [10, 20, 30], "invert": True}),
        (ROWS, None, {"vocabulary": [1, 2, 3], "output_mode": "count"}),
        (ROWS, [[3, 1], [3, 2], [3, 3]], {"output_mode": "tf_idf"}),
    ]
]  # fmt: skip
BINS = [
    Case("Discretization", FLOATS, "float32", adapt=adapt, **settings)
    for adapt, settings in [
        ([0.0, 0.1, 0.3, 0.7, 0.9, 1.2], {"num_bins": 4}), ([0.0, 0.1, 0.3, 0.7], {"num_bins": 2, "epsilon": 0.1}),
        ([0.0, 0.1, 0.3, 0.7], {"num_bins": 3, "output_mode": "one_hot"}),
        ([0.0, 0.1, 0.3, 0.7], {"num_bins": 3, "output_mode": "multi_hot"}),
        ([0.0, 0.1, 0.3, 0.7], {"num_bins": 3, "output_mode": "count"}),
        (None, {"bin_boundaries": [0.0, 0.5, 1.0]}), (None, {"bin_boundaries": [0.0, 0.5], "output_mode": "count"}),
    ]
]  # fmt: skip
IMAGES = np.linspace(0, 1, 2 * 4 * 4 * 3, dtype="float32").round(3).reshape(2, 4, 4, 3).tolist()
MIXED = [
    Case("MixUp", IMAGES, "float32", alpha=0.3), Case("CutMix", IMAGES, "float32", factor=0.8, seed=1),
]  # fmt: skip
STRINGS = [
    Case("StringLookup", rows, "string", adapt=adapt, **settings)
    for rows, adapt, settings in [
        (WORDS, [["a"], ["b"], ["a"]], {}), (WORDS, [["a"], ["b"]], {"mask_token": ""}),
        (WORDS, [["a"], ["b"]], {"num_oov_indices": 3}), (WORDS, [["a"], ["b"], ["c"]], {"max_tokens": 3}),
        (WORDS, [["a"], ["b"]], {"mask_token": "[MASK]", "oov_token": "[OOV]"}),
        (WORDS, [["a"], ["b"]], {"output_mode": "one_hot"}), (WORDS, [["a"], ["b"]], {"output_mode": "multi_hot"}),
        (WORDS, [["a"], ["b"]], {"output_mode": "count", "max_tokens": 6, "pad_to_max_tokens": True}),
        (WORDS, None, {"vocabulary": ["a", "b", "c"]}),
        (WORDS, None, {"vocabulary": ["a", "b"], "num_oov_indices": 4, "salt": [137, 42]}),
        (WORDS, None, {"vocabulary": ["a", "b"], "output_mode": "tf_idf", "idf_weights": [0.5, 0.25]}),
        (flat(WORDS), [["a"], ["b"]], {"output_mode": "int"}),
        (WORDS, [["a", "b"], ["a", "c"]], {"output_mode": "tf_idf", "num_oov_indices": 2}),
    ]
]  # fmt: skip
STRINGS += [
    Case("Hashing", WORDS, "string", num_bins=3),
    Case("Hashing", WORDS, "string", num_bins=3, mask_value=""),
    Case("Hashing", WORDS, "string", num_bins=3, salt=[133, 137]),
    Case("Hashing", WORDS, "string", num_bins=3, output_mode="one_hot"),
]
LEARNED = ["one two three", "two three", "été à one"]
STRINGS += [
    Case("TextVectorization", rows, "string", adapt=adapt, **settings)
    for rows, adapt, settings in [
        (TEXTS, LEARNED, {"output_sequence_length": 5}), (TEXTS, LEARNED, {"output_mode": "multi_hot"}),
        (TEXTS, LEARNED, {"output_mode": "count", "max_tokens": 4}),
        (TEXTS, LEARNED, {"output_mode": "count", "max_tokens": 9, "pad_to_max_tokens": True}),
        (TEXTS, LEARNED, {"output_sequence_length": 6, "ngrams": 2}),
        (TEXTS, LEARNED, {"output_sequence_length": 6, "split": "character", "standardize": "lower"}),
        (TEXTS, LEARNED, {"output_sequence_length": 3, "standardize": None}),
        (TEXTS, LEARNED, {"output_sequence_length": 3, "standardize": "strip_punctuation"}),
        (TEXTS, None, {"vocabulary": ["one", "two"], "output_sequence_length": 2}),
        (TEXTS, None, {"vocabulary": ["one", "two"], "output_mode": "tf_idf", "idf_weights": [0.5, 0.25]}),
        (flat(TEXTS), LEARNED, {"output_sequence_length": 4}), (TEXTS, LEARNED, {"output_mode": "tf_idf"}),
    ]
]  # fmt: skip
CASES = [*HASHES, *CROSSES, *INTEGERS, *BINS, *MIXED, *STRINGS]
WHOLE: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "combined": (
        combined,
        {"text": flat(TEXTS), "word": flat(WORDS[:6]), "number": [[3], [5], [7], [3], [0], [5]]},
    ),
    "in front of a model": (in_front, {"text": TEXTS}),
}


def contents(data: bytes) -> dict[str, Any]:
    """Return the parts of a `.keras` file as JSON: config, vocabularies by path, weights by path."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        config = json.loads(archive.read("config.json"))
        assets = {name: archive.read(name).decode() for name in archive.namelist() if name.startswith("assets/")}
        weights: dict[str, Any] = {}
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:

            def keep(path: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    weights[path] = [str(item.dtype), item[()].tolist()]

            file.visititems(keep)
    config["compile_config"] = None
    return {"config": config, "assets": assets, "weights": weights}


def archive_of(parts: dict[str, Any], path: Path) -> Path:
    """Write a `.keras` file of its parts."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers")
        for name, (dtype, values) in parts["weights"].items():
            file[name] = np.array(values, dtype)
    members = {"metadata.json": json.dumps({"keras_version": "3.15.1"}), "config.json": json.dumps(parts["config"])}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "model.weights.h5": weights.getvalue(), **parts["assets"]}.items():
            archive.writestr(name, content)
    return path


def predicted(model: Any, inputs: dict[str, Any]) -> Any:
    """Return Keras's prediction, on TensorFlow."""
    import importlib

    constant = importlib.import_module("tensorflow").constant
    tensors = {each.name: constant(inputs[each.name], dtype=each.dtype) for each in model.inputs}
    return np.asarray(model(tensors if len(tensors) > 1 else next(iter(tensors.values())), training=False))


def main() -> None:
    import tempfile

    import keras

    lines = []
    models: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [
        (case.name, case.model, {f"x{i}" if i else "x": case.rows[i:] + case.rows[:i] for i in range(case.count)})
        for case in CASES
    ]
    models += [(name, build, inputs) for name, (build, inputs) in WHOLE.items()]
    for name, build, inputs in models:
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        try:
            model = build()
            expected = predicted(model, inputs)
            with tempfile.TemporaryDirectory() as folder:
                model.save(f"{folder}/m.keras")
                data = Path(folder, "m.keras").read_bytes()
                loaded: Any = keras.saving.load_model(f"{folder}/m.keras")
            again = predicted(loaded, inputs)
            np.testing.assert_array_equal(again, expected)
        except Exception as error:
            print("!!", name, type(error).__name__, str(error)[:300].replace("\n", " "))
            continue
        entry = {"name": name, "inputs": inputs, "output": expected.tolist(), **contents(data)}
        lines.append(json.dumps(entry, ensure_ascii=False, separators=(",", ":")))
    PREDICTIONS.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(len(lines), "models", PREDICTIONS.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
