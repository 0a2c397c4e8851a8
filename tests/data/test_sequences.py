"""Sequences of integers: Keras's data sets of them, the settings of its `load_data`, and padding."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import hashlib
import importlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.data.base import NO_STATE, SOURCES, TRANSFORMS, Context, Field
from kerascli.data.datasets import download, word_sequences
from kerascli.data.datasets.cifar import Cifar100
from kerascli.data.datasets.object_pickle import parse_sequences
from kerascli.data.pipeline.prepare import data_facts, load_data
from kerascli.data.section import parse_data
from kerascli.data.storage.table import BadRow
from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.errors import DataError
from tests.data.test_transforms import run
from tests.support.data_harness import whole
from tests.support.transform_harness import fitted, transformed

CONTEXT = Context(Path(), 0)
RANDOM = np.random.default_rng(1)


def lists(*lengths: int, top: int = 70_000) -> np.ndarray:
    """Return an object array of lists, as in Keras's files; smaller words are more frequent."""
    out = np.empty(len(lengths), object)
    for row, length in enumerate(lengths):
        out[row] = np.minimum(RANDOM.zipf(1.3, length), top).tolist()
    return out


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes) -> None:
    """Write a file to the path where Keras and kerascli look for it, accepted by both."""
    monkeypatch.setenv("KERAS_HOME", str(folder))
    path = folder / "datasets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def of_keras(name: str, path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
    module = importlib.import_module(f"keras.src.datasets.{name}")
    monkeypatch.setattr(module, "get_file", lambda *args, **kwargs: str(path))
    return module.load_data(**settings)


SETTINGS = [
    {},
    {"num_words": 50},
    {"num_words": 200, "skip_top": 5, "maxlen": 30},
    {"num_words": 100, "oov_char": None, "seed": 4},
    {"start_char": None, "skip_top": 4},
    {"start_char": None, "index_from": 0, "oov_char": None, "skip_top": 2, "num_words": 9},
    {"start_char": 7, "index_from": 10, "oov_char": 8},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_imdb_is_that_of_keras(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = RANDOM.integers(1, 60, 80)
    data = npz(
        x_train=lists(*sizes[:50]), y_train=RANDOM.integers(0, 2, 50), x_test=lists(*sizes[50:]),
        y_test=RANDOM.integers(0, 2, 30),
    )  # fmt: skip
    install(tmp_path, monkeypatch, "imdb.npz", data)
    monkeypatch.setitem(download.SHA256, "imdb.npz", hashlib.sha256(data).hexdigest())
    expected = of_keras("imdb", tmp_path / "datasets/imdb.npz", monkeypatch, **settings)
    tables = SOURCES.parse({"imdb": settings}).load(CONTEXT)
    for split, (x, y) in zip(("train", "test"), expected, strict=True):
        assert [row.tolist() for row in tables[split].array("x")] == x.tolist()
        assert tables[split].array("y").tolist() == list(y)


@pytest.mark.parametrize("settings", [*SETTINGS, {"test_split": 0.35, "num_words": 30}])
def test_reuters_is_that_of_keras(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = npz(x=lists(*RANDOM.integers(1, 50, 60)), y=RANDOM.integers(0, 46, 60))
    install(tmp_path, monkeypatch, "reuters.npz", data)
    monkeypatch.setitem(download.SHA256, "reuters.npz", hashlib.sha256(data).hexdigest())
    expected = of_keras("reuters", tmp_path / "datasets/reuters.npz", monkeypatch, **settings)
    tables = SOURCES.parse({"reuters": settings}).load(CONTEXT)
    for split, (x, y) in zip(("train", "test"), expected, strict=True):
        assert [row.tolist() for row in tables[split].array("x")] == x.tolist()
        assert tables[split].array("y").tolist() == list(y)
    assert keras.datasets.reuters.get_label_names() == word_sequences.CLASSES


@pytest.mark.parametrize(
    ("name", "features", "settings"),
    [
        ("boston_housing", 13, {}),
        ("boston_housing", 13, {"test_split": 0.33, "seed": 1}),
        ("california_housing", 8, {}),
        ("california_housing", 8, {"version": "small", "test_split": 0.0}),
    ],
)
def test_houses_are_those_of_keras(
    name: str, features: int, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = npz(x=RANDOM.normal(size=(700, features)), y=RANDOM.normal(size=700))
    install(tmp_path, monkeypatch, f"{name}.npz", data)
    monkeypatch.setitem(download.SHA256, f"{name}.npz", hashlib.sha256(data).hexdigest())
    expected = of_keras(name, tmp_path / f"datasets/{name}.npz", monkeypatch, **settings)
    tables = SOURCES.parse({name: settings}).load(CONTEXT)
    for split, (x, y) in zip(("train", "test"), expected, strict=True):
        assert (split in tables) == bool(len(x))
        if len(x):
            np.testing.assert_array_equal(tables[split].array("x"), x)
            np.testing.assert_array_equal(tables[split].array("y"), y)


def test_keras_finds_these_files_too() -> None:
    folder = Path(keras.__file__).parent / "src/datasets"
    for name in ("imdb", "reuters", "boston_housing", "california_housing"):
        text = (folder / f"{name}.py").read_text()
        assert download.SHA256[f"{name}.npz"] in text
        (path,) = SOURCES.parse(name).data_files(CONTEXT)
        assert f'path="{path.name}"' in text
        assert path.parent.name == "datasets"
    text = (folder / "cifar100.py").read_text()
    remote = Cifar100.remote()
    assert download.SHA256["cifar-100-python.tar.gz"] in text
    assert remote.url in text
    assert f'dirname = "{remote.path.removesuffix("_archive")}"' in text


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_lists_are_read_from_all_forms_of_the_pickle(protocol: int) -> None:
    rows = lists(3, 0, 1, 2500, 1, 1, top=2**31 - 1)
    rows[4] = []
    many = np.empty(1001, object)  # numpy's pickle holds a thousand to a batch
    many[:] = [[i, i + 70_000] for i in range(1001)]
    for given in (rows, many):
        found = parse_sequences(pickle.dumps(given, protocol=protocol), len(given), "x")
        assert [row.tolist() for row in found.sequences()] == given.tolist()


class Trap:
    """Object that ends the process if it is unpickled."""

    def __reduce__(self) -> Any:
        return os.abort, ()


@pytest.mark.parametrize("spoilt", [Trap(), [Trap()], ["text"], [1.5], [10**30], {"a": 1}, None])
def test_other_components_in_the_lists_are_refused_and_never_made(spoilt: Any) -> None:
    rows = lists(3, 2)
    rows[1] = spoilt
    for protocol in (2, 4):
        with pytest.raises(DataError, match=r"^x: "):
            parse_sequences(pickle.dumps(rows, protocol=protocol), 2, "x")


def test_changed_bytes_are_refused_or_read() -> None:
    sound = pickle.dumps(lists(4, 9, 30), protocol=2)
    refused = 0
    for _ in range(400):
        data = bytearray(sound)
        data[RANDOM.integers(len(data))] = RANDOM.integers(256)
        try:
            parse_sequences(bytes(data[: RANDOM.integers(40, len(data) + 1)]), 3, "x")
        except DataError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("maxlen", [None, 3, 6])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_padding_is_that_of_keras(maxlen: int | None, padding: str, truncating: str, value: float) -> None:
    rows = [[5, 6, 7, 8], [1], [], [2, 3]]
    settings = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": value}
    expected = keras.utils.pad_sequences(rows, **settings)  # pyright: ignore[reportArgumentType]
    lengths = np.array([4, 1, 0, 2])
    ragged = Tokens(np.array([5, 6, 7, 8, 1, 2, 3], np.int32), lengths).sequences()
    step = TRANSFORMS.parse({"pad_sequences": settings})
    field = Field((None,), "sequence")
    learned = fitted(step, ragged, field)
    found = transformed(step, ragged, learned, field)
    np.testing.assert_array_equal(found, expected)
    after = step.infer(field, learned, target=False)
    assert after == Field((found.shape[1],), "int32", max_length=found.shape[1])
    if maxlen:
        assert step.infer(field, None, target=False) == after


def test_rows_of_one_length_are_padded_too() -> None:
    x = np.arange(6).reshape(2, 3)
    for maxlen in (2, 5):
        expected = keras.utils.pad_sequences(x, maxlen=maxlen)  # pyright: ignore[reportArgumentType]
        np.testing.assert_array_equal(run({"pad_sequences": maxlen}, x), expected)


@pytest.mark.parametrize(
    ("steps", "value", "expected"), [(1, 0.0, [[2, 3, 0]]), (2, 9.0, [[3, 9, 9]]), (-1, 7.0, [[7, 1, 2]])]
)
def test_a_shift_moves_rows_and_fills(steps: int, value: float, expected: list[list[int]]) -> None:
    assert run({"shift": {"steps": steps, "value": value}}, np.array([[1, 2, 3]])).tolist() == expected


def texts(folder: Path, monkeypatch: pytest.MonkeyPatch, pipeline: list[Any], **section: Any) -> Any:
    data = npz(x=lists(*range(1, 41)), y=RANDOM.integers(0, 46, 40))
    install(folder, monkeypatch, "reuters.npz", data)
    monkeypatch.setitem(download.SHA256, "reuters.npz", hashlib.sha256(data).hexdigest())
    return parse_data({"source": {"reuters": 100}, "inputs": {"x": pipeline}, "targets": {"y": []}, **section})


def test_facts_of_word_sequences_are_known_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing"))
    spec = parse_data({"source": {"imdb": 500}, "inputs": {"x": [{"pad_sequences": 80}]}, "targets": {"y": []}})
    facts = data_facts(spec, CONTEXT)
    assert facts.inputs["x"] == Field((80,), "int32", vocabulary_size=500, max_length=80)
    assert facts.targets["y"].num_classes == 2


def test_padded_texts_go_through_the_data_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(texts(tmp_path, monkeypatch, [{"pad_sequences": {"padding": "post"}}]), CONTEXT)
    train, test = (whole(data.splits[split]).inputs["x"] for split in ("train", "test"))
    assert train.shape[1] == test.shape[1] == data.facts.inputs["x"].max_length
    assert (train[:, 0] == 1).all()
    assert len(train) == 32
    assert json.dumps(data.digests)


@pytest.mark.parametrize("pipeline", [[], ["normalization"], [{"columns": ["x", "y"]}], ["string_lookup"]])
def test_rows_of_different_lengths_need_padding(
    pipeline: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = texts(tmp_path, monkeypatch, pipeline)
    for work in (data_facts, load_data):
        with pytest.raises(DataError, match="different lengths"):
            work(spec, CONTEXT)


def test_a_column_of_sequences_has_no_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = texts(tmp_path, monkeypatch, ["pad_sequences"], targets={"x": ["pad_sequences"]})
    assert not load_data(spec, CONTEXT, validation_split=0.2).warnings
    spec = texts(tmp_path, monkeypatch, ["pad_sequences"], split={"test": 0.2, "stratify": "x"})
    with pytest.raises(Exception, match="the source has its own 'test' split"):
        load_data(spec, CONTEXT)
    spec = texts(tmp_path, monkeypatch, ["pad_sequences"], split={"validation": 0.2, "stratify": "x"})
    with pytest.raises(DataError, match="column 'x' does not hold class labels"):
        load_data(spec, CONTEXT)


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_rows_of_different_lengths_become_bags_of_words(mode: str) -> None:
    rows = [[3, 1, 3], [], [0, 4]]
    ragged = Tokens(np.array([3, 1, 3, 0, 4], np.int32), np.array([3, 0, 2])).sequences()
    step = TRANSFORMS.parse({"category_encoding": {"num_tokens": 5, "output_mode": mode}})
    field = Field((None,), "sequence")
    found = transformed(step, ragged, NO_STATE, field)
    after = step.infer(field, None, target=False)
    assert (found.shape[1:], found.dtype.name) == (after.shape, after.dtype)
    layer = keras.layers.CategoryEncoding(5, output_mode=mode)
    for row, given in zip(found, rows, strict=True):
        expected = layer(np.array(given)).numpy() if given else np.zeros(5)
        np.testing.assert_array_equal(row, expected)


def test_a_bag_of_words_names_the_row_of_an_unknown_one() -> None:
    ragged = Tokens(np.array([3, 1, 9]), np.array([2, 1])).sequences()
    step = TRANSFORMS.parse({"category_encoding": 5})
    with pytest.raises(BadRow, match=r"category 9 is outside 0\.\.4") as caught:
        transformed(step, ragged, NO_STATE, Field((None,), "sequence"))
    assert caught.value.row == 1
    one_hot = TRANSFORMS.parse({"category_encoding": {"num_tokens": 5, "output_mode": "one_hot"}})
    with pytest.raises(ValueError, match="different lengths"):
        one_hot.infer(Field((None,), "sequence"), None, target=False)
