"""Tables of text that exceed memory are frozen as Parquet, with the columns, lines and errors of those in memory."""

import bz2
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from kerascli.data.base import SOURCES, Context
from kerascli.data.remote import frozen_text
from kerascli.data.remote.frozen import freeze
from kerascli.data.storage import on_disk
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.partitions import Part
from kerascli.data.storage.table import Table
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import KerasCliError

ROWS = 400
RANDOM = np.random.default_rng(7)


def gaps(texts: list[str]) -> list[str]:
    return ["" if row % 7 == 3 else text for row, text in enumerate(texts)]


def late(texts: list[str], text: str) -> list[str]:
    """Return texts of which the last but ten, in a late block, is another."""
    return [*texts[:-10], text, *texts[-9:]]


NUMBERS = [str(n) for n in RANDOM.integers(-50, 50, ROWS)]
FRACTIONS = [f"{x:.3f}" for x in RANDOM.normal(0, 9, ROWS)]
WORDS = [f"w{n}" for n in RANDOM.integers(0, 9, ROWS)]
TRUTHS = [str(bool(n)) for n in RANDOM.integers(0, 2, ROWS)]
COLUMNS: dict[str, list[str]] = {
    "integers": NUMBERS, "integers_with_gaps": gaps(NUMBERS), "a_late_gap": late(NUMBERS, ""),
    "fractions": FRACTIONS, "a_late_fraction": late(NUMBERS, "0.5"), "a_late_word": late(NUMBERS, "x"),
    "zeros_in_front": [f"{int(n) % 9:03d}" for n in NUMBERS], "late_word_after_zeros": late(["007"] * ROWS, "x"),
    "large": [str(2**60 + row) for row in range(ROWS)], "unsigned": late(["1"] * ROWS, str(2**64 - 1)),
    "unsigned_and_negative": late(["-1"] * ROWS, str(2**64 - 1)), "large_with_a_gap": late([str(2**60 + 1)] * ROWS, ""),
    "large_with_a_fraction": late([str(2**60 + 1)] * ROWS, "0.5"), "beyond": late(NUMBERS, str(2**70)),
    "words": WORDS, "words_with_gaps": gaps(WORDS), "truths": TRUTHS, "truths_with_gaps": gaps(TRUTHS),
    "a_late_gap_in_truths": late(TRUTHS, ""), "truths_and_numbers": late(TRUTHS, "1"),
    "numbers_and_a_truth": late(["1"] * ROWS, "true"), "nothing": [""] * ROWS, "late": late([""] * ROWS, "5"),
    "a_late_word_alone": late([""] * ROWS, "five"), "dates": ["2026-01-02"] * ROWS,
}  # fmt: skip


@pytest.fixture
def to_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Treat all tables as too large for memory, in blocks of about thirty rows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def switch() -> None:
        monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
        monkeypatch.setattr(frozen_text, "BLOCK_BYTES", 6000)

    return switch


def read(folder: Path, source: Any) -> Table:
    return SOURCES.parse(source).load(Context(folder, 1))["train"]


def assert_same(frozen: Table, whole: Table) -> None:
    assert list(frozen) == list(whole)
    assert isinstance(frozen.columns, ParquetColumns)
    np.testing.assert_array_equal(frozen.numbers(), whole.numbers())
    assert str(frozen.place(ROWS - 1, "words")) == str(whole.place(ROWS - 1, "words"))
    for name in whole:
        here, there = in_memory(frozen[name]), whole.array(name)
        assert here.dtype == there.dtype, name
        np.testing.assert_array_equal(here, there, err_msg=name)


def lines_of(columns: dict[str, list[str]], quoted: str = "") -> list[str]:
    rows = (
        ",".join(f'"{each}{quoted}"' if each in WORDS else each for each in row)
        for row in zip(*columns.values(), strict=True)
    )
    return [",".join(columns), *rows]


@pytest.mark.parametrize(
    "form", ["plain", "gzip", "bzip2", "quoted line ends", "comments and blank lines", "skipped", "skipped, names"]
)
def test_a_frozen_table_is_that_in_memory(form: str, tmp_path: Path, to_disk: Callable[[], None]) -> None:
    lines = lines_of(COLUMNS, "\nx" if form == "quoted line ends" else "")
    settings: dict[str, Any] = {"path": "t.csv"}
    if form == "comments and blank lines":
        lines = [text for row, line in enumerate(lines) for text in ([line, "", "# note"] if row % 5 == 2 else [line])]
        settings["comment"] = "#"
    if form.startswith("skipped"):
        lines = ["a title", "", *(lines[1:] if "names" in form else lines)]
        settings |= {"skip_rows": 2, "names": list(COLUMNS) if "names" in form else []}
    data = ("\n".join(lines) + "\n").encode()
    data = {"gzip": gzip.compress, "bzip2": bz2.compress}.get(form, bytes)(data)
    (tmp_path / "t.csv").write_bytes(data)
    whole = read(tmp_path, {"csv": settings})
    to_disk()
    assert_same(read(tmp_path, {"csv": settings}), whole)


def test_numbers_of_a_format_and_text_by_choice_stay_so(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    columns = {"zip": ["01234"] * ROWS, "price": ["1.234,5"] * ROWS, "words": WORDS, "na": gaps(["7"] * ROWS)}
    rows = (";".join(each or "NA" for each in row) for row in zip(*columns.values(), strict=True))
    (tmp_path / "t.csv").write_text("\n".join([";".join(columns), *rows]), encoding="latin-1")
    source = {"path": "t.csv", "delimiter": ";", "decimal": ",", "thousands": ".", "dtypes": {"zip": "text"},
              "na_values": ["NA"], "encoding": "latin-1"}  # fmt: skip
    whole = read(tmp_path, {"csv": source})
    to_disk()
    assert_same(read(tmp_path, {"csv": source}), whole)


def test_json_lines_may_lack_keys_in_whole_blocks(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    rows: list[dict[str, Any]] = [
        {"n": row, "words": WORDS[row], "mixed": row if row < 300 else "x", "gap": None if row % 5 == 0 else 0.5}
        for row in range(ROWS)
    ]
    for row in rows[350:]:
        row |= {"later": 7}
    for row in rows[100:200]:
        del row["n"]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    whole = read(tmp_path, {"json_lines": "t.jsonl"})
    to_disk()
    assert_same(read(tmp_path, {"json_lines": "t.jsonl"}), whole)


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("1,2", {}), ('1,"a"b,3', {}), ('1,"never closed,3', {}), ("1,x,3", {"dtypes": {"b": "number"}}),
        ("1,\udcff,3", {}), ("1,\0,3", {}),
    ],
)  # fmt: skip
def test_errors_name_the_line(line: str, settings: dict[str, Any], tmp_path: Path, to_disk: Callable[[], None]) -> None:
    text = "\n".join(["a,b,c", *["1,2,3"] * 3000, line, *["1,2,3"] * 20]) + "\n"
    (tmp_path / "t.csv").write_bytes(text.encode(errors="surrogateescape"))
    told = []
    for switch in (lambda: None, to_disk):
        switch()
        with pytest.raises(KerasCliError) as caught:
            read(tmp_path, {"csv": {"path": "t.csv", **settings}})
        told.append((caught.value.faults[0].place, caught.value.faults[0].text))
    assert str(told[1][0]).startswith("t.csv:3002"), told
    assert told[1] == told[0]


def test_a_table_is_frozen_once_and_again_if_the_file_changes(
    tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk()
    frozen: list[Path] = []
    monkeypatch.setattr(frozen_text, "freeze", lambda *given: frozen.append(freeze(*given)))
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 100)
    assert read(tmp_path, {"csv": "t.csv"}).rows == read(tmp_path, {"csv": "t.csv"}).rows == 100
    assert len(frozen) == 1
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 101)
    os.utime(tmp_path / "t.csv", (5, 5))
    assert read(tmp_path, {"csv": "t.csv"}).rows == 101
    assert len(list((tmp_path / "cache/kerascli/frozen").rglob("*.parquet"))) == 1, "that of the old file is removed"


def test_lists_are_refused(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    (tmp_path / "t.jsonl").write_text('{"a": [1, 2]}\n' * 10)
    with pytest.raises(KerasCliError, match="'a' holds lists of numbers, in a file larger than memory"):
        read(tmp_path, {"json_lines": "t.jsonl"})


def test_a_frozen_file_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def blocks(text: frozenset[str]) -> Any:
        yield {"x": pyarrow.array([1, 2])}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        freeze(tmp_path / "frozen", blocks)
    storage.sweep(tmp_path / "frozen")
    assert not list((tmp_path / "frozen").iterdir())


def test_no_row_is_lost_where_a_type_changes_and_returns(tmp_path: Path) -> None:
    """A column of nothing but gaps is of floats, then of integers, and with fractions of floats again."""
    blocks = [pyarrow.nulls(2), pyarrow.array([1, 2]), pyarrow.array([0.5, 3.0])]
    path = freeze(tmp_path, lambda text: iter([{"x": block} for block in blocks]))
    columns = ParquetColumns([Part(path, "t")], None)
    np.testing.assert_array_equal(in_memory(Table(columns, columns.rows)["x"]), [np.nan, np.nan, 1, 2, 0.5, 3])


def test_the_digest_is_of_the_rows_and_their_order(tmp_path: Path) -> None:
    def rows(*values: int) -> Path:
        return freeze(tmp_path, lambda text: iter([{"x": pyarrow.array(values)}]))

    assert rows(1, 2) == rows(1, 2)
    assert len({rows(1, 2), rows(2, 1), rows(1, 3)}) == 3
    assert ParquetColumns([Part(rows(1, 2), "t")], None).rows == 2
