"""Delimited text as pyarrow reads it: the rows of Python's csv module, and the numbers that Python reads."""

import itertools
import re
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
import pytest

from kerascli.data.storage.delimited import csv_text, text_format
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.storage.delimited.row_reader import as_utf8, read_rows
from kerascli.data.storage.delimited.text_format import DEFAULT, MAX_FIELD, TextFormat
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError

ODD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (b"a,b,c\n1,0.5,x\n2,1.5,y\n", {}),
    "windows": (b"a,b\r\n1,x\r\n2,y\r\n", {}),
    "old macintosh": (b"a,b\r1,x\r2,y\r", {}),
    "a carriage return in a line": (b"a,b\n1,x\r2,y\n", {}),
    "mark": (b"\xef\xbb\xbfa,b\n1,2\n", {}),
    "two marks": (b"\xef\xbb\xbf\xef\xbb\xbfa,b\n1,2\n", {}),
    "a mark behind the header": (b"a,b\n\xef\xbb\xbf1,2\n", {}),
    "quotes": (b'a,b\n"1","x, ""y""\nz"\n2,w\n', {}),
    "quoted Windows line ends": (b'a,b\r\n1,"x\r\ny"\r\n2,"z\n\n"\r\n', {}),
    "quoted header": (b'"a","b\nc"\n1,2\n\n3,4\n', {}),
    "a quoted header alone": (b'"a","b"\n1,2\n3,4\n', {}),
    "a quoted header and no end": (b'"a","b"\n1,2\n3,4', {}),
    "a quoted header and blank lines": (b'"a","b"\n1,2\n\n3,4\n\n', {}),
    "delimiters in quotes": (b'a,b,c\n"1","x,y","2.5"\n2,",",\n"3",z,""\n', {}),
    "quotes within fields": (b'a,b\n5" x 7",2\n3\'," 4"\n', {}),
    "a space before a quote": (b'a,b\n1, "x"\n2,y\n', {}),
    "quotes that are characters": (b'a,b\n"1,2\n3,"\n', {"quotes": False}),
    "doubled quotes alone": (b'a,b\n"""",""\n"","""x"""\n', {}),
    "empty quoted fields in one column": (b'a\n""\n"x"\n\n""\n', {}),
    "gaps": (b"a,b\n1,\n,x\n", {}),
    "an empty column": (b"a,b\n1,\n2,\n", {}),
    "an empty last column of header": (b"a,b,\n1,2,\n3,4,5\n", {}),
    "no end": (b"a,b\n1,2", {}),
    "blank lines": (b"\n\na,b\n\n1,2\n\r\n\n3,4\n\n", {}),
    "a line of spaces": (b"a\n1\n \n2\n", {}),
    "long": (b"a\n" + b"\n".join(b"%d" % (2**62 + i) for i in range(3)) + b"\n", {}),
    "unsigned": (b"a,b\n%d,1\n5,2\n" % (2**64 - 1), {}),
    "too long": (b"a,b\n%d,1\n5,2.5\n" % 2**64, {}),
    "too long beside fractions": (b"a,b\n%d,%d\n0.5,0.5\n" % (2**53 + 1, 2**54), {}),
    "too long beside gaps": (b"a,b\n%d,%d\n,\n" % (2**53 + 1, 2**53), {}),
    "exponents": (b"a,b,c\n1e3,1e+5,1e-400\n-2.5E-4,1e5,2.3e-308\n.5,7.,1e300\n", {}),
    "not finite": (b"a,b,c,d\n1,nan,1e400,1\n2.5,1,2,-inf\n", {}),
    "nan as a word": (b"a,b\nNaN,Infinity\n1,2\n", {}),
    "spaces": (b"a,b,c\n 1, x, 0.5\n2 ,y ,1.5\t\n", {}),
    "spaces that pyarrow does not know": ("a,b\n\u00a01,2\x0b\n2\u2003,3\x0c\n".encode(), {}),
    "signs": (b"a,b,c\n+5,+0.5,+1\n-3,-1,1e+2\n", {}),
    "negative zeros": (b"a,b,c\n-0,-0,-0.0\n1,,0\n", {}),
    "hexadecimal": (b"a,b,c\n0x10,0X1F,0x\n1,2.5,1\n", {}),
    "underscores": (b"a,b\n1_000,1\n2,1_0.5\n", {}),
    "leading zeros": (b"a,b,c\n007,00.5,-01\n010,1,2\n", {}),
    "digits of other scripts": ("a,b\n\u0661,\uff12\n2,3\n".encode(), {}),
    "dates": (b"a,b,c\n2024-01-31,12:30,2024-01-31 10:00:00\n2024-02-01,13:00:05,2024-02-01T10:00:00Z\n", {}),
    "dates after many gaps": (b"a,b\n" + b",1\n" * 300 + b"2024-01-31,2\n12:30,3\n", {}),
    "text after many numbers": (b"a,b\n" + b"1,2\n" * 300 + b"x,2\n1,2.5\n", {}),
    "booleans": (b"a,b,c,d,e\ntrue,TRUE,1,yes,true\nfalse,False,true,no,\ntrue, true,0,yes,False\n", {}),
    "booleans after many gaps": (b"a,b\n" + b",1\n" * 300 + b"true,1\n", {}),
    "words of missing values": (b"a,b,c\nNA,1,NA\n-,2,x\n3,NA,\n", {"na_values": ("NA", "-")}),
    "quoted words of missing values": (b'a,b\n"NA",1\n2,"NA"\n', {"na_values": ("NA",)}),
    "a comma as decimal": (b"a;b;c\n1,5;2;1.5\n,5;3;2.5\n-1,;1e3;x\n", {"delimiter": ";", "decimal": ","}),
    "thousands": (b"a,b,c\n1'234,5,1'23\n12,1'000'000,1\n", {"thousands": "'"}),
    "thousands that are decimals": (
        b"a;b\n1.234,5;1.234\n-0,5;12\n", {"delimiter": ";", "decimal": ",", "thousands": "."}
    ),
    "tabs": (b"a\tb\n1\tx y\n2\t\n", {"delimiter": "\t"}),
    "spaces as delimiters": (b"a b\n1 2\n3 4\n", {"delimiter": " "}),
    "a delimiter beyond ASCII": ("a§b\n1§2\n".encode(), {"delimiter": "§"}),
    "comments": (b"# x\na,b\n#1,2\n3,4#\n#\n\n5,6\n# end", {"comment": "#"}),
    "comments of two characters": (b"a,b\n//1,2\n/3,4\n", {"comment": "//"}),
    "comments with quotes": (b'a,b\n# say "hi\n1,"x\n# y"\n', {"comment": "#"}),
    "skipped rows": (b"by hand\n\na,b\n1,2\n3,x\n", {"skip_rows": 2}),
    "names": (b"1,x\n\n2,y\n", {"names": ("n", "w")}),
    "columns as text": (b"a,b\n01,5\n2,\n", {"dtypes": {"a": "text", "b": "number"}}),
    "Latin": ("a,b\né,1\nü,2\n".encode("latin-1"), {"encoding": "latin-1"}),
    "wide characters": ("a,b\né,1\nü,2\n".encode("utf-16"), {"encoding": "utf-16"}),
    "emoji": ("a,b\n🙂,1\n\u2028é,2\n".encode(), {}),
    "equal numbers written in different ways": (b"a\n1\n1.0\n1e0\n", {}),
}  # fmt: skip

REFUSED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "ragged": (b"a,b\n1,2\n3\n", {}),
    "a delimiter at the end": (b"a,b\n1,2,\n", {}),
    "duplicated headers": (b"a,b,a\n1,2,3\n", {}),
    "a quote that is not closed": (b'a,b\n1,2\n"x,2\n', {}),
    "text after a quote": (b'a,b\n1,2\n"x"y,2\n', {}),
    "bytes that are no text": (b"a,b\n1,2\n\xff,3\n", {}),
    "surrogates": (b"a,b\n1,2\n\xed\xa0\x80,3\n", {}),
    "a zero byte": (b"a,b\n1,2\n3,\0\n", {}),
    "a field without end": (b"a,b\n1,2\n" + b"x" * (MAX_FIELD + 1) + b",2\n", {}),
    "a header alone": (b"a,b\n", {}),
    "nothing": (b"\n\n", {}),
    "all skipped": (b"a,b\n1,2\n", {"skip_rows": 2}),
    "another delimiter": (b"a;b\n1;2\n", {}),
    "compressed": (b"\x1f\x8b0\n1\n", {}),
    "bytes that are no text, without a header": (b"1,2\n3,\xff\n", {"names": ["a", "b"]}),
    "no number": (b"a,b\n1,x\n2,true\n", {"dtypes": {"b": "number"}}),
    "no number after too many digits": (b"a,b\n1,99999999999999999999999\n2,x\n", {"dtypes": {"b": "number"}}),
    "booleans are no numbers": (b"a,b\n1,true\n2,false\n", {"dtypes": {"b": "number"}}),
}


def typed(fields: list[str], form: TextFormat, dtype: str | None) -> np.ndarray | None:
    """Return fields as numbers as Python reads them, or as booleans; None if they are text."""
    present = [field for field in fields if field]
    plain = [form.plain(field) if form.decimal + (form.thousands or "") != "." else field for field in present]
    if all(each is not None and each.isascii() and "_" not in each for each in map(str.strip, filter(None, plain))):
        with suppress(ValueError, TypeError):
            numbers = [float(each) for each in plain if each is not None]
            whole = [int(each) if _is_integer(each) else None for each in plain if each is not None]
            if None in plain or not np.isfinite(numbers).all():
                raise ValueError
            if len(present) == len(fields) and None not in whole:
                for dtype_ in (np.int64, np.uint64):
                    with suppress(OverflowError):
                        return np.array(whole, dtype_)
            if any(exact is not None and exact != number for exact, number in zip(whole, numbers, strict=True)):
                return None
            values = iter(numbers)
            return np.array([next(values) if field else np.nan for field in fields])
    words = [{"true": 1.0, "false": 0.0}.get(field.strip(" \t").lower(), 2.0) for field in present]
    known = {"true", "True", "TRUE", "false", "False", "FALSE"}
    if dtype == "number" or not present or not {field.strip(" \t") for field in present} <= known:
        return None
    values = iter(words)
    array = np.array([next(values) if field else np.nan for field in fields])
    return array.astype(bool) if len(present) == len(fields) else array


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def by_rows(data: bytes, form: TextFormat) -> tuple[dict[str, tuple[np.ndarray, list[str]]], list[int]]:
    """Return the columns of a text, as arrays and as texts, and the lines of its rows, by Python alone."""
    text = as_utf8(data, "t", form)
    for _ in range(form.skip_rows):
        text = text.partition(b"\n")[2]
    names, rows, lines, wrong = read_rows(text, "t", form, len(data))
    if wrong is not None:
        raise DataError(wrong[0])
    columns = {}
    for name, each in zip(names, zip(*rows, strict=True), strict=True):
        fields = ["" if field in form.na_values else field for field in each]
        dtype = form.dtypes.get(name)
        values = None if dtype == "text" else typed(fields, form, dtype)
        columns[name] = np.array(fields, object) if values is None else values, fields
    return columns, lines.tolist()


def by_columns(data: bytes, form: TextFormat = DEFAULT, columns: frozenset[str] | None = None) -> Table:
    return read_csv(data, "t", form, columns)


def check(data: bytes, form: TextFormat = DEFAULT) -> None:
    expected, lines = by_rows(data, form)
    found = by_columns(data, form)
    assert list(found) == list(expected)
    assert found.numbers().tolist() == lines, data
    for column, (values, texts) in expected.items():
        assert equal(found.array(column), values), (column, data)
        assert found.text(column).tolist() == texts, (column, data)


def equal(found: np.ndarray, expected: np.ndarray) -> bool:
    """Return True if two columns have the same dtype and the same bits."""
    if found.dtype != expected.dtype or len(found) != len(expected):
        return False
    return found.tolist() == expected.tolist() if found.dtype == object else found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ODD)
def test_columns_are_those_of_python(name: str) -> None:
    data, settings = ODD[name]
    check(data, TextFormat(**settings))


def test_only_odd_quotes_and_line_ends_are_read_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {
        "old macintosh", "a carriage return in a line", "two marks", "quotes within fields", "a space before a quote",
        "a delimiter beyond ASCII", "comments with quotes",
    }  # fmt: skip
    seen: set[str] = set()
    for name, (data, settings) in ODD.items():
        monkeypatch.setattr(csv_text, "read_rows", lambda *a, name=name: seen.add(name) or read_rows(*a))
        by_columns(data, TextFormat(**settings))
    assert seen == odd


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_explained(name: str) -> None:
    data, settings = REFUSED[name]
    with pytest.raises(DataError) as error:
        by_columns(data, TextFormat(**settings))
    assert f"{error.value.faults[0].place}: {error.value}" == WORDS[name]


WORDS = {
    "ragged": "t:3: 1 field, the header has 2",
    "a delimiter at the end": "t:2: 3 fields, the header has 2",
    "duplicated headers": "t:1: column 'a' appears twice (columns 1 and 3)",
    "a quote that is not closed": "t:3: a quote opened here is never closed",
    "text after a quote": "t:3: text after a closing quote; a quote inside quotes is written twice",
    "bytes that are no text": "t:3: not UTF-8 (byte 0xff in column 'a')",
    "surrogates": "t:3: not UTF-8 (byte 0xed in column 'a')",
    "a zero byte": "t:3: a zero byte in the text (in column 'b')",
    "a field without end": "t:3: a field of more than 1,048,576 characters",
    "a header alone": "t: a header but no rows",
    "nothing": "t:1: the file is empty",
    "all skipped": "t:1: the file is empty",
    "another delimiter": "t:1: a single column 'a;b'",
    "compressed": "t: this is gzip, not delimited text",
    "bytes that are no text, without a header": "t:2: not UTF-8 (byte 0xff in column 'b')",
    "no number": "t:2:b: 'x' is not a number, as dtypes says of this column",
    "no number after too many digits": "t:3:b: 'x' is not a number, as dtypes says of this column",
    "booleans are no numbers": "t:2:b: 'true' is not a number, as dtypes says of this column",
}
FIELDS = [
    "",
    "1",
    "+2",
    "-0",
    "0x1",
    "2.50",
    "1e3",
    " 7",
    "nan",
    "1_0",
    "true",
    "x",
    "2024-01-01",
    '"4"',
    '" "',
    '""',
    "007",
]


@pytest.mark.parametrize("first", FIELDS)
def test_any_pair_of_odd_fields(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field above each other, in a column with a gap and in one without; the first row alone is sampled."""
    monkeypatch.setattr(text_format, "_SAMPLED_ROWS", 1)
    for second, gap in itertools.product(FIELDS, ["5", ""]):
        check("\n".join(["a,b", *(f"{field},z" for field in (first, second, gap)), ""]).encode())


def test_columns_that_are_not_in_use_are_read_on_access() -> None:
    found = by_columns(b"a,b,c\n1,x,0.5\n2,2024-01-01,1.5\n", columns=frozenset({"c", "none"}))
    assert list(found) == ["a", "b", "c"]
    assert found.array("b").tolist() == ["x", "2024-01-01"]
    assert found.text("c").tolist() == ["0.5", "1.5"]
    assert found.array("a").dtype == np.int64


def test_a_selection_of_rows_is_coded_alike() -> None:
    found = by_columns(b"a\nx\ny\nx\nz\n")
    for rows in ([3, 2, 0], [1, 1], slice(1, 3)):
        part = found.take(np.array(rows) if isinstance(rows, list) else rows)
        coded = part.coded("a")
        assert coded is not None
        words, codes = coded.words, coded.codes
        texts = part.array("a").tolist()
        assert words.take(codes).to_pylist() == texts
        assert words.to_pylist() == list(dict.fromkeys(texts))


def test_a_long_row_and_a_long_field_that_are_allowed() -> None:
    long = b"x" * MAX_FIELD
    table = by_columns(b"a,b,c,d,e,f,g,h,i,j\n" + b",".join([long] * 10) + b"\n1,2,3,4,5,6,7,8,9,0\n")
    assert table.array("j").tolist() == [long.decode(), "0"]


@pytest.mark.parametrize("fields", [2, 3, 5])
def test_rows_of_several_long_fields(fields: int) -> None:
    long = b",".join([b"x" * (MAX_FIELD // 4)] * fields)
    check(b"\n".join([b"a,b,c,d,e"[: 2 * fields - 1], *[long] * 4]))


def test_random_numbers_have_the_bits_that_python_reads() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=2000) * 10.0 ** random.integers(-6, 9, 2000)
    forms = ["{:.4f}", "{:.9f}", "{:.0f}", "{:+.2f}", "{:.15g}", "{!r}", "{:e}"]
    lines = [",".join(form.format(value) for form in forms) for value in values.tolist()]
    found = by_columns("\n".join(["a,b,c,d,e,f,g", *lines, ""]).encode())
    for number, column in enumerate(found):
        expected = np.array([float(line.split(",")[number]) for line in lines])
        expected += 0.0 if column == "c" else -0.0  # integers have no negative zero
        assert found.array(column).astype(np.float64).tobytes() == expected.tobytes()


def test_random_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column has three odd fields; rows may end in several ways, and one in ten lacks a field or has one more."""
    random = Random(0)
    odd = [
        *FIELDS,
        ".5",
        "-.5",
        "5.",
        "1e999",
        "9007199254740993",
        "é",
        '"x,y"',
        '"x\ny"',
        '"q""q"',
        "NA",
        "False",
        "_",
    ]
    for _ in range(300):
        monkeypatch.setattr(text_format, "_SAMPLED_ROWS", random.choice([1, 200]))
        form = TextFormat(na_values=random.choice([(), ("NA", "x")]), comment=random.choice([None, None, "#"]))
        columns = [random.sample(odd, 3) for _ in range(random.randint(1, 3))]
        rows = [",".join(map(random.choice, columns)) for _ in range(random.randint(1, 6))]
        if random.random() < 0.1:
            rows[-1] = random.choice([rows[-1] + ",", rows[-1].partition(",")[2]])
        end = random.choice(["\n", "\r\n", "\n\n", "\n#,\n"])
        data = end.join([",".join("abc"[: len(columns)]), *rows, ""]).encode()
        try:
            by_rows(data, form)
        except DataError as error:
            with pytest.raises(DataError, match=re.escape(str(error))):
                by_columns(data, form)
        else:
            check(data, form)
