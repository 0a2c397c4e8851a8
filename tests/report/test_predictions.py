"""The text of predictions is what Python's csv and json modules write, row by row."""

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from kerascli.report import predictions
from kerascli.report.predictions import FORMATS, Predictions, csv_text, json_lines, write_predictions

RANDOM = np.random.default_rng(1)
NUMBERS = np.concatenate([RANDOM.random(500) * 10.0 ** RANDOM.integers(-8, 9, 500), [np.nan, np.inf, -np.inf, 0, -0.0]])
WORDS = np.array(["a", "b,c", 'd"e', "", "f\ng", "h\ri", " ", "é", "#", "x%s"], object)[RANDOM.integers(0, 10, 505)]
ROWS = np.arange(505)
COLUMNS = {
    "floats": {"x": NUMBERS.astype(np.float32), "y": NUMBERS},
    "words": {'of, "all" %s': WORDS, "": WORDS},
    "one of words": {"w": WORDS},
    "one without a name": {"": WORDS},
    "of each kind": {"w": WORDS, "n": ROWS, "b": ROWS % 2 == 0, "x": (ROWS / 7).astype(np.float16)},
    "no rows": {"w": WORDS[:0], "x": NUMBERS[:0]},
}


def digits(value: Any) -> str:
    return str(np.array(value).astype(str)) if np.isfinite(value) else ""


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_csv(columns: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_BLOCK_ROWS", 100)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([digits(each) if isinstance(each, np.floating) else each for each in row])
    assert csv_text(columns) == buffer.getvalue()
    header = csv_text({name: values[:0] for name, values in columns.items()})
    assert csv_text(columns, header=False) == buffer.getvalue().removeprefix(header)


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_json_lines(columns: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_BLOCK_ROWS", 100)
    expected = []
    for row in zip(*columns.values(), strict=True):
        cells = [
            None if each == "" or (isinstance(each, np.floating) and not np.isfinite(each)) else each for each in row
        ]
        cells = [float(digits(each)) if isinstance(each, np.floating) else each for each in cells]
        cells = [each.item() if isinstance(each, np.generic) else each for each in cells]
        expected.append(json.dumps(dict(zip(columns, cells, strict=True))) + "\n")
    assert json_lines(columns) == "".join(expected)


def part(rows: slice) -> Predictions:
    """Predictions of some of six rows, whose numbers `n` begin with missing ones."""
    numbers = np.array([None, None, None, 4, None, 6], object)[rows]
    names, values = np.array([*"abcabc"], object)[rows], np.arange(12.0, dtype=np.float32).reshape(6, 2)[rows]
    return Predictions({"n": numbers}, {"class": names, "p": values[:, 0]}, {"y": values}, len(values), 0, total=6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_parts_become_the_file_of_all_rows(suffix: str, tmp_path: Path) -> None:
    files = tmp_path / f"parts{suffix}", tmp_path / f"whole{suffix}"
    for file, cuts in zip(files, ([0, 3, 5, 6], [0, 6]), strict=True):
        parts = (part(slice(start, stop)) for start, stop in itertools.pairwise(cuts))
        write_predictions(file, parts, ["n"] * (suffix != ".npy"))
    if suffix == ".parquet":  # the parts are groups of rows of it
        tables = [pq.read_table(file) for file in files]
        assert tables[0].equals(tables[1])
        assert tables[0]["n"].to_pylist() == part(slice(6)).kept["n"].tolist()
    else:
        assert files[0].read_bytes() == files[1].read_bytes()
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(files[0]), part(slice(6)).outputs["y"])
