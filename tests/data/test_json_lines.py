"""JSON Lines as columns; what is not sound is an error with its line."""

from pathlib import Path

import numpy as np
import pytest

from kerascli.data.base import SOURCES, Context
from kerascli.data.storage.column import Column
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.row_errors import BadRows
from kerascli.foundation.errors import DataError


def test_keys_are_columns_of_the_types_that_json_has() -> None:
    table = read_json_lines(
        b'{"n": 1, "x": 0.5, "word": "a", "mixed": 7, "list": [1, 2], "flag": true}\n\n'
        b'{"n": 2, "x": null, "word": "", "mixed": "b", "list": [3, 4], "flag": false}\n'
        b'{"n": 3, "word": "07", "mixed": 1.5, "list": [5, 6], "flag": true}',
        "rows.jsonl",
    )
    assert table.rows == 3
    assert table.numbers().tolist() == [1, 3, 4]  # the blank line counts
    np.testing.assert_array_equal(table["n"], np.array([1, 2, 3]), strict=True)
    np.testing.assert_array_equal(table["x"], [0.5, np.nan, np.nan])
    assert table.array("word").tolist() == ["a", "", "07"]  # a text stays one, whatever it looks like
    assert table.array("mixed").tolist() == ["7", "b", "1.5"]
    np.testing.assert_array_equal(table["list"], np.array([[1, 2], [3, 4], [5, 6]]), strict=True)
    assert table.array("flag").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["7", "null", "0.5"], ["7", "", "0.5"]),
        (["7", "8"], ["7", "8"]),
        (["7.0", "1e2"], ["7.0", "100.0"]),
        (["true", "7"], ["true", "7"]),
        (["18446744073709551615", "1"], ["18446744073709551615", "1"]),
        (['"7.0"', "7"], ["7.0", "7"]),
    ],
)
def test_a_value_as_text_does_not_depend_on_the_others(cells: list[str], words: list[str]) -> None:
    rows = [f'{{"a": {cell}}}'.encode() for cell in cells]
    assert read_json_lines(b"\n".join(rows), "f").text("a").tolist() == words
    assert [read_json_lines(row, "f").text("a").tolist() for row in rows] == [[word] for word in words]


def test_lists_are_no_text() -> None:
    with pytest.raises(DataError, match="'a' holds lists of numbers, text is expected"):
        read_json_lines(b'{"a": [1, 2]}', "f").text("a")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"a": 1}\n[2]', "f:2", r"expected an object \{...\}, got a list"),
        ('{"a": 1}\n{"a": 2', "f:2", r"not valid JSON: Expecting ',' delimiter \(column 8\)"),
        ('{"a": NaN}', "f:1", "NaN is not a number of JSON; null is a missing value"),
        ('{"a": 1, "a": 2}', "f:1", "a key appears twice"),
        ('{"a": 1}\n\n{"a": {"b": 1}}', "f:3:a", "expected a number, a text or a list of numbers, got an object"),
        ('{"a": [1, "x"]}', "f:1:a", "got a list"),
        ('{"a": [1, 2]}\n{"a": [1]}', "f:2:a", r"of shape \(2,\), as in the first line, got a list of shape \(1,\)"),
        ('{"a": [1, 2]}\n{"a": null}', "f:2:a", "got null"),
        ('{"a": "x"}\n{"a": "\\ud83d"}', "f:2:a", "half a character"),
        ("\n\n", "f:1", "the file is empty"),
        ("{}", "f:1", "there are no columns"),
        ('{"a": ' + "[" * 100_000, "f:1", "not valid JSON: maximum recursion depth"),
    ],
)
def test_a_line_that_is_not_sound_is_named(text: str, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_json_lines(text.encode(), "f")
    assert str(error.value.faults[0].place) == line


@pytest.mark.parametrize(
    ("source", "text"),
    [("json_lines", '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'), ("tsv", "a\tb\n1\tx\n2\ty\n")],
)
def test_they_are_sources(tmp_path: Path, source: str, text: str) -> None:
    (tmp_path / "rows").write_text(text)
    table = SOURCES.parse({source: {"path": "rows"}}).load(Context(tmp_path, 0))["train"]
    assert table.array("a").tolist() == [1, 2]
    assert table.array("b").tolist() == ["x", "y"]


def test_an_error_has_all_rows_that_are_not_sound() -> None:
    lines = ['{"a": [1, 2]}', '{"a": [1]}', '{"a": null}', '{"a": {}}', '{"a"', "7", '{"a": [3, 4]}']
    with pytest.raises(BadRows) as caught:
        read_json_lines("\n".join(lines).encode(), "f")
    assert sorted(caught.value.rows) == [1, 2, 3, 4, 5]
    assert str(caught.value.faults[0].place) == "f:4:a"


@pytest.mark.parametrize(
    ("cells", "dropped"),
    [
        (["1", "null", "2"], 1), (["1", "2.5", "3"], 1), (["1", '"x"', "2.5"], 1), (["true", "null", "false"], 1),
        (['"7"', '"x"', '"8"'], 1), (['"7"', "8", '"x"'], 2), (["[1, 2]", "[1, 2]", "[3, 4]"], 0),
    ],
)  # fmt: skip
def test_a_column_without_a_row_is_that_of_a_file_without_it(cells: list[str], dropped: int) -> None:
    lines = [f'{{"a": {cell}}}'.encode() for cell in cells]
    kept = np.delete(np.arange(len(cells)), dropped)
    column = read_json_lines(b"\n".join(lines), "f").columns["a"]
    assert isinstance(column, Column)
    expected = read_json_lines(b"\n".join(lines[index] for index in kept), "f")["a"]
    assert isinstance(expected, np.ndarray)
    np.testing.assert_array_equal(column.reread(column, kept).array(), expected, strict=True)
