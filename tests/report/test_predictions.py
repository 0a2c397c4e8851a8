"""The text of predictions is what Python's csv and json modules write, row by row."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from kerascli.report import predictions
from kerascli.report.predictions import csv_text, json_lines

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
