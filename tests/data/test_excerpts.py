"""Errors about a line of a text file show it: cut around the value, with nothing that a terminal would obey."""

# ruff: noqa: E501  # a table reads best with one case a line

import gzip
from pathlib import Path

import pytest

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import parse_data
from kerascli.foundation.errors import DataError, Fault

LONG = ",".join(f"c{i}" for i in range(60))
CASES: dict[str, tuple[str, str, str, list[str]]] = {
    "a word": ("t.csv", "a,b\n1,2\n3,many\n4,5\n", "b", ["  3 | 3,many", "    |   ^^^^"]),
    "a gap at the end": ("t.csv", "a,b\n1,2\n3,\n", "b", ["  3 | 3,", "    |   ^"]),
    "a gap at the beginning": ("t.csv", "a,b\n1,2\n,3\n", "a", ["  3 | ,3", "    | ^"]),
    "behind quotes": ("t.csv", 'q,b\n"x, ""y""",2\n"z,",many\n"u",1\n', "b", ['  3 | "z,",many', "    |      ^^^^"]),
    "tabs": ("t.tsv", "a\tb\n1\t2\n3\tmany\n4\t5\n", "b", ["  3 | 3 many", "    |   ^^^^"]),
    "escapes": ("t.csv", "q,b\nx,2\n\x1b[31mred,many\ny,5\n", "b", ["  3 | \\x1b[31mred,many", "    |             ^^^^"]),
    "too many fields": ("t.csv", "a,b\n1,2\n3,4,5\n", "b", ["  3 | 3,4,5"]),
    "compressed": ("t.csv.gz", "a,b\n1,2\n3,many\n4,5\n", "b", ["  3 | 3,many", "    |   ^^^^"]),
    "json": ("t.jsonl", '{"a": 1, "b": 2}\n{"b" : "many", "a": 3}\n{"b": 3}\n', "b",
             ['  2 | {"b" : "many", "a": 3}', "    |        ^^^^^^"]),
    "no json": ("t.jsonl", '{"b": 1}\n{"b" 2}\n', "b", ['  2 | {"b" 2}']),
    "a long line": (
        "t.csv", f"{LONG}\n{','.join('1' * 60)}\n{','.join(['12345'] * 50 + ['many'] + ['1'] * 9)}\n{','.join('1' * 60)}\n",
        "c50", [f"  3 | {','.join(['12345'] * 50)[-39:]},many,1,1,1,1,1,1,1,1,1", f"    | {' ' * 40}^^^^"],
    ),
}  # fmt: skip


def fault_of(folder: Path, name: str, text: str, column: str) -> Fault:
    data = text.encode(errors="surrogateescape")
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    kind = {".tsv": "tsv", ".jsonl": "json_lines"}.get(Path(name).suffix, "csv")
    spec = parse_data({"source": {kind: name}, "inputs": {"x": [{"columns": [column]}, "normalization"]}})
    with pytest.raises(DataError) as caught:
        load_data(spec, Context(folder, 1))
    return caught.value.faults[0]


@pytest.mark.parametrize("case", CASES)
def test_the_line_is_shown_with_the_value_marked(case: str, tmp_path: Path) -> None:
    name, text, column, shown = CASES[case]
    lines = fault_of(tmp_path, name, text, column).lines()
    assert lines[1 : 1 + len(shown)] == shown
    assert all(len(line) <= 88 for line in lines[1 : 1 + len(shown)])
    assert len(lines) == 1 + len(shown) or lines[1 + len(shown)].startswith("  hint:")


def test_a_lone_carriage_return_is_named(tmp_path: Path) -> None:
    lines = fault_of(tmp_path, "t.csv", "a,b\n1,2\n3\r4,5\n", "b").lines()
    assert lines[:2] == ["t.csv:3: error: 1 field, the header has 2", "  3 | 3\\r"]
    assert lines[2].startswith("  hint: a CR alone (\\r, as old Macs end lines) ends this line")


def test_a_file_whose_lines_all_end_with_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\r1,2\r3,4\r")
    spec = parse_data({"source": {"csv": "t.csv"}, "inputs": {"a": []}})
    assert load_data(spec, Context(tmp_path, 1)).tables["train"].array("b").tolist() == [2, 4]


def test_an_odd_number_of_quotes_is_named(tmp_path: Path) -> None:
    lines = fault_of(tmp_path, "t.csv", 'a,b\n1,2\n3,"4\n5",6,7\n', "b").lines()
    assert lines[0] == "t.csv:3: error: 4 fields, the header has 2" or lines[0].startswith("t.csv:3: error: 3 fields")
    assert lines[1] == '  3 | 3,"4'
    assert lines[2] == "  hint: the line has an odd number of double quotes: one of them may be missing"


def test_a_file_that_is_gone_has_no_excerpt(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    spec = parse_data({"source": {"csv": "t.csv"}, "inputs": {"a": []}})
    table = spec.source.load(Context(tmp_path, 1))["train"]
    (tmp_path / "t.csv").unlink()
    assert str(table.place(0, "b")) == "t.csv:2:b"
    assert table.place(0, "b").source == ""
