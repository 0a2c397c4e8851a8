"""Sources of folders, text, windows and generated rows."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import timeseries_dataset_utils
from PIL import Image

from kerascli.data.base import SOURCES, Context
from kerascli.data.pipeline.prepare import data_facts, fitted_preparer, load_data
from kerascli.data.read import read_raw
from kerascli.data.section import DataSpec, parse_data
from kerascli.data.sources.sequence_tasks import MOVES, PEOPLE, PLACES
from kerascli.data.storage import image_files, on_disk
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import is_compatible
from kerascli.language.component import Invalid
from tests.support.data_harness import whole
from tests.support.runs_harness import train, write

RANDOM = np.random.default_rng(5)


def raw(spec: DataSpec, path: Path, context: Context) -> Table:
    """Read a file in the folder of a config."""
    return read_raw(spec, context.folder / path, columns=spec.columns(), name=str(path))


def load(written: Any, folder: Path = Path()) -> dict[str, Table]:
    """Load the tables of a source, and check its declared facts."""
    source = SOURCES.parse(written)
    context = Context(folder, 0)
    facts = source.facts(context)
    tables = dict(source.load(context))
    assert facts is not None
    assert SOURCES.parse(source.dump()) == source
    for table in tables.values():
        for name, field in facts.items():
            values = table.column(name)
            assert is_compatible(values.shape[1:], field.shape)
            assert ("string" if values.dtype == object else values.dtype.name) == field.dtype
    return tables


GENERATORS = ["blobs", "sine", "moving_average", "copy_task", "addition", "stories"]


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_rows_depend_on_their_seed_alone(name: str) -> None:
    first, again, other = (load({name: {"rows": 20, "seed": seed}})["train"] for seed in (1, 1, 2))
    assert first.rows == 20
    for column in first:
        np.testing.assert_array_equal(first.array(column), again.array(column))
    assert any((first.array(column) != other.array(column)).any() for column in first)


def test_a_sine_has_its_period() -> None:
    value = load({"sine": {"rows": 300, "period": 25.0, "noise": 0.0}})["train"].array("value")
    np.testing.assert_allclose(value[:-25], value[25:], atol=1e-6)
    np.testing.assert_allclose(value[[0, 25 * 3 // 4 + 25]], [0, np.sin(2 * np.pi * 18 / 25)], atol=1e-6)


def test_a_sine_that_begins_a_quarter_on_and_fades_is_a_decaying_cosine() -> None:
    written = {"rows": 300, "period": 40.0, "phase": 10, "amplitude": 5.0, "decay": 0.01, "noise": 0.0}
    value, row = load({"sine": written})["train"].array("value"), np.arange(300)
    np.testing.assert_allclose(value, 5 * np.exp(-0.01 * row) * np.cos(2 * np.pi * row / 40), atol=1e-5)


def test_a_moving_average_is_that_of_the_values_up_to_its_row() -> None:
    table = load({"moving_average": {"rows": 50, "window": 4, "amplitude": 3.0}})["train"]
    value, average = table.array("value"), table.array("average")
    assert len(value) == len(average) == 50
    assert 2.5 < np.abs(value).max() <= 3
    np.testing.assert_allclose(average[3:], np.convolve(value, np.full(4, 0.25), "valid"), atol=1e-6)


def test_the_copy_task_asks_for_what_it_gave() -> None:
    table = load({"copy_task": {"rows": 7, "length": 4, "bits": 3}})["train"]
    x, y = table.array("x"), table.array("y")
    np.testing.assert_array_equal(x[:, :4, :3], y[:, 5:])
    assert (x[..., 3] == np.eye(9)[4]).all()
    assert not x[:, 4:, :3].any()
    assert not y[:, :5].any()
    assert set(np.unique(x)) == {0, 1}


def test_the_copy_task_has_sequences_of_many_lengths_and_longer_ones_to_be_tested() -> None:
    tables = load({"copy_task": {"rows": 60, "min_length": 2, "length": 4, "test_length": 6, "bits": 3}})
    assert {name: table.rows for name, table in tables.items()} == {"train": 60, "test": 6}
    assert {name: table.array("x").shape[1] for name, table in tables.items()} == {"train": 9, "test": 13}
    for name, lengths in (("train", {2, 3, 4}), ("test", {6})):
        x, y, recall = (tables[name].array(column) for column in ("x", "y", "recall"))
        found = x[..., 3].argmax(1)
        assert set(found.tolist()) == lengths
        for row, length in enumerate(found):
            np.testing.assert_array_equal(x[row, :length, :3], y[row, length + 1 : 2 * length + 1])
            assert np.flatnonzero(recall[row]).tolist() == list(range(length + 1, 2 * length + 1))
            assert not x[row, length + 1 :].any()
            assert not y[row][recall[row] == 0].any()


LENGTHS = """
seed: 1
data:
  source: {copy_task: {rows: 40, min_length: 1, length: 3, test_length: TEST, bits: 2}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers: [{gru: {units: 4, return_sequences: true}}, {dense: {units: 2, activation: sigmoid}}]
compile: {loss: binary_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 8}
"""


@pytest.mark.parametrize(("longest", "steps"), [(5, None), (3, 7)])
def test_a_split_of_longer_sequences_is_for_a_model_of_any_length(
    tmp_path: Path, longest: int, steps: int | None
) -> None:
    run, _ = train(write(tmp_path, LENGTHS.replace("TEST", str(longest))), tmp_path / "runs", [])
    assert f"(None, {steps}, 2)" in (run.path / "summary.txt").read_text(encoding="utf-8")
    assert run.facts()["results"]["test"]["loss"] > 0


@pytest.mark.parametrize("reverse", [True, False])
def test_the_answer_of_an_addition_is_the_sum(reverse: bool) -> None:
    table = load({"addition": {"rows": 2000, "digits": 3, "reverse": reverse}})["train"]
    lengths, questions = set(), set()
    for question, answer in zip(table.array("question"), table.array("answer"), strict=True):
        assert (len(question), len(answer)) == (7, 4)
        questions.add(frozenset(question.strip()[:: -1 if reverse else 1].split("+")))
        a, b = (question[::-1] if reverse else question).split("+")
        assert int(a) + int(b) == int(answer)
        lengths.add((len(a), len(b.strip())))
    assert len(lengths) == 9
    assert len(questions) == 2000  # none twice, nor turned round


def test_there_are_only_so_many_sums() -> None:
    with pytest.raises(Invalid, match="rows: there are 55 sums of numbers of 1 digit; expected at most 44"):
        SOURCES.parse({"addition": {"rows": 50, "digits": 1}})
    assert load({"addition": {"rows": 44, "digits": 1}})["train"].rows == 44


def test_the_answer_of_a_story_is_the_last_place_of_the_person() -> None:
    table = load({"stories": {"rows": 300, "pairs": 3}})["train"]
    sentence = re.compile(rf"({'|'.join(PEOPLE)}) ({'|'.join(MOVES)}) the ({'|'.join(PLACES)}) \.")
    lengths = set()
    for story, question, answer in zip(*(table.array(name) for name in ("story", "question", "answer")), strict=True):
        found = sentence.findall(story)
        assert " ".join(f"{person} {move} the {place} ." for person, move, place in found) == story
        asked = re.fullmatch(r"Where is (\w+) \?", question)
        assert asked
        assert [place for person, _, place in found if person == asked[1]][-1] == answer
        lengths.add(len(found))
    assert lengths == {2, 4, 6}


class Rows(list[Any]):
    """Minimal stand-in for grain, which Keras makes its windows with."""

    def to_iter_dataset(self) -> list[Any]:
        return self


GRAIN = SimpleNamespace(
    MapDataset=SimpleNamespace(source=Rows),
    experimental=SimpleNamespace(ZipMapDataset=lambda parts: Rows(zip(*parts, strict=True))),
)


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("rate", [1, 2])
@pytest.mark.parametrize("offset", [None, 0, 7])
def test_windows_are_those_of_keras(
    length: int, stride: int, rate: int, offset: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = RANDOM.normal(size=40)
    np.savez(tmp_path / "t.npz", a=data)
    settings: dict[str, Any] = {"sequence_length": length, "sequence_stride": stride, "sampling_rate": rate}
    table = load({"timeseries": {"source": {"npz": "t.npz"}, "offset": offset, **settings}}, tmp_path)["train"]
    monkeypatch.setattr(timeseries_dataset_utils, "grain", GRAIN)
    targets = data[length * rate if offset is None else offset :]
    settings |= {"batch_size": None, "format": "grain"}
    pairs: Any = keras.utils.timeseries_dataset_from_array(data, targets, **settings)
    assert len(pairs) == table.rows
    for row, (window, value) in enumerate(pairs):
        np.testing.assert_array_equal(table.array("a")[row, :, 0], window)
        assert table.array("a_next")[row] == value


def check_windows(
    data: np.ndarray, folder: Path, length: int, stride: int, rate: int, offset: int | None, **rows: int
) -> None:
    """Compare with the definition in the documentation of timeseries_dataset_from_array."""
    np.savez(folder / "t.npz", a=data[:, 0], b=data[:, 1])
    settings = {"sequence_length": length, "sequence_stride": stride, "sampling_rate": rate, "offset": offset, **rows}
    table = load({"timeseries": {"source": {"npz": "t.npz"}, **settings}}, folder)["train"]
    start, end = rows.get("start_index", 0), rows.get("end_index", len(data))
    ahead = length * rate if offset is None else offset
    count = min(end - start - (length - 1) * rate, end - start - ahead)
    places = range(start, start + count, stride)
    for column, name in enumerate("ab"):
        expected = [data[place : place + length * rate : rate, column] for place in places]
        np.testing.assert_array_equal(table.array(name)[..., 0], expected)
        np.testing.assert_array_equal(table.array(f"{name}_next"), [data[place + ahead, column] for place in places])


@pytest.mark.parametrize("rows", [{}, {"start_index": 3}, {"end_index": 31}, {"start_index": 4, "end_index": 30}])
@pytest.mark.parametrize(("length", "stride", "rate", "offset"), [(5, 1, 1, None), (4, 3, 2, 9), (1, 2, 3, 0)])
def test_windows_are_where_keras_documents_them(
    rows: dict[str, int], length: int, stride: int, rate: int, offset: int | None, tmp_path: Path
) -> None:
    check_windows(RANDOM.normal(size=(40, 2)), tmp_path, length, stride, rate, offset, **rows)


@pytest.mark.parametrize(("rate", "offset"), [(1, None), (3, None), (2, 11)])
def test_windows_with_a_horizon_end_in_several_values(rate: int, offset: int | None, tmp_path: Path) -> None:
    data = RANDOM.normal(size=60)
    np.savez(tmp_path / "s.npz", a=data)
    settings = {"sequence_length": 4, "sampling_rate": rate, "offset": offset, "horizon": 5}
    written = {"timeseries": {"source": {"npz": {"path": "s.npz"}}, **settings}}
    table = load(written, tmp_path)["train"]
    first = 4 * rate if offset is None else offset
    rows = [data[start + first : start + first + 5 * rate : rate] for start in range(60 - first - 4 * rate)]
    np.testing.assert_array_equal(table.array("a_next"), np.array(rows)[..., None])
    assert len(table.array("a")) == len(rows)


@pytest.mark.parametrize("order", ["a,a_next", "a_next,a"])
def test_a_column_with_the_name_of_a_value_after_a_window_is_refused(order: str, tmp_path: Path) -> None:
    write(tmp_path, "\n".join([order, *(f"{i},{i}" for i in range(9)), ""]), "t.csv")
    series = {"timeseries": {"source": {"csv": {"path": "t.csv"}}, "sequence_length": 3}}
    spec = parse_data({"source": series, "inputs": {"a": []}, "targets": {"a_next": []}})
    with pytest.raises(DataError, match="'a_next' is a column, and the name of the value of 'a' after a window"):
        load_data(spec, Context(tmp_path, 0))
    load_data(parse_data({"source": series, "inputs": {"a": []}}), Context(tmp_path, 0))


def test_texts_and_dates_are_in_windows_and_a_fault_names_its_row(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 13)]
    write(tmp_path, "day,plan\n" + "".join(f"{day},{'ab'[i % 2]}\n" for i, day in enumerate(days)), "t.csv")
    series = {"source": {"csv": {"path": "t.csv"}}, "sequence_length": 3}
    inputs: dict[str, Any] = {
        "day": [{"datetime": {"parts": ["day", "weekday"]}}],
        "plan": [{"string_lookup": {"output_mode": "one_hot", "num_oov_indices": 0}}],
        "then": [{"columns": "day_next"}, {"datetime": {"parts": "day"}}],
    }
    spec = parse_data({"source": {"timeseries": series}, "inputs": inputs})
    data = load_data(spec, Context(tmp_path, 0))
    made = whole(data.splits["train"]).inputs
    assert made["day"].shape == (9, 3, 2)
    assert made["day"][:, :, 0].tolist() == [[i + 1, i + 2, i + 3] for i in range(9)]
    assert made["day"][0, :, 1].tolist() == [0, 1, 2]  # 2024 began on a Monday
    assert made["then"].tolist() == [[i + 4] for i in range(9)]
    assert made["plan"].shape == (9, 3, 2)
    write(tmp_path, "day,plan\n" + "".join(f"{day},a\n" for day in [*days[:5], "never", *days[6:]]), "new.csv")
    with pytest.raises(DataError, match="'never' is no date") as error:
        fitted_preparer(spec, data.learned, targets=False).split(raw(spec, Path("new.csv"), Context(tmp_path, 0)))
    assert str(error.value.faults[0].place).endswith("new.csv:7:day")


def test_windows_are_split_by_the_time_of_their_last_row(tmp_path: Path) -> None:
    write(tmp_path, "day,a\n" + "".join(f"2024-01-{day:02d},{day}\n" for day in range(1, 21)), "t.csv")
    series = {"source": {"csv": {"path": "t.csv"}}, "sequence_length": 3, "horizon": 2}
    section = {"split": {"test": 0.25, "order": "day"}, "inputs": {"a": []}, "targets": {"a_next": []}}
    data = load_data(parse_data({"source": {"timeseries": series}, **section}), Context(tmp_path, 0))
    assert whole(data.splits["train"]).targets["a_next"][:, 0, 0].tolist() == list(range(4, 16))
    assert whole(data.splits["test"]).targets["a_next"][:, 0, 0].tolist() == list(range(16, 20))


def windows(folder: Path, **section: Any) -> Any:
    rows = "".join(f"{i},{i * i}\n" for i in range(30))
    write(folder, f"a,b\n{rows}", "t.csv")
    series = {"source": {"csv": {"path": "t.csv"}}, "sequence_length": 4}
    inputs = {"past": [{"columns": ["a", "b"]}, "normalization"]}
    return parse_data(
        {"source": {"timeseries": series}, "inputs": inputs, "targets": {"a_next": [{"cast": "float32"}]}, **section}
    )


def test_windows_go_through_the_data_section(tmp_path: Path) -> None:
    data = load_data(windows(tmp_path), Context(tmp_path, 0), validation_split=0.25)
    assert data.facts.inputs["past"].shape == (4, 2)
    assert whole(data.splits["train"]).targets["a_next"].tolist() == list(range(4, 23))
    assert whole(data.splits["validation"]).targets["a_next"].tolist() == list(range(23, 30))


def test_the_paths_of_windows_are_rebased(tmp_path: Path) -> None:
    spec = windows(tmp_path)
    (tmp_path / "runs/one").mkdir(parents=True)
    moved = spec.rebased(tmp_path, tmp_path / "runs/one")
    assert moved.source.source.path == "../../t.csv"
    assert load_data(moved, Context(tmp_path / "runs/one", 0)).splits["train"].rows == 26


def test_many_windows_are_made_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(load_data(windows(tmp_path), Context(tmp_path, 0)).splits["train"]).inputs["past"]
    monkeypatch.setattr("kerascli.data.sources.wrapped.is_large", lambda nbytes: True)
    data = load_data(windows(tmp_path), Context(tmp_path, 0))
    assert type(data.splits["train"]).__name__ == "DiskSplit"
    np.testing.assert_array_equal(whole(data.splits["train"]).inputs["past"], expected)
    np.testing.assert_array_equal(data.splits["train"].read(np.array([9, 2])).inputs["past"], expected[[9, 2]])


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("a\n1\n2\n", {}, "'train' has 2 rows; a window takes 5"),
        ("a\n1\nx\n3\n", {"sequence_length": 1}, "'x' is not a number (1 of 3 rows)"),
        ("a\n1\n2\n", {"start_index": 9}, "'train' has 0 rows"),
    ],
)
def test_what_gives_no_windows_is_reported(text: str, settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(tmp_path, text, "t.csv")
    source = {"timeseries": {"source": {"csv": {"path": "t.csv"}}, "sequence_length": 4, **settings}}
    with pytest.raises(DataError, match=re.escape(said)):
        SOURCES.parse(source).load(Context(tmp_path, 0))


def test_a_raw_file_is_read_in_the_source_s_own_way(tmp_path: Path) -> None:
    spec, context = windows(tmp_path), Context(tmp_path, 0)
    learned = load_data(spec, context).learned
    write(tmp_path, "a,b\n" + "1,1\n" * 9, "new.csv")
    rows = fitted_preparer(spec, learned, targets=True).split(raw(spec, Path("new.csv"), context))
    assert rows.rows == 5
    (tmp_path / "t.txt").write_text("one, two\nthree\n")
    spec = parse_data({"source": {"text_lines": "t.txt"}, "inputs": {"text": ["text_vectorization"]}})
    assert raw(spec, Path("t.txt"), context).array("text").tolist() == ["one, two", "three"]


def test_lines_are_rows_without_the_empty_ones(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes('one\r\n\n  \nzwölf ,"\n'.encode())
    table = load({"text_lines": "t.txt"}, tmp_path)["train"]
    assert table.array("text").tolist() == ["one", 'zwölf ,"']
    assert str(table.place(1, "text")) == "t.txt:4:text"


def test_windows_of_text_and_what_follows(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefghij")
    table = load({"text_windows": {"path": "t.txt", "sequence_length": 3, "sequence_stride": 2}}, tmp_path)["train"]
    assert table.array("text").tolist() == ["abc", "cde", "efg", "ghi"]
    assert table.array("next").tolist() == ["d", "f", "h", "j"]
    assert table.array("shifted").tolist() == ["bcd", "def", "fgh", "hij"]


@pytest.mark.parametrize(
    ("contents", "said"),
    [(b"a\nb\xff\n", "not UTF-8 (byte 0xff)"), (b"", "the file has no text"), (b"\n\n", "the file has no text")],
)
def test_spoilt_text_is_refused_with_its_place(contents: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(contents)
    with pytest.raises(DataError, match=re.escape(said)):
        SOURCES.parse({"text_lines": "t.txt"}).load(Context(tmp_path, 0))
    with pytest.raises(DataError):
        SOURCES.parse({"text_windows": "t.txt"}).load(Context(tmp_path, 0))


def files(folder: Path, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_texts_in_folders_have_the_folders_as_classes(tmp_path: Path) -> None:
    files(tmp_path, {"d/pos/2.txt": b"good", "d/neg/1.txt": b"bad\r\n", "d/neg/sub/0.TXT": b"worse", "d/neg/x.md": b"-",
                     "d/.hidden/a.txt": b"-", "t/pos/9.txt": b"fine", "t/neg/8.txt": b"poor"})  # fmt: skip
    tables = load({"text_folder": {"directory": "d", "test": "t"}}, tmp_path)
    assert tables["train"].array("text").tolist() == ["bad\n", "worse", "good"]
    assert tables["train"].array("label").tolist() == [0, 0, 1]
    assert tables["test"].array("text").tolist() == ["poor", "fine"]
    assert load({"text_folder": {"directory": "d", "class_names": ["pos", "neg"]}}, tmp_path)["train"].array(
        "label"
    ).tolist() == [0, 1, 1]
    spec = parse_data(
        {"source": {"text_folder": "d"}, "inputs": {"text": ["text_vectorization"]}, "targets": {"label": []}}
    )
    assert data_facts(spec, Context(tmp_path, 0)).targets["label"].classes == ("neg", "pos")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"text_folder": "nowhere"}, "there is no such folder"),
        ({"text_folder": "empty"}, "expected a folder for each class"),
        ({"text_folder": {"directory": "d", "class_names": ["poss"]}}, "no folder for the class 'poss'; did you mean"),
        ({"text_folder": "none"}, "there are no files that end in .txt"),
        ({"text_folder": {"directory": "d", "test": "none"}}, "there is no folder for the class 'pos'"),
        ({"text_folder": {"directory": "none", "labels": None}}, "there are no files that end in .txt"),
        ({"text_folder": {"directory": "nowhere", "labels": None}}, "there is no such folder"),
    ],
)
def test_a_wrong_folder_is_reported(source: Any, said: str, tmp_path: Path) -> None:
    files(tmp_path, {"d/pos/2.txt": b"good", "none/a/b.md": b"-"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=re.escape(said)):
        SOURCES.parse(source).load(Context(tmp_path, 0))


def test_files_without_labels_are_those_of_the_folder(tmp_path: Path) -> None:
    files(tmp_path, {"d/2.txt": b"two", "d/sub/1.txt": b"one", "d/x.md": b"-"})
    table = load({"text_folder": {"directory": "d", "labels": None}}, tmp_path)["train"]
    assert list(table) == ["file", "text"]
    assert table.array("text").tolist() == ["two", "one"]


def images(folder: Path) -> list[Path]:
    """Write four images of different sizes, formats and colour modes, in two classes."""
    kinds = [("a/1.png", "RGBA"), ("a/2.jpg", "RGB"), ("b/1.gif", "P"), ("b/2.bmp", "L")]
    for number, (name, mode) in enumerate(kinds):
        (folder / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = RANDOM.integers(0, 256, (9 + number, 14, 3)).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / "d" / name)
    return [folder / "d" / name for name, _ in kinds]


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize(
    ("interpolation", "crop"), [("bilinear", False), ("nearest", True), ("bicubic", True), ("lanczos", False)]
)
def test_images_are_those_of_keras_load_img(color_mode: str, interpolation: str, crop: bool, tmp_path: Path) -> None:
    paths = images(tmp_path)
    settings = {"color_mode": color_mode, "interpolation": interpolation}
    source = {"directory": "d", "image_size": [7, 6], "crop_to_aspect_ratio": crop, **settings}
    table = load({"image_folder": source}, tmp_path)["train"]
    assert table.array("label").tolist() == [0, 0, 1, 1]
    for row, path in enumerate(paths):
        image = keras.utils.load_img(path, target_size=(7, 6), keep_aspect_ratio=crop, **settings)
        np.testing.assert_array_equal(table.array("image")[row], keras.utils.img_to_array(image))


def test_many_images_are_decoded_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path)
    spec = parse_data({
        "source": {"image_folder": {"directory": "d", "image_size": 8}},
        "inputs": {"image": [{"rescaling": 1 / 255}]}, "targets": {"label": []},
    })  # fmt: skip
    expected = whole(load_data(spec, Context(tmp_path, 0)).splits["train"]).inputs["image"]
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 100)
    data = load_data(spec, Context(tmp_path, 0))
    assert type(data.splits["train"]).__name__ == "DiskSplit"
    np.testing.assert_array_equal(data.splits["train"].read(np.array([3, 1])).inputs["image"], expected[[3, 1]])
    (tmp_path / "d/b/2.bmp").write_bytes(b"BM")
    with pytest.raises(DataError, match=r"not an image of a supported format \(bmp, gif, jpeg, png\)|damaged image"):
        data.splits["train"].read(slice(3, 4))


def refusal(path: Path, reading: image_files.Reading) -> str | None:
    """Return the place that is reported when a file is refused."""
    try:
        assert reading.decode(path).shape == (8, 8, 3)
    except DataError as error:
        (fault,) = error.faults
        return fault.place and fault.place.file
    return None


def test_hostile_images_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [png, jpg, *_] = images(tmp_path)
    reading = image_files.Reading((8, 8), "rgb", "bilinear", False)
    refused = 0
    for path in (png, jpg):
        sound = path.read_bytes()
        for _ in range(60):
            data = bytearray(sound)
            data[RANDOM.integers(len(data))] = RANDOM.integers(256)
            path.write_bytes(data[: RANDOM.integers(len(data) // 2, len(data) + 1)])
            refused += (place := refusal(path, reading)) is not None
            assert place in (None, str(path))
        path.write_bytes(sound)
    assert refused > 30
    monkeypatch.setattr(image_files, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="14 x 9 pixels; the limit here is 100, and"):
        reading.decode(png)


def test_sizes_that_are_learned_are_not_known_offline() -> None:
    inputs = {"question": [{"text_vectorization": {"split": "character", "standardize": None}}, "to_categorical"]}
    spec = parse_data({"source": "addition", "inputs": inputs})
    facts = data_facts(spec, Context(Path(), 0))
    assert not facts.known
    assert facts.inputs["question"].shape[0] is None
    assert load_data(spec, Context(Path(), 0)).facts.inputs["question"].shape == (7, 14)


def test_quotes_are_characters_where_the_file_has_them_as_such(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('"Hi," he said.\t"Dag\n"\t""\n')
    written = {"path": "t.tsv", "delimiter": "\t", "names": ["a", "b"]}
    context = Context(tmp_path, 0)
    table = SOURCES.parse({"csv": {**written, "quotes": False}}).load(context)["train"]
    assert table.text("a").tolist() == ['"Hi," he said.', '"']
    assert table.text("b").tolist() == ['"Dag', '""']
    with pytest.raises(DataError) as refused:
        SOURCES.parse({"csv": written}).load(context)
    hint = "if quotes in this file are characters like any other, set 'quotes: false' of the source"
    assert refused.value.faults[0].hint == hint
