"""A fault of one value names the file, row and column, wherever in the pipeline it is found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from kerascli.data.storage.delimited.csv_text import MAX_FIELD
from kerascli.foundation.errors import KerasCliError
from kerascli.workflow.check import check
from tests.support.runs_harness import write

ROWS = 24
FORMATS = ["csv", "parquet", "npz"]
WORDS = np.array([["cat", "dog", "owl"][row % 3] for row in range(ROWS)], object)
COLUMNS: dict[str, np.ndarray] = {
    "a": np.arange(ROWS) / 2, "b": np.arange(ROWS) / 4, "n": np.arange(ROWS) % 3, "w": WORDS,
    "m": np.arange(ROWS) % 3, "v": np.roll(WORDS, 1),
}  # fmt: skip
BAD = 17
"""Index (from 0) of the invalid row."""


def table(folder: Path, form: str, columns: Mapping[str, np.ndarray]) -> str:
    """Write columns as a file of a format; return its name."""
    path = folder / f"t.{form}"
    if form == "csv":
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif form == "parquet":
        parquet.write_table(pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()}), path)
    else:
        np.savez(path, **{k: v.astype(str) if v.dtype == object else v for k, v in columns.items()})  # type: ignore[arg-type]
    return path.name


def fault(folder: Path, form: str, data: str, more: str = "", **spoilt: Any) -> tuple[str, str]:
    """Return the place and the text of the error of `validate` for a table with one wrong value."""
    columns = {name: values.copy() for name, values in COLUMNS.items()}
    for name, value in spoilt.items():
        values = columns[name] if not isinstance(value, str) else columns[name].astype(object)
        values = values.astype(float) if isinstance(value, float) else values
        values[BAD] = value
        columns[name] = values
    name = table(folder, form, columns)
    path = write(folder, f"data: {{source: {{{form}: {name}}}, {data}}}\n{more or DENSE}\n")
    with pytest.raises(KerasCliError) as refused:
        check(path, sets=[], flags=[])
    (found,) = refused.value.faults
    assert refused.value.exit_code == 3, found
    return str(found.place), found.text


DENSE = "model: {layers: [{dense: 3}]}\ncompile: {loss: mse}"
SPARSE = "model: {layers: [{dense: {units: 3, activation: softmax}}]}\ncompile: {loss: sparse_categorical_crossentropy}"
TOKENS = "model: {layers: [{embedding: {input_dim: 3, output_dim: 2}}, flatten, {dense: 1}]}\ncompile: {loss: mse}"
BINARY = "model: {layers: [{dense: {units: 1, activation: sigmoid}}]}\ncompile: {loss: binary_crossentropy}"
SPLIT = "split: {test: 0.25, seed: 4}, "
CASES = {
    "a label beyond the outputs": (
        f"{SPLIT}inputs: {{x: {{columns: [a, b]}}}}, targets: {{n: []}}", SPARSE, {"n": 7}, "n"
    ),
    "a binary label that is 2": (
        "inputs: {x: {columns: [a, b]}}, targets: {y: {columns: n}}", BINARY, {"n": 2.0}, None
    ),
    "a token beyond an embedding": (
        f"{SPLIT}inputs: {{x: {{columns: [n, m]}}}}, targets: {{y: {{columns: a}}}}", TOKENS, {"m": 9}, "m"
    ),
    "a class beyond num_classes": (
        f"{SPLIT}inputs: {{x: {{columns: a}}}}, targets: {{n: [{{to_categorical: 3}}]}}", "", {"n": 8}, "n"
    ),
    "a missing value in one of two columns": (
        "inputs: {x: [{columns: [a, b]}, normalization]}, targets: {n: []}", "", {"b": float("nan")}, "b"
    ),
    "a missing value without a step": (
        "inputs: {x: {columns: [a, b]}}, targets: {n: []}", "", {"b": float("nan")}, "b"
    ),
    "a missing label": ("inputs: {x: {columns: a}}, targets: {b: []}", "", {"b": float("nan")}, "b"),
    "a fraction that is cast": (
        "inputs: {x: [{columns: [b, a]}, {rescaling: 4}, {cast: int64}]}, targets: {n: []}", "", {"b": 0.1}, "b"
    ),
    "a category out of range": (
        "inputs: {x: [{columns: n}, {category_encoding: {num_tokens: 3}}]}, targets: {a: []}", "", {"n": 5}, "n"
    ),
    "an unknown word in one of two columns": (
        "inputs: {x: [{columns: [w, v]}, {string_lookup: {vocabulary: [cat, dog, owl], num_oov_indices: 0}}]}, "
        "targets: {a: []}", "", {"v": "emu"}, "v"
    ),
    "an unknown label": (
        "inputs: {x: {columns: a}}, targets: {y: [{columns: w}, {string_lookup: {vocabulary: [cat, dog, owl]}}]}", "",
        {"w": "emu"}, "w"
    ),
    "a missing word under a shared lookup": (
        "shared: {words: string_lookup}, inputs: {p: [{columns: w}, words], q: [{columns: v}, words]}, "
        "targets: {a: []}", "", {"v": ""}, "v"
    ),
    "a negative weight": (
        "inputs: {x: {columns: a}}, targets: {n: []}, sample_weight: {n: {columns: b}}", "", {"b": -1.0}, "b"
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_a_value_is_reported_by_file_row_and_column(case: str, form: str, tmp_path: Path) -> None:
    data, more, spoilt, column = CASES[case]
    if form != "csv" and spoilt.get(column or "") == "":
        pytest.skip("an empty text is a missing one in csv files alone")
    place, text = fault(tmp_path, form, data, more, **spoilt)
    row = 2 if column is None else BAD  # of the binary labels the first 2 is in row 2
    assert place == f"t.{form}:{row + (2 if form == 'csv' else 1)}:{column or 'n'}", text


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda line: line.replace("dog", "d" * (MAX_FIELD + 1), 1), "t.csv:3: a field of more than"),
        (lambda line: line.replace("dog", "d\0g", 1), "t.csv:3: a zero byte in the text (in column 'w')"),
        (lambda line: line.replace("dog", "dog,owl", 1), "t.csv:3: 7 fields, the header has 6"),
    ],
)
def test_a_text_that_is_not_sound_is_reported_by_its_line(spoil: Any, said: str, tmp_path: Path) -> None:
    name = table(tmp_path, "csv", COLUMNS)
    (tmp_path / name).write_text(spoil((tmp_path / name).read_text(encoding="utf-8")), encoding="utf-8")
    path = write(tmp_path, f"data: {{source: {{csv: {name}}}, inputs: {{a: []}}, targets: {{n: []}}}}\n{DENSE}\n")
    with pytest.raises(KerasCliError) as refused:
        check(path, sets=[], flags=[])
    assert f"{refused.value.faults[0].place}: {refused.value.faults[0].text}".startswith(said)


WINDOWS = "{timeseries: {sequence_length: 3, sampling_rate: 2, source: {csv: t.csv}}}"
PAIRS = "{pairs: {label: n, source: {csv: t.csv}}}"


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (WINDOWS, "inputs: {b: []}, targets: {a_next: []}"),
        (WINDOWS, "inputs: {x: {columns: b}}, targets: {a_next: []}"),
        (WINDOWS, "inputs: {a: []}, targets: {b_next: []}"),
        (PAIRS, "inputs: {b: [], a: []}, targets: {same: []}"),
        (PAIRS, "inputs: {b_other: [], a: []}, targets: {same: []}"),
    ],
)
@pytest.mark.parametrize("value", ["", "many"])
def test_a_value_of_rows_that_are_made_of_others_is_reported_where_it_stands(
    source: str, data: str, value: str, tmp_path: Path
) -> None:
    columns = {**COLUMNS, "b": COLUMNS["b"].astype(object)}
    columns["b"][BAD] = value
    table(tmp_path, "csv", columns)
    path = write(tmp_path, f"data: {{source: {source}, {data}}}\n{DENSE}\n")
    with pytest.raises(KerasCliError) as refused:
        check(path, sets=[], flags=[])
    assert str(refused.value.faults[0].place) == f"t.csv:{BAD + 2}:b"
