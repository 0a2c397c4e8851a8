"""Counts of values that are not in a vocabulary, beside those made value by value."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kerascli.data.base import Context
from kerascli.data.batches.rows import DiskSplit
from kerascli.data.pipeline.prepare import load_data, prepare_rows
from kerascli.data.section import parse_data
from kerascli.data.storage import on_disk
from kerascli.data.storage.table import table_of
from kerascli.foundation.errors import DataError

TRAINING = {
    "text": ["a b", "b c c", "a"],
    "colour": ["red", "blue", "red"],
    "other": ["red", "red", "red"],
    "n": [1, 2, 2],
}
NEW = {
    "text": ["a x y", "zz", "a x y", "c", "a x y", "b"],
    "colour": ["red", "green", "green", "red", "red", "red"],
    "other": ["blue", "red", "green", "red", "blue", "blue"],
    "n": [1, 9, 8, 7, 2, 2],
}
VECTORS = {"text_vectorization": {"output_mode": "count"}}


def rows_of(folder: Path, columns: dict[str, list[Any]], name: str) -> Path:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def warnings_of(folder: Path, steps: list[Any], new: dict[str, list[Any]]) -> list[str]:
    """Warnings about new rows, of pipelines that were fitted to others; both are read from CSV."""
    rows_of(folder, TRAINING, "train.csv")
    spec = parse_data(
        {"source": {"csv": {"path": "train.csv"}}, "inputs": {"x": steps}, "targets": {"y": [{"columns": "n"}]}}
    )
    learned = load_data(spec, Context(folder, 1)).learned
    table = spec.source.read(rows_of(folder, new, "new.csv"), "new.csv")
    assert table is not None
    return [str(fault.text) for fault in prepare_rows(spec, learned, table, targets=False).oov.warnings()]


def said(noun: str, column: str, oov: int, values: int, where: str) -> str:
    share = f"{oov / values:.0%}"
    return f"{share} of the {noun} in column '{column}' are not in the vocabulary of training ({where})"


WORDS = " ".join(NEW["text"]).split()
UNKNOWN = [word for word in WORDS if word not in {"a", "b", "c"}]


@pytest.mark.parametrize("repeated", [1, 4])
@pytest.mark.parametrize("step", ["text_vectorization", VECTORS, {"text_vectorization": {"output_mode": "tf_idf"}}])
def test_words_are_counted_as_often_as_they_occur_whatever_becomes_of_them(
    step: Any, repeated: int, tmp_path: Path
) -> None:
    new = {name: values * repeated for name, values in NEW.items()}
    expected = [said("words", "text", len(UNKNOWN), len(WORDS), "text_vectorization, 3 tokens")]
    assert warnings_of(tmp_path, [{"columns": "text"}, step], new) == expected


def test_masked_values_are_not_counted_and_a_share_below_a_tenth_is_no_warning(tmp_path: Path) -> None:
    masked: list[Any] = [{"columns": "colour"}, {"string_lookup": {"mask_token": "none"}}]
    few = {"colour": ["red"] * 9 + ["green", "none"], "text": ["a"] * 11, "other": ["red"] * 11, "n": [1] * 11}
    where = "string_lookup, 2 values"
    assert warnings_of(tmp_path, masked, few) == [said("values", "colour", 1, 10, where)]
    few["colour"][-1] = "blue"
    assert warnings_of(tmp_path, masked, few) == []


def test_each_column_has_its_own_share(tmp_path: Path) -> None:
    steps: list[Any] = [{"columns": ["colour", "other"]}, "string_lookup"]
    assert warnings_of(tmp_path, steps, NEW) == [
        said("values", "colour", 2, 6, "string_lookup, 2 values"),
        said("values", "other", 1, 6, "string_lookup, 2 values"),
    ]
    assert warnings_of(tmp_path, [{"columns": "n"}, "integer_lookup"], NEW) == [
        said("values", "n", 3, 6, "integer_lookup, 2 values")
    ]
    space = {"features": {"colour": "string_categorical", "n": "integer_categorical", "other": "string_hashed"}}
    assert warnings_of(tmp_path, [{"feature_space": space}], NEW) == [
        said("values", "colour", 2, 6, "feature_space, 2 values"),
        said("values", "n", 3, 6, "feature_space, 2 values"),
    ]


@pytest.mark.parametrize(("most", "lacking"), [(2, "33%"), (9, None)])
@pytest.mark.parametrize("component", ["string_lookup", "text_vectorization"])
def test_values_that_max_tokens_cuts_from_the_training_rows_count_only_beyond_their_share_there(
    component: str, most: int, lacking: str | None, tmp_path: Path
) -> None:
    most += component == "text_vectorization"  # which has a place for padding, too
    rows_of(tmp_path, TRAINING, "train.csv")
    steps: list[Any] = [{"columns": "colour"}, {component: {"max_tokens": most}}]
    spec = parse_data(
        {"source": {"csv": {"path": "train.csv"}}, "inputs": {"x": steps}, "targets": {"y": [{"columns": "n"}]}}
    )
    learned = load_data(spec, Context(tmp_path, 1)).learned

    def warnings(colours: list[str]) -> list[str | None]:
        table = table_of({"colour": np.array(colours, object)}, "new")
        return [fault.hint for fault in prepare_rows(spec, learned, table, targets=False).oov.warnings()]

    assert warnings(TRAINING["colour"]) == []
    hint = None if lacking is None else (
        f"max_tokens has limited the vocabulary: it lacks {lacking} of those in the training rows"
    )  # fmt: skip
    assert warnings(["green", "green"]) == [hint]


def test_rows_on_disk_are_counted_when_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "rows.npz", n=np.arange(8), y=np.arange(8.0))
    spec = parse_data(
        {"source": {"npz": {"path": "rows.npz"}}, "inputs": {"n": ["integer_lookup"]}, "targets": {"y": []}}
    )
    learned = load_data(spec, Context(tmp_path, 1)).learned
    np.savez(tmp_path / "rows.npz", n=np.arange(4, 12), y=np.arange(8.0))
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
    split = load_data(spec, Context(tmp_path, 1), learned=learned).splits["train"]
    assert isinstance(split, DiskSplit)
    assert split.oov.warnings() == []
    split.read(slice(1, 8))
    assert [fault.text for fault in split.oov.warnings()] == [said("values", "n", 4, 8, "integer_lookup, 8 values")]


def test_rows_that_can_only_be_read_in_order_are_counted_with_their_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {
        "source": {"parquet": {"path": "rows.parquet"}}, "inputs": {"word": ["string_lookup"]}, "targets": {"y": []},
    }  # fmt: skip
    spec = parse_data(section)

    def write(words: list[str]) -> None:
        pq.write_table(pa.table({"word": words, "y": np.arange(40.0)}), tmp_path / "rows.parquet")

    write(["a", "b"] * 20)
    learned = load_data(spec, Context(tmp_path, 1)).learned
    write(["a", "c"] * 20)
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
    split = load_data(spec, Context(tmp_path, 1), learned=learned).splits["train"]
    assert isinstance(split, DiskSplit)
    split.read(slice(0, 40))
    [warning] = split.oov.warnings()
    assert warning.text == said("values", "word", 20, 40, "string_lookup, 2 values")


def test_a_value_that_has_no_index_stays_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="string 'green' is not in the vocabulary of 2"):
        warnings_of(tmp_path, [{"columns": "colour"}, {"string_lookup": {"num_oov_indices": 0}}], NEW)
