"""Tables as people have them: other separators, words for missing values, comments, compressed; beside pyarrow."""

import bz2
import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.data.base import SOURCES, Context
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.storage.delimited.text_format import TextFormat
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError, FileRefused
from kerascli.language.component import Invalid
from tests.support.needs import library

MESSY = (
    "exported by hand\n# from the till\nitem;price;stock;zip\n"
    'nail;"1.234,50";3;01234\n# a comment "with a quote\nscrew;,5;NA;10115\n\n'
    '"bolt\n# not a comment";-2.000,00;-;00001\n'
)
GERMAN = TextFormat(
    delimiter=";", decimal=",", thousands=".", na_values=("NA", "-"), skip_rows=1, comment="#", dtypes={"zip": "text"}
)


def load(folder: Path, data: bytes, name: str = "t.csv", **settings: Any) -> Table:
    (folder / name).write_bytes(data)
    return SOURCES.parse({"csv": {"path": name, **settings}}).load(Context(folder, 0))["train"]


def test_a_messy_table() -> None:
    table = read_csv(MESSY.encode(), "t.csv", GERMAN)
    assert table.array("item").tolist() == ["nail", "screw", "bolt\n# not a comment"]
    assert table.array("price").tolist() == [1234.5, 0.5, -2000.0]
    np.testing.assert_array_equal(table.array("stock"), [3, np.nan, np.nan])
    assert table.array("zip").tolist() == ["01234", "10115", "00001"]
    assert table.numbers().tolist() == [4, 6, 8]  # as an editor counts


@pytest.mark.parametrize(
    ("fields", "form", "expected"),
    [
        (["1,5", "2"], TextFormat(delimiter="\t", decimal=","), [1.5, 2.0]),
        (["1.5", "2"], TextFormat(delimiter="\t", decimal=","), None),  # a point is no number's here
        (["1,234", "12"], TextFormat(delimiter="\t", thousands=","), [1234, 12]),
        (["1,23"], TextFormat(delimiter="\t", thousands=","), None),  # no thousands, but perhaps a decimal: text
        (["03.04.2024"], TextFormat(delimiter="\t", decimal=",", thousands="."), None),
        (["1'000.5", "1e3", "-7"], TextFormat(delimiter="\t", thousands="'"), [1000.5, 1000.0, -7.0]),
    ],
)
def test_how_numbers_are_written(fields: list[str], form: TextFormat, expected: list[float] | None) -> None:
    text = "\t".join(["x"]) + "\n" + "\n".join(fields) + "\n"
    values = read_csv(
        text.encode(), "t", TextFormat(delimiter="\t", decimal=form.decimal, thousands=form.thousands)
    ).array("x")
    assert values.tolist() == (fields if expected is None else expected)


def _zstd(data: bytes) -> bytes:
    library("pyarrow")
    import pyarrow as pa

    return pa.compress(data, codec="zstd", asbytes=True)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "two members": lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]),
    "bzip2": bz2.compress,
    "two streams": lambda data: bz2.compress(data[:5]) + bz2.compress(data[5:]),
    "zstandard": _zstd,
}


@pytest.mark.parametrize("kind", PACKED)
def test_compressed_files(tmp_path: Path, kind: str) -> None:
    data = b"a,b\n" + b"".join(b"%d,x\n" % number for number in range(1000))
    table = load(tmp_path, PACKED[kind](data), "t.csv.packed")
    assert table.array("a").tolist() == list(range(1000))


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "zstandard"])
def test_damaged_and_oversized_files_are_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"a,b\n" + bytes(np.random.default_rng(0).integers(97, 122, 20_000).astype(np.uint8)) + b",2\n"
    packed = PACKED[kind](data)
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path, packed[: len(packed) // 2])
    monkeypatch.setattr("kerascli.data.storage.compressed.memory_limit", lambda: 8 * 2**21)
    with pytest.raises(FileRefused, match="unpacks to more than 2,097,152 bytes"):
        load(tmp_path, PACKED[kind](bytes(2**23)))


BAD = {
    "decimal and thousands": ({"thousands": "."}, "thousands: '.' is the decimal already"),
    "no such column": ({"dtypes": {"zpi": "text"}}, "dtypes: there is no column 'zpi'; did you mean 'zip'"),
    "a word among numbers": ({"dtypes": {"kind": "number"}}, "'x' is not a number, as dtypes says"),
    "all skipped": ({"skip_rows": 9}, "the file is empty"),
}


@pytest.mark.parametrize(("settings", "text"), BAD.values(), ids=BAD)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises((DataError, Invalid), match=text):
        load(tmp_path, b"zip,kind\n1,2\n2,x\n", **settings)


def test_an_error_names_its_line_behind_what_was_skipped() -> None:
    with pytest.raises(DataError) as error:
        read_csv(MESSY.replace("-2.000,00;-;", "-2.000,00;").encode(), "t.csv", GERMAN)
    assert str(error.value.faults[0].place) == "t.csv:8"
    with pytest.raises(DataError) as error:
        read_csv(MESSY.replace('comment";', "comment;").encode(), "t.csv", GERMAN)
    assert str(error.value.faults[0].place) == "t.csv:8"


ODD = {
    "plain": b"a,b,c\n1,0.5,x\n2,1.5,y\n",
    "windows": b"a,b\r\n1,x\r\n2,y\r\n",
    "mark": b"\xef\xbb\xbfa,b\n1,2\n",
    "quotes": b'a,b\n"1","x, ""y""\nz"\n2,w\n',
    "gaps": b"a,b\n1,\n,x\n",
    "no end": b"a,b\n1,2",
    "long": b"a\n" + b"\n".join(b"%d" % (2**62 + i) for i in range(3)) + b"\n",
    "exponents": b"a\n1e3\n-2.5E-4\n.5\n",
    "spaces": b"a,b\n 1, x\n2 ,y \n",
}


@pytest.mark.parametrize("name", ODD)
def test_columns_are_those_that_pyarrow_reads(name: str) -> None:
    library("pyarrow")
    from pyarrow import csv

    options = csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    parse = csv.ParseOptions(newlines_in_values=True)
    expected = csv.read_csv(io.BytesIO(ODD[name]), parse_options=parse, convert_options=options)
    found = read_csv(ODD[name], "t")
    assert list(found) == expected.column_names
    for column in found:
        theirs = expected[column].to_pylist()
        ours = found.array(column).tolist()
        is_text = found.array(column).dtype == object
        assert ours == [("" if is_text else pytest.approx(np.nan, nan_ok=True)) if v is None else v for v in theirs]


def test_zlib_is_not_gzip(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        load(tmp_path, zlib.compress(b"a,b\n1,2\n"))
