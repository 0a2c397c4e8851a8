"""Rows of a stream: what is predicted and kept of a row does not depend on those that arrive together with it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kerascli.foundation.errors import DataError
from kerascli.report.predictions import Predictions, csv_text, json_lines
from kerascli.runs.record import RunRecord
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import Form, predict_run
from kerascli.workflow.stream import predict_stream
from tests.support.runs_harness import train, write
from tests.workflow.test_command_input import ROWS


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rows.csv").write_text("a;b;kind;y\n1;2;7;1\n1;2;x;2\n1;2;1.5;3\n1;3;a;2\n1;3;b;2\n")
    return train(write(folder, ROWS), folder / "runs")[0]


def alone(lines: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Lines of a stream that arrive one by one."""
    return [[line] for line in lines]


@pytest.mark.parametrize(
    ("header", "rows", "kept"),
    [
        ("id;a;b;kind", ["007;1;2;a", "x;2;2;7", "8;2;2;b", "1.50;2;2;7.0", ";1;1;b"], ["007", "x", 8, 1.5, None]),
        (
            "",
            [f'{{"id": {x}, "a": 1, "b": 2, "kind": {k}}}' for x, k in [("1", '"a"'), ("null", "7"), ("2.0", "1.5")]],
            [1, None, 2.0],
        ),
        (
            "",
            [f'{{"id": {x}, "a": 1, "b": 2, "kind": {k}}}' for x, k in [("true", "7"), ("7", "0"), ('"7"', "7.0")]],
            [1, 7, "7"],
        ),
    ],
)
def test_a_kept_value_does_not_depend_on_what_arrived_with_it(
    header: str, rows: list[str], kept: list[object], table: RunRecord
) -> None:
    run = open_run(table)
    lines = [f"{line}\n".encode() for line in ([header] if header else []) + rows]
    for arrivals in ([lines], alone(lines)):
        found = [each for each in predict_stream(run, arrivals, Form(), ["id"]) if isinstance(each, Predictions)]
        text = "".join(json_lines(each.table()) for each in found)
        answers = [json.loads(line)["id"] for line in text.splitlines()]
        assert (answers, list(map(type, answers))) == (kept, list(map(type, kept)))


def test_a_number_in_a_column_of_text_is_the_same_word_beside_any_other(table: RunRecord, tmp_path: Path) -> None:
    run = open_run(table)
    lines = [f'{{"a": 1, "b": 2, "kind": {kind}}}\n'.encode() for kind in ("7", "1.5")]
    together = [each.outputs for each in predict_stream(run, [lines], Form()) if isinstance(each, Predictions)]
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
    rows = predict_run(run, str(tmp_path / "rows.jsonl"))
    words = [f"1;2;{kind}\n".encode() for kind in ("7", "1.5")]
    oracle = list(predict_stream(run, alone([b"a;b;kind\n", *words]), Form()))
    expected = np.concatenate([next(iter(each.outputs.values())) for each in oracle if isinstance(each, Predictions)])
    for found in (together[0], rows.outputs):
        np.testing.assert_allclose(next(iter(found.values())), expected, rtol=1e-5)


def test_a_csv_answer_has_kept_cells_as_they_are_written(table: RunRecord) -> None:
    lines = [b"id;a;b;kind\n", b"007;1;2;a\n", b"8;1;2;a\n", b'"x;y";1;2;a\n', b";1;2;a\n", b"1e400;1;2;a\n"]
    (found,) = predict_stream(open_run(table), [lines], Form(), ["id"])
    assert isinstance(found, Predictions)
    assert csv_text({"id": found.kept["id"]}) == 'id\n007\n8\nx;y\n""\n1e400\n'


CSV = "id;a;b;kind\nx;1;2;a\n;1;2;a\n"
OBJECTS = '{"id": "x", "a": 1, "b": 2, "kind": "a"}\n{"id": %s, "a": 1, "b": 2, "kind": "a"}\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [("rows.csv", CSV), ("rows.jsonl", OBJECTS % '""'), ("rows.jsonl", OBJECTS % "null")],
    ids=["csv", "an empty text", "null"],
)
def test_an_empty_text_is_null_in_files_and_streams(name: str, text: str, table: RunRecord, tmp_path: Path) -> None:
    run = open_run(table)
    (tmp_path / name).write_text(text)
    found = [predict_run(run, str(tmp_path / name), keep=["id"])]
    lines = text.encode().splitlines(keepends=True)
    for arrivals in ([lines], alone(lines)):
        *_, last = predict_stream(run, arrivals, Form(), ["id"])
        assert isinstance(last, Predictions)
        found.append(last)
    answers = [json.loads(json_lines(each.table()).splitlines()[-1])["id"] for each in found]
    assert answers == [None, None, None]


def test_lines_with_a_part_of_a_quoted_field_are_bad_rows(table: RunRecord) -> None:
    run = open_run(table)
    rows = ['5" pipe;1;2;a', '"x', "u;1;2;a", "", 'y";1;2;"a"', '"""z""";1;2;a', "v;1;2;a\rw;1;2;a", ""]
    lines = [b"\n", b"id;a;b;kind\n", *(f"{row}\n".encode() for row in rows)]
    for arrivals in ([lines], alone(lines)):
        found = list(predict_stream(run, arrivals, Form(), ["id"]))
        errors = [each.faults[0].lines()[0] for each in found if isinstance(each, DataError)]
        kept = [each.kept["id"].tolist() for each in found if isinstance(each, Predictions)]
        assert kept == [['5" pipe'], ['"z"']]
        broken = [f"standard input:{number}: error: a line break within quotes" for number in (4, 5, 7)]
        assert errors == [*broken, "standard input:9: error: a line break (\\r) within a line"]
