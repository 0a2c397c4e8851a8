"""Word pairs of the source skipgrams, compared with Keras's."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras.src.legacy.preprocessing.sequence import skipgrams

from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError
from tests.data.test_sources import load

TEXTS = ["The cat sat on the mat.", "the dog", "", "A dog and a cat: the dog sat"]
WORDS = [text.lower().replace(".", "").replace(":", "").split() for text in TEXTS]


def made(folder: Path, **settings: Any) -> Table:
    (folder / "t.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    return load({"skipgrams": {"source": {"text_lines": "t.txt"}, "seed": 3, **settings}}, folder)["train"]


def pairs(table: Table, label: int) -> list[tuple[Any, Any]]:
    chosen = table.array("label") == label
    return list(zip(table.array("word")[chosen].tolist(), table.array("context")[chosen].tolist(), strict=True))


@pytest.mark.parametrize("window", [1, 2, 9])
def test_near_words_are_the_pairs_of_keras_in_its_order(tmp_path: Path, window: int) -> None:
    ids = {word: number for number, word in enumerate(sorted({word for row in WORDS for word in row}), 1)}
    names = {number: word for word, number in ids.items()}
    theirs = [
        (names[one], names[other])
        for row in WORDS
        for one, other in skipgrams(
            [ids[word] for word in row], len(ids) + 1, window, negative_samples=0, shuffle=False
        )[0]
    ]
    assert pairs(made(tmp_path, window_size=window, shuffle=False), 1) == theirs
    assert sorted(pairs(made(tmp_path, window_size=window), 1)) == sorted(theirs)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, 3.0])
def test_each_word_occurs_with_random_words_as_often_as_with_near_ones(tmp_path: Path, share: float) -> None:
    table = made(tmp_path, negative_samples=share, shuffle=False)
    near, random = pairs(table, 1), pairs(table, 0)
    assert len(random) == int(len(near) * share)
    if share == int(share):
        assert sorted(word for word, _ in random) == sorted(word for word, _ in near * int(share))
    assert {other for _, other in random} <= {word for row in WORDS for word in row}


def test_random_words_are_uniform_and_the_same_for_one_seed(tmp_path: Path) -> None:
    one, again, other = (made(tmp_path, seed=seed, negative_samples=200) for seed in (1, 1, 2))
    assert pairs(one, 0) == pairs(again, 0) != pairs(other, 0)
    _, counts = np.unique([context for _, context in pairs(one, 0)], return_counts=True)
    expected = counts.sum() / len(counts)
    assert len(counts) == 8
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)  # five standard deviations


def test_rare_words_are_no_words_but_take_their_place(tmp_path: Path) -> None:
    table = made(tmp_path, window_size=1, vocabulary_size=3, shuffle=False)  # the 4 times, dog 3 times
    assert pairs(table, 1) == [("the", "dog"), ("dog", "the"), ("the", "dog"), ("dog", "the")]


def test_token_ids_are_paired_as_in_keras_and_0_is_no_word(tmp_path: Path) -> None:
    rows = np.array([[3, 1, 0, 2, 2], [1, 4, 4, 0, 0]])
    np.savez(tmp_path / "t.npz", x=rows)
    table = load(
        {"skipgrams": {"source": {"npz": "t.npz"}, "column": "x", "window_size": 2, "shuffle": False}}, tmp_path
    )
    theirs = [pair for row in rows.tolist() for pair in skipgrams(row, 5, 2, negative_samples=0, shuffle=False)[0]]
    assert pairs(table["train"], 1) == list(map(tuple, theirs))
    assert {context for _, context in pairs(table["train"], 0)} <= {1, 2, 3, 4}


def test_numbers_that_are_no_ids_and_lonely_words_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.ones((2, 3)), y=np.array([[1], [2]]))
    for column, text in (
        ("x", "expected texts or token ids in the column 'x', got float64"),
        ("y", "no words are near"),
    ):
        with pytest.raises(DataError, match=text):
            load({"skipgrams": {"source": {"npz": "t.npz"}, "column": column}}, tmp_path)
