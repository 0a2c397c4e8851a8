"""Sources of pairs, of images with masks, of squares and of painted words; n-grams of words."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kerascli.data.base import SOURCES, TRANSFORMS, Context, Field
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import parse_data
from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.errors import DataError
from kerascli.language.component import Invalid
from kerascli.workflow.rows.command_rows import kept_columns
from tests.data.test_sources import load
from tests.support.data_harness import whole
from tests.support.transform_harness import fitted, transformed

RANDOM = np.random.default_rng(2)


def classes_of(counts: list[int]) -> np.ndarray:
    return RANDOM.permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.mark.parametrize("counts", [[2, 2], [9, 2, 30], [5, 1000, 3, 3]])
def test_every_row_is_paired_with_one_of_its_class_and_one_of_another(counts: list[int], tmp_path: Path) -> None:
    y = classes_of(counts)
    np.savez(tmp_path / "t.npz", x=np.arange(len(y)), y=y)
    table = load_pairs(tmp_path)
    x, other, same = (table.array(name) for name in ("x", "x_other", "same"))
    assert x.tolist() == np.repeat(np.arange(len(y)), 2).tolist()
    assert same.tolist() == [1, 0] * len(y)
    assert ((y[x] == y[other]) == same).all()
    assert (x != other).all()
    assert sorted(other[::2]) == list(range(len(y)))  # each is once the partner of one of its class
    assert table.array("y_other").tolist() == y[other].tolist()


def load_pairs(folder: Path, **settings: Any) -> Any:
    return SOURCES.parse({"pairs": {"source": {"npz": "t.npz"}, **settings}}).load(Context(folder, 0))["train"]


def test_partners_of_another_class_are_drawn_evenly(tmp_path: Path) -> None:
    y = classes_of([3000, 2000, 1000])
    np.savez(tmp_path / "t.npz", x=np.arange(len(y)), y=y)
    table = load_pairs(tmp_path)
    drawn = y[table.array("x_other")[1::2]]
    of_first = drawn[y == 0]
    assert abs((of_first == 1).mean() - 2 / 3) < 4 * np.sqrt(2 / 9 / 3000)
    assert load_pairs(tmp_path).array("x_other").tolist() == table.array("x_other").tolist()
    assert load_pairs(tmp_path, seed=1).array("x_other").tolist() != table.array("x_other").tolist()


def test_many_pairs_are_made_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "t.npz", x=RANDOM.normal(size=(20, 3)), y=classes_of([8, 12]))
    section = {"source": {"pairs": {"source": {"npz": "t.npz"}}}, "inputs": {"x": [], "x_other": []}}
    spec = parse_data({**section, "targets": {"same": []}})
    expected = whole(load_data(spec, Context(tmp_path, 0)).splits["train"]).inputs
    monkeypatch.setattr("kerascli.data.sources.wrapped.is_large", lambda nbytes: True)
    split = load_data(spec, Context(tmp_path, 0)).splits["train"]
    assert type(split).__name__ == "DiskSplit"
    for name, values in expected.items():
        np.testing.assert_array_equal(split.read(np.array([7, 3])).inputs[name], values[[7, 3]])


def test_the_facts_of_pairs_are_those_of_the_rows() -> None:
    facts = SOURCES.parse({"pairs": "mnist"}).facts(Context(Path(), 0))
    assert facts is not None
    assert facts["x_other"] == facts["x"]
    assert facts["same"].num_classes == 2


@pytest.mark.parametrize(
    ("y", "settings", "said"),
    [
        ([0, 0, 0], {}, "'train': pairs need at least two classes in 'y', with two rows each"),
        ([0, 0, 1], {}, "with two rows each"),
        ([0, 0, 1, 1], {"label": "z"}, "there is no column 'z'"),
    ],
)
def test_what_gives_no_pairs_is_reported(y: list[int], settings: dict[str, str], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(len(y)), y=y)
    with pytest.raises(DataError, match=re.escape(said)):
        load_pairs(tmp_path, **settings)


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_a_mask_goes_with_the_image_of_its_name(tmp_path: Path) -> None:
    for name, shade in (("b", 200), ("a", 100)):
        picture(tmp_path / f"i/{name}.png", np.full((4, 6, 3), shade))
        picture(tmp_path / f"m/{name}_mask.gif", np.where(np.arange(24).reshape(4, 6) < shade / 10, 255, 0))
    picture(tmp_path / "m/c_mask.gif", np.zeros((4, 6)))  # a mask that nobody needs
    written = {"image_pairs": {"images": "i", "masks": "m", "mask_suffix": "_mask", "image_size": [8, 12]}}
    table = load(written, tmp_path)["train"]
    assert table.array("image")[:, 0, 0, 0].tolist() == [100, 200]
    assert np.unique(table.array("mask")).tolist() == [0, 255]  # no shades between, although the size is another
    assert (table.array("mask") > 0).sum(axis=(1, 2, 3)).tolist() == [4 * 10, 4 * 20]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["i/a.png"], "there is no such folder"),
        (["i/a.png", "i/b.png", "m/b.png"], "1 image without a mask, the first is 'a'"),
        (["i/a.png", "m/a.png", "m/a.gif"], "two images have the same name: 'a.gif' and 'a.png'"),
    ],
)
def test_images_without_their_mask_are_refused(files: list[str], said: str, tmp_path: Path) -> None:
    for file in files:
        picture(tmp_path / file, np.zeros((4, 4)))
    with pytest.raises(DataError, match=re.escape(said)):
        SOURCES.parse({"image_pairs": {"images": "i", "masks": "m"}}).load(Context(tmp_path, 0))


def test_the_next_frame_is_what_the_squares_do_next() -> None:
    table = load({"moving_squares": {"rows": 6, "frames": 5, "size": 20, "noise": 0.0}})["train"]
    x, y = table.array("x"), table.array("y")
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert set(np.unique(x)) == {0, 1}
    noisy = load({"moving_squares": {"rows": 6, "frames": 5, "size": 20}})["train"]
    np.testing.assert_array_equal(noisy.array("y"), y)
    assert 0 < np.abs(noisy.array("x") - x).mean() < 0.1


def test_painted_words_are_on_their_pictures() -> None:
    table = load({"painted_words": {"rows": 40, "letters": 3, "speckles": 0.0}})["train"]
    ink = (table.array("image") < 128).sum(axis=(1, 2, 3))
    lengths = np.array([len(word) for word in table.array("word")])
    assert set(lengths) == {1, 2, 3}
    assert ink.min() > 0
    assert ink[lengths == 3].mean() > 1.5 * ink[lengths == 1].mean()
    with pytest.raises(Invalid, match=r"image_size: expected at least \[16, 48\] for 4 letters, got \[32, 40\]"):
        SOURCES.parse({"painted_words": {"image_size": [32, 40]}})


@pytest.mark.parametrize("name", ["moving_squares", "painted_words"])
def test_made_pictures_depend_on_their_seed_alone(name: str) -> None:
    first, again, other = (load({name: {"rows": 5, "seed": seed}})["train"] for seed in (1, 1, 2))
    for column in first:
        np.testing.assert_array_equal(first.array(column), again.array(column))
    assert any((first.array(column) != other.array(column)).any() for column in first)


def rows_of(*rows: list[int]) -> np.ndarray:
    values = np.array([word for row in rows for word in row])
    return Tokens(values, np.array([len(row) for row in rows])).sequences()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_runs_of_words_are_numbered_behind_the_words(n: int) -> None:
    """Compared with the definition: sets of tuples of adjacent words in a row."""
    train = [RANDOM.integers(0, 5, size).tolist() for size in (6, 1, 0, 4, 9)]
    new = [RANDOM.integers(0, 5, size).tolist() for size in (7, 2)]
    step = TRANSFORMS.parse({"ngrams": n})
    field = Field((None,), "sequence", vocabulary_size=5)
    learned = fitted(step, rows_of(*train), field)
    numbers: dict[tuple[int, ...], int] = {}
    for width in range(2, n + 1):
        known = sorted({tuple(row[i : i + width]) for row in train for i in range(len(row) - width + 1)})
        numbers |= {run: 5 + len(numbers) + place for place, run in enumerate(known)}
    assert step.infer(field, learned, target=False).vocabulary_size == 5 + len(numbers)
    for rows in (train, new):
        found = transformed(step, rows_of(*rows), learned, field)
        for row, got in zip(rows, found, strict=True):
            runs = [tuple(row[i : i + width]) for width in range(2, n + 1) for i in range(len(row) - width + 1)]
            assert got.tolist() == row + [numbers[run] for run in runs if run in numbers]


def test_runs_of_too_many_words_are_refused() -> None:
    step, field = TRANSFORMS.parse({"ngrams": 4}), Field((None,), "sequence", vocabulary_size=100_000)
    with pytest.raises(ValueError, match="a vocabulary of 100,000 is too large for n-grams of 4"):
        fitted(step, rows_of([1, 2]), field)


def test_ragged_rows_of_words_are_padded_as_each_input_says() -> None:
    words = {"text_vectorization": {"ragged": True, "standardize": None}}
    section = {"source": {"stories": {"rows": 50, "pairs": 2}}, "shared": {"words": words}}
    inputs = {"story": ["words", "pad_sequences"], "question": ["words", {"pad_sequences": {"padding": "post"}}]}
    data = load_data(parse_data({**section, "inputs": inputs}), Context(Path(), 0))
    story, question = (whole(data.splits["train"]).inputs[name] for name in ("story", "question"))
    tables = SOURCES.parse({"stories": {"rows": 50, "pairs": 2}}).load(Context(Path(), 0))["train"]
    lengths = np.array([len(text.split()) for text in tables.array("story")])
    assert story.shape == (50, lengths.max())
    assert ((story != 0).sum(1) == lengths).all()
    assert (story[:, -1] != 0).all()
    assert question.shape == (50, 4)
    assert data.facts.inputs["story"].vocabulary_size == data.facts.inputs["question"].vocabulary_size
    step = TRANSFORMS.parse(words)
    texts = np.array(["a b", "a"], object)
    assert transformed(step, texts, fitted(step, texts))[1].tolist() == [2]


@pytest.mark.parametrize("words", ["string_lookup", {"text_vectorization": {"split": "character"}}])
def test_a_vocabulary_that_a_target_shares_with_an_input_counts_its_classes(words: Any) -> None:
    section = {"source": {"stories": {"rows": 30}}, "shared": {"words": words}}
    spec = parse_data(
        {**section, "inputs": {"said": [{"columns": "answer"}, "words"]}, "targets": {"answer": ["words"]}}
    )
    facts = load_data(spec, Context(Path(), 0)).facts
    assert facts.targets["answer"].num_classes == facts.inputs["said"].vocabulary_size


def words_and_vectors(folder: Path, vectors: str) -> Any:
    (folder / "v.txt").write_text(vectors)
    (folder / "t.csv").write_text("text\nno yes no\nno maybe\n")
    steps = [{"text_vectorization": {"output_sequence_length": 3}}, {"word_vectors": "v.txt"}]
    return parse_data({"source": {"csv": {"path": "t.csv"}}, "inputs": {"text": steps}})


def test_words_with_blanks_are_passed_over(tmp_path: Path) -> None:
    """As in glove.840B.300d.txt."""
    text = "yes 1 2\nyes name@domain.com 5 6\n. . . 7 8\nno 3 4\nno . 5 6\n"
    data = load_data(words_and_vectors(tmp_path, text), Context(tmp_path, 0))
    found = data.input_stage({"text": torch.from_numpy(whole(data.splits["train"]).inputs["text"])})["text"]
    assert sorted(set(map(tuple, found.reshape(-1, 2).tolist()))) == [(0, 0), (1, 2), (3, 4)]


@pytest.mark.parametrize("head", ["", "3 2\n"])
def test_words_become_the_vectors_of_a_file(head: str, tmp_path: Path) -> None:
    data = load_data(words_and_vectors(tmp_path, head + "yes 1 2\nthe 9 9\nno -0.5 1e-1\n"), Context(tmp_path, 0))
    assert data.facts.inputs["text"].shape == (3, 2)
    found = data.input_stage({"text": torch.from_numpy(whole(data.splits["train"]).inputs["text"])})["text"]
    no, yes, none = [-0.5, 0.1], [1, 2], [0, 0]
    np.testing.assert_allclose(found, [[no, yes, no], [no, none, none]], rtol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ("yes 1 2\nno 1\n", ":2: 1 numbers, others have 2"),
        ("yes 1 x\n", ":1: expected a word and its vector"),
        ("the 1 2\n", "none of the 3 words of the vocabulary is in the file"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(vectors: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_data(words_and_vectors(tmp_path, vectors), Context(tmp_path, 0))
    [fault] = caught.value.faults
    line = f":{fault.place.line}: " if fault.place else ""
    assert said in line + fault.text


SERIES = {"csv": {"path": "s.csv"}}


def series(folder: Path) -> dict[str, Any]:
    lines = [f"{shop},{day},{day * 7 % 5},{day % 2}" for day in range(20) for shop in ("north", "south")]
    (folder / "s.csv").write_text("\n".join(["shop,day,x,y", *lines, ""]))
    return {"timeseries": {"source": SERIES, "sequence_length": 3, "group": "shop"}}


def test_pairs_of_windows_keep_the_series_that_they_are_of(tmp_path: Path) -> None:
    source = {"pairs": {"source": series(tmp_path), "label": "y_next"}}
    section = {"source": source, "inputs": {"x": [], "x_other": []}, "targets": {"same": []}}
    spec = parse_data(section)
    found = load_data(spec, Context(tmp_path, 0), validation_split=0.25)
    run: Any = SimpleNamespace(data=spec, raw_fields={})
    for name, rows in {"train": 25, "validation": 9}.items():  # 17 windows of each series, in pairs
        origin = found.splits[name].origin
        assert origin is not None
        words, counts = np.unique(origin.table.array("shop"), return_counts=True)
        assert dict(zip(words, counts.tolist(), strict=True)) == {"north": rows, "south": rows}
        assert kept_columns(run, found.splits[name], [])["shop"].tolist() == origin.table.array("shop").tolist()


def test_the_words_of_a_series_are_the_partners_too(tmp_path: Path) -> None:
    table = SOURCES.parse({"pairs": {"source": series(tmp_path), "label": "y_next"}}).load(Context(tmp_path, 0))[
        "train"
    ]
    assert set(table.array("shop_other")) == {"north", "south"}


@pytest.mark.parametrize("group", [None, "day"])
def test_windows_of_windows_are_of_the_same_series(group: str | None, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"group: expected 'shop', which tells the series of its source apart"):
        SOURCES.parse({"timeseries": {"source": series(tmp_path), "sequence_length": 2, "group": group}})


def test_classes_and_values_may_be_words(tmp_path: Path) -> None:
    shops = ["north", "south", "west"]
    lines = [f"{number},{shops[number % 3]},note {number},{number / 2}" for number in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["id,shop,note,x", *lines, ""]))
    section = {"pairs": {"source": {"csv": {"path": "t.csv"}}, "label": "shop"}}
    table = SOURCES.parse(section).load(Context(tmp_path, 0))["train"]
    one, other = (table.array(name) for name in ("id", "id_other"))
    assert table.array("same").tolist() == [int(a % 3 == b % 3) for a, b in zip(one, other, strict=True)]
    assert table.array("note_other").tolist() == [f"note {number}" for number in other]
    assert table.array("shop").tolist() == [shops[number % 3] for number in one]


@pytest.mark.parametrize("gap", ["north,\n", ",1\n"], ids=["of words", "of numbers"])
def test_a_row_without_a_class_is_named(gap: str, tmp_path: Path) -> None:
    label = "shop" if gap.startswith(",") else "number"
    (tmp_path / "t.csv").write_text("shop,number\n" + "north,1\nsouth,2\n" * 3 + gap)
    with pytest.raises(DataError, match="a missing class; pairs need one in each row") as caught:
        SOURCES.parse({"pairs": {"source": {"csv": {"path": "t.csv"}}, "label": label}}).load(Context(tmp_path, 0))
    assert str(caught.value.faults[0].place) == f"t.csv:8:{label}"
