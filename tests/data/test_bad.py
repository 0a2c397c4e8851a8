"""Bad data files: the first line of the error names the place, the problem and its extent."""

# ruff: noqa: E501  # a table reads best with one case a line

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import parse_data
from kerascli.foundation.errors import KerasCliError
from kerascli.language.component import Invalid

GOOD = "a,b,kind,w\n1,2.5,cat,1\n2,3.5,dog,1\n3,4.5,cat,1\n4,5.5,dog,1\n"
NUMBERS = {"x": [{"columns": ["a", "b"]}, "normalization"]}
KIND = {"kind": "string_lookup"}


def first_line(folder: Path, source: Any, **section: Any) -> str:
    """Return the first line of the error of `train`; '' if there is none."""
    section.setdefault("inputs", NUMBERS)
    options = {"validation_split": section.pop("validation_split", 0.0)}
    try:
        load_data(parse_data({"source": source, **section}), Context(folder, 1), **options)
    except KerasCliError as error:
        return error.faults[0].lines()[0]
    except Invalid as invalid:
        return invalid.faults[0].lines()[0]
    return ""


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    assert first_line(tmp_path, {"csv": "t.csv"}, targets=KIND, sample_weight={"kind": {"columns": "w"}}) == ""


DIGITS = "has too many digits for a number (64-bit integers; up to 2**53 beside missing values and fractions)"
CSV = {
    "empty": ("", {}, "t.csv:1: error: the file is empty"),
    "header only": ("a,b\n", {}, "t.csv: error: a header but no rows"),
    "missing column": (GOOD, {"inputs": {"x": {"columns": "kinds"}}}, "error: there is no column 'kinds'; did you mean 'kind'?"),
    "short row": ("a,b\n1,2\n3\n", {}, "t.csv:3: error: 1 field, the header has 2"),
    "long row": ("a,b\n1,2\n3,4,5\n", {}, "t.csv:3: error: 3 fields, the header has 2"),
    "all rows long": ("a,b\n1,2,3\n3,4,5\n", {}, "t.csv:2: error: 3 fields, the header has 2"),
    "short after a blank line": ("a,b\n\n1,2\n3\n", {}, "t.csv:4: error: 1 field, the header has 2"),
    "twice the same column": ("a,b,a\n1,2,3\n", {}, "t.csv:1: error: column 'a' appears twice (columns 1 and 3)"),
    "another delimiter": ("a;b\n1;2\n", {}, "t.csv:1: error: a single column 'a;b'"),
    "open quote": ('a,b\n1,"2\n3,4\n', {}, "t.csv:2: error: a quote opened here is never closed"),
    "text after a quote": ('a,b\n1,2\n3,"4"5\n', {}, "t.csv:3: error: text after a closing quote; a quote inside quotes is written twice"),
    "latin-1": ("a,b\n1,2\n3,\xe9\n".encode("latin-1"), {}, "t.csv:3: error: not UTF-8 (byte 0xe9 in column 'b')"),
    "zero byte": ("a,b\n1,\0\n", {}, "t.csv:2: error: a zero byte in the text (in column 'b')"),
    "word among numbers": ("a,b\n1,2\nx,3\n4,5\n", {}, "t.csv:3:a: error: 'x' is not a number (1 of 3 rows)"),
    "NA is a word": ("a,b\n1,2\nNA,3\n4,5\n", {}, "t.csv:3:a: error: 'NA' is not a number (1 of 3 rows)"),
    "nan is a word": ("a,b\n1,2\nnan,3\n4,5\n", {}, "t.csv:3:a: error: 'nan' is not a number (1 of 3 rows)"),
    "a decimal comma": ('a,b\n1,2\n"1,5",3\n4,5\n', {}, "t.csv:3:a: error: '1,5' is not a number (1 of 3 rows)"),
    "python's underscores": ("a,b\n1,2\n1_000,3\n4,5\n", {}, "t.csv:3:a: error: '1_000' is not a number (1 of 3 rows)"),
    "words where numbers are wanted": (GOOD, {"inputs": {"x": [{"columns": "kind"}, "normalization"]}}, "error: inputs.x (normalization): needs numbers, got text; add string_lookup (for strings) or cast (for numbers in text) before it"),
    "missing value": ("a,b\n1,2\n3,\n,\n", {"inputs": {"x": {"columns": ["a", "b"]}}}, "t.csv:3:b: error: missing value (2 rows)"),
    "missing before normalization": ("a,b\n1,2\n3,\n4,4\n", {"inputs": {"b": "normalization"}}, "t.csv:3:b: error: missing value"),
    "missing word": ("a,k\n1,x\n2,\n", {"inputs": {"k": "string_lookup"}}, "t.csv:3:k: error: missing value"),
    "missing label": ("a,b,kind\n1,2,cat\n2,3,\n3,4,dog\n", {"targets": KIND}, "t.csv:3:kind: error: missing label"),
    "missing label of integers": ("a,b,kind\n1,2,1\n2,3,\n3,4,0\n4,4,\n", {"targets": {"kind": ["integer_lookup"]}}, "t.csv:3:kind: error: missing label (2 rows)"),
    "missing integer to hash": ("a,b\n1,2\n2,\n", {"inputs": {"b": {"hashing": 3}}}, "t.csv:3:b: error: missing value (1 row)"),
    "missing word to hash": ("a,k\n1,x\n2,\n", {"inputs": {"k": {"hashing": 3}}}, "t.csv:3:k: error: missing value"),
    "missing word to cross": ("k,l\nx,y\nx,\n", {"inputs": {"x": [{"columns": ["k", "l"]}, {"hashed_crossing": 3}]}}, "t.csv:3:x: error: l: missing value"),
    "missing class to split by": ("a,kind\n1,1\n2,\n3,0\n", {"inputs": {"a": []}, "split": {"test": 0.5, "stratify": "kind"}}, "t.csv:3:kind: error: missing value: the rows are split by this column"),
    "missing number to predict": ("a,b,y\n1,2,3\n2,3,\n3,4,5\n", {"targets": {"y": []}}, "t.csv:3:y: error: missing label (1 row)"),
    "one class": ("a,b,kind\n1,2,cat\n2,3,cat\n", {"targets": KIND}, "error: targets.kind (string_lookup): expected at least two classes, got only 'cat'"),
    "class of one row": ("a,b,kind\n1,2,cat\n2,3,cat\n3,4,owl\n", {"split": {"test": 0.5, "stratify": "kind"}}, "error: split: class 'owl' has 1 row; it cannot be in train and test"),
    "no rows for a part": (GOOD, {"split": {"validation": 0.001}}, "error: split: 0.001 of 4 rows is 0 rows for 'validation'"),
    "no rows for the tail": ("a,b\n1,2\n", {"validation_split": 0.2}, "error: validation_split 0.2 of 1 row leaves 0 rows for training"),
    "stratify on a measure": (GOOD, {"split": {"test": 0.5, "stratify": "b"}}, "error: split.stratify: column 'b' does not hold class labels"),
    "text to the model": (GOOD, {"inputs": {"kind": []}}, "error: inputs.kind: the output is text ('cat'); a model needs numbers"),
    "words beside numbers": (GOOD, {"inputs": {"x": {"columns": ["a", "kind"]}}}, "error: inputs.x: column 'kind' holds text, column 'a' holds numbers"),
    "negative weight": (GOOD.replace("dog,1", "dog,-1"), {"targets": KIND, "sample_weight": {"kind": {"columns": "w"}}}, "t.csv:3:w: error: a weight cannot be negative, got -1"),
    "class number too large": ("a,b,y\n1,2,0\n2,3,7\n", {"targets": {"y": {"to_categorical": 3}}}, "t.csv:3:y: error: class 7 is outside 0..2 (num_classes 3)"),
    "too large for the type": ("a,b\n1,2\n300,3\n", {"inputs": {"a": {"cast": "uint8"}}}, "t.csv:3:a: error: 300 is outside 0..255 (uint8)"),
    "an id beside a gap": ("a,b\n3,1\n9007199254740993,1\n,2\n", {"inputs": {"a": "impute"}}, f"t.csv:3:a: error: 9007199254740993 {DIGITS}"),
    "an id beside a fraction": ("a,b\n3,1\n-9007199254740993,1\n.5,2\n", {"inputs": {"a": []}}, f"t.csv:3:a: error: -9007199254740993 {DIGITS}"),
    "more than 64 bits": ("a,b\n3,1\n123456789012345678901,1\n", {"inputs": {"a": "normalization"}}, f"t.csv:3:a: error: 123456789012345678901 {DIGITS}"),
    "an id beside a column of fractions": ("a,b\n1,2.5\n9007199254740993,1.5\n", {"inputs": {"x": {"columns": ["b", "a"]}}}, "t.csv:3:a: error: 9007199254740993 would be rounded next to columns of float64: floats are exact for integers up to 2**53"),
    "an id cast to floats": ("a,b\n1,2\n9007199254740993,1\n", {"inputs": {"a": {"cast": "float32"}}}, "t.csv:3:a: error: 9007199254740993 would be rounded: floats are exact for integers up to 2**53"),
    "an id with a mean put in": ("a,b\n9223372036854775807,2\n", {"inputs": {"a": "impute"}}, "t.csv:2:a: error: 9223372036854775807 would be rounded: floats are exact for integers up to 2**53"),
    "too large to normalize": ("a,b\n1,2\n1e300,3\n", {}, "error: inputs.x (normalization): the values are too large to normalize: the sum of their squares is beyond float64"),
    "too large for a float": ("a,b\n1,2\n-1e39,3\n", {"inputs": {"a": []}}, "t.csv:3:a: error: -1e+39 is too large for float32"),
    "a sum too large for a float": ("a,b\n1,2\n3e38,3\n", {"inputs": {"a": {"rescaling": 10.0}}}, "t.csv:3:a: error: 3e+39 is too large for float32"),
    "a label with a fraction": ("a,b,y\n1,2,0\n2,3,0.99\n", {"targets": {"y": {"cast": "int64"}}}, "t.csv:3:y: error: 0.99 is not an integer"),
    "an archive": (b"PK\x03\x04 and so on", {}, "t.csv: error: this is a zip archive (npz, xlsx), not delimited text"),
    "a pickle": (b"\x80\x04\x95 and so on", {}, "t.csv: error: this is a pickle, not delimited text"),
    "escapes in a word": ("a,b\n1,2\n\x1b[31mred,3\n4,5\n", {}, "t.csv:3:a: error: '\\x1b[31mred' is not a number (1 of 3 rows)"),
    "a huge field": ("a,b\n1,2\n3," + "9" * (2**20 + 1) + "\n", {}, "t.csv:3: error: a field of more than 1,048,576 characters"),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV)
def test_bad_csv(case: str, tmp_path: Path) -> None:
    content, section, line = CSV[case]
    (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert first_line(tmp_path, {"csv": "t.csv"}, **section) == line


def test_an_unknown_class_in_the_test_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "test.csv").write_text("a,b,kind,w\n1,2,cat,1\n1,2,eel,1\n")
    line = first_line(tmp_path, {"csv": {"path": "t.csv", "test": "test.csv"}}, targets=KIND)
    assert line == "test.csv:3:kind: error: class 'eel' is not among the 2 classes of the training data (cat, dog)"


def test_a_word_in_a_number_column_of_the_test_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "test.csv").write_text("a,b,kind,w\n1,two,cat,1\n")
    line = first_line(tmp_path, {"csv": {"path": "t.csv", "test": "test.csv"}})
    assert line == "test.csv:2:b: error: 'two' is not a number"


WHOLE = "1,0,1,5\n2,1,2,6\n"
LATER = {
    "a label with a fraction": ("1,1.5,1,5\n", {"targets": {"y": {"to_categorical": 3}}}, "later.csv:2:y: error: 1.5 is not an integer; the training rows hold int64"),
    "a plain label with a fraction": ("1,1,1,5\n1,1.5,1,5\n", {"targets": {"y": []}}, "later.csv:3:y: error: 1.5 is not an integer; the training rows hold int64"),
    "no label": ("1,1,1,5\n1,,1,5\n", {"targets": {"y": []}}, "later.csv:3:y: error: missing label (1 row)"),
    "a missing number to look up": ("1,1,,5\n", {"inputs": {"k": "integer_lookup"}}, "later.csv:2:k: error: missing value (1 row)"),
    "a fraction to look up": ("1,1,1.5,5\n", {"inputs": {"k": "integer_lookup"}}, "later.csv:2:k: error: 1.5 is not an integer; the training rows hold int64"),
    "missing in one of two": ("1,1,1,\n", {"inputs": {"x": {"columns": ["k", "m"]}}}, "later.csv:2:m: error: missing value (1 row)"),
    "a fraction to impute": (",1,1,5\n1.5,1,1,5\n", {"inputs": {"a": {"impute": "most_frequent"}}}, "later.csv:3:a: error: 1.5 is not an integer; the training rows hold int64"),
}  # fmt: skip


@pytest.mark.parametrize("case", LATER)
def test_later_rows_are_held_to_what_the_training_rows_were(case: str, tmp_path: Path) -> None:
    rows, section, line = LATER[case]
    (tmp_path / "t.csv").write_text(f"a,y,k,m\n{WHOLE}")
    (tmp_path / "later.csv").write_text(f"a,y,k,m\n{rows}")
    section = {"inputs": {"a": []}, **section}
    assert first_line(tmp_path, {"csv": {"path": "t.csv", "test": "later.csv"}}, **section) == line


def test_numbers_as_text_in_a_later_file(tmp_path: Path) -> None:
    (tmp_path / "t.npz").write_bytes(npz(x=np.zeros(2)))
    (tmp_path / "later.npz").write_bytes(npz(x=np.array(["1", "2"])))
    line = first_line(tmp_path, {"npz": {"path": "t.npz", "test": "later.npz"}}, **X)
    assert line == "later.npz: error: column 'x' holds text; expected numbers"


def test_a_row_is_named_by_its_line_in_the_file_after_splitting(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i}\n" for i in range(50))
    (tmp_path / "t.csv").write_text(f'a,note\n1,"two\nlines"\n\n{rows},1\n')
    line = first_line(tmp_path, {"csv": "t.csv"}, inputs={"a": []}, split={"test": 0.5, "seed": 4})
    assert line == "t.csv:55:a: error: missing value (1 row)"


def test_a_missing_file_with_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(GOOD)
    line = first_line(tmp_path, {"csv": "trian.csv"})
    assert line == f"error: no such file 'trian.csv'; did you mean '{tmp_path / 'train.csv'}'?"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    assert first_line(tmp_path, {"csv": "pipe.csv"}) == "error: 'pipe.csv' is a named pipe, not a file"
    assert first_line(tmp_path, {"csv": "folder.csv"}) == "error: 'folder.csv' is a folder, not a file"
    assert first_line(tmp_path, {"csv": "/dev/zero"}) == "error: '/dev/zero' is a device, not a file"


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def bomb() -> bytes:
    """An npz whose header declares 2**50 bytes, as does the zip member."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**50,)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header.getvalue())
    return buffer.getvalue()


X = {"inputs": {"x": []}}
NPZ = {
    "lacks a column": (npz(z=np.zeros(3)), X, "error: there is no column 'x'"),
    "lengths differ": (npz(x=np.zeros(3), y=np.zeros(4)), X, "t.npz: error: 'x' has 3 rows, 'y' has 4"),
    "objects": (npz(x=np.array([{}, 1], dtype=object)), X, "error: 'x' in 't.npz' holds Python objects; pickled arrays are never loaded"),
    "complex": (npz(x=np.zeros(3, complex)), X, "t.npz: error: 'x' holds complex128; expected numbers or text"),
    "a scalar": (npz(x=np.array(3)), X, "t.npz: error: 'x' is a single value, not rows"),
    "nothing inside": (npz(), X, "t.npz: error: there are no arrays"),
    "says more than it has": (bomb(), X, f"error: 'a' in 't.npz' declares {2**50:,} bytes of data (shape ({2**50},)) but has 0"),
    "no zip": (b"not a zip at all", X, "error: 't.npz' is not a sound npz file: File is not a zip file"),
    "no arrays in the zip": (b"", X, "error: 't.npz' is not a sound npz file: File is not a zip file"),
    "of no split": (npz(x_train=np.zeros(3), w=np.zeros(3)), X, "t.npz: error: 'w' belongs to no split; the other arrays end in '_train', '_test', ..."),
    "twice a split": (npz(x_train=np.zeros(3), x_val=np.zeros(2), x_validation=np.zeros(2)), X, "t.npz: error: two arrays are the column 'x' of validation: one is 'x_validation'"),
    "no training rows": (npz(x_test=np.zeros(3)), X, "error: the source 'npz' has no 'train' split, only test"),
    "infinite before a transform": (
        npz(x=np.array([[1.0], [np.inf]])), {"inputs": {"x": ["normalization"]}}, "t.npz:2:x: error: infinite value"),
    "infinite behind an impute": (
        npz(x=np.array([[1.0], [np.inf]])), {"inputs": {"x": [{"impute": "median"}, {"discretization": {"bin_boundaries": [2]}}]}},
        "t.npz:2:x: error: infinite value"),
    "infinite": (npz(x=np.array([[1.0], [np.inf]])), X, "t.npz:2:x: error: infinite value (1 row)"),
    "empty rows": (npz(x=np.zeros((5, 0))), X, "error: inputs.x: the rows are empty (shape (0,))"),
    "bytes that are no text": (npz(x=np.array([b"a", b"\xe9"])), X, "t.npz: error: 'x' is not UTF-8 (byte 0xe9)"),
    "half a character": (npz(x=np.array(["a", "\ud83d"])), X, "t.npz: error: 'x' is not UTF-8 (half a character)"),
    "numbers as text": (npz(x=np.array(["1", "2"])), X, "error: inputs.x: the output is text ('1'); a model needs numbers"),
    "too large for a float": (npz(x=np.array([1.0, 1e300])), X, "t.npz:2:x: error: 1e+300 is too large for float32"),
    "too large for an integer": (npz(x=np.array([1, 2**64 - 1], np.uint64)), X, f"t.npz:2:x: error: {2**64 - 1} is outside -{2**63}..{2**63 - 1} (int64)"),
    "too large to cast": (npz(x=np.array([1.0, 2.0**63])), {"inputs": {"x": {"cast": "int64"}}}, f"t.npz:2:x: error: {2.0**63:g} is outside -{2**63}..{2**63 - 1} (int64)"),
    "too large a weight": (npz(x=np.zeros(2), y=np.zeros(2), w=np.array([1.0, 1e300])), {**X, "targets": {"y": []}, "sample_weight": {"y": {"columns": "w"}}}, "t.npz:2:w: error: 1e+300 is too large for float32"),
    "no rows": (npz(x=np.zeros((0, 3))), X, "t.npz: error: there are no rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", NPZ)
def test_bad_npz(case: str, tmp_path: Path) -> None:
    content, section, line = NPZ[case]
    (tmp_path / "t.npz").write_bytes(content)
    assert first_line(tmp_path, {"npz": "t.npz"}, **section) == line


def test_a_flipped_bit_in_an_npz_is_noticed(tmp_path: Path) -> None:
    content = bytearray(npz(x=np.zeros(100)))
    content[400] ^= 1
    (tmp_path / "t.npz").write_bytes(content)
    line = first_line(tmp_path, {"npz": "t.npz"}, **X)
    assert line == "error: 't.npz' is not a sound npz file: Bad CRC-32 for file 'x.npy'"


def test_bad_parquet(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"x": [[1], [2]]}), tmp_path / "lists.parquet")
    assert first_line(tmp_path, {"parquet": "lists.parquet"}, **X) == (
        "lists.parquet: error: 'x' holds list<element: int64>; expected numbers or text"
    )
    twice = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["x", "x"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    assert first_line(tmp_path, {"parquet": "twice.parquet"}, **X) == "twice.parquet: error: column 'x' appears twice"
    parquet.write_table(pyarrow.table({"x": [2**53 + 1, None]}), tmp_path / "large.parquet")
    assert first_line(tmp_path, {"parquet": "large.parquet"}, **X) == (
        "large.parquet: error: 'x' has missing values and numbers beyond 2**53, which floats cannot hold"
    )
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + struct.pack("<I", 9) + b"PAR1")
    assert first_line(tmp_path, {"parquet": "t.parquet"}, **X).startswith("error: 't.parquet' is damaged: ")


CODE = {
    "raises": ("def load():\n    return 1 / 0\n", "code.py:2:5: error: ZeroDivisionError: division by zero"),
    "raises deeper": ("import json\ndef load():\n    return json.loads('{')\n", "code.py:3:5: error: JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    "does not parse": ("x = 1\ndef load(:\n", "code.py:2:10: error: invalid syntax"),
    "has another name": ("def loads():\n    return {}\n", "code.py: error: there is no function 'load'; did you mean 'loads'?"),
    "leaves": ("import sys\ndef load():\n    sys.exit(0)\n", "code.py:3:5: error: SystemExit: 0"),
    "leaves at once": ("import sys\nsys.exit(0)\n", "code.py:2:1: error: SystemExit: 0"),
    "returns ragged rows": ("def load():\n    return {'x': [[1], [1, 2]]}\n", "code.py:load: error: 'x' cannot be converted to an array: setting an array element with a sequence. The requested array has an inhomogeneous shape after 1 dimensions. The detected shape was (2,) + inhomogeneous part."),
    "returns no columns": ("def load():\n    return [1]\n", "code.py:load: error: expected columns by name, got the list [1]"),
    "returns an odd split": ("def load():\n    return {'train': {'x': [1]}, 'dev': {'x': [1]}}\n", "code.py:load: error: there is no split the text 'dev'; expected train, validation, test"),
    "returns masked numbers": ("import numpy as np\ndef load():\n    return {'x': np.ma.masked_array([0, 5, 2], [0, 1, 0])}\n", "code.py:load train:2:x: error: missing value (1 row)"),
    "returns objects": ("def load():\n    return {'x': [{}, {}]}\n", "code.py:load train: error: 'x' holds Python objects; expected numbers or text"),
}  # fmt: skip


@pytest.mark.parametrize("case", CODE)
def test_bad_code(case: str, tmp_path: Path) -> None:
    code, line = CODE[case]
    (tmp_path / "code.py").write_text(code)
    assert first_line(tmp_path, {"python": "code.py:load"}, **X) == line


SECTIONS = {
    "no inputs": ({"inputs": {}}, "error: inputs: expected at least one input"),
    "unknown source": ({"source": "mnits"}, "error: there is no source 'mnits'; did you mean 'mnist'?"),
    "unknown transform": ({"inputs": {"x": ["rescalin"]}}, "error: there is no transform 'rescalin'; did you mean 'rescaling'?"),
    "columns late": ({"inputs": {"x": ["normalization", {"columns": "a"}]}}, "error: 'columns' comes first in a pipeline"),
    "no such columns form": ({"inputs": {"x": {"columns": 3}}}, "error: columns: expected a name or a list of names, got 3"),
    "too large a part": ({"split": {"test": 0.6, "validation": 0.4}}, "error: validation and test add up to 1; expected less than 1"),
    "a weight for no target": ({"targets": {"y": []}, "sample_weight": {"z": {"columns": "y"}}}, "error: sample_weight: there is no target 'z'"),
    "no parts": ({"split": {"seed": 3}}, "error: expected a fraction for 'validation', 'test' or both, or a number of 'folds'"),
    "unused shared transform": ({"shared": {"words": "string_lookup"}}, "error: shared: no pipeline uses 'words'"),
    "a shared one called like a transform": ({"shared": {"reshape": "string_lookup"}}, "error: shared: 'reshape' is the name of a transform; give the shared one another name"),
    "arguments for a shared one": ({"shared": {"words": "string_lookup"}, "inputs": {"x": [{"words": 3}]}}, "error: 'words' is a shared transform and takes no arguments here"),
    "a split the source has": ({"source": "mnist", "inputs": {"x": []}, "split": {"test": 0.1}}, "error: split.test: the source has its own 'test' split of 10000 rows"),
    "an encoding of bytes": ({"source": {"csv": {"path": "a", "encoding": "hex"}}}, "error: encoding: there is no encoding 'hex'; for example utf-8, latin-1 or cp1252"),
    "an encoding of nothing": ({"source": {"csv": {"path": "a", "encoding": "undefined"}}}, "error: encoding: there is no encoding 'undefined'; for example utf-8, latin-1 or cp1252"),
    "an unknown encoding": ({"source": {"csv": {"path": "a", "encoding": "utf-7000"}}}, "error: encoding: there is no encoding 'utf-7000'; for example utf-8, latin-1 or cp1252"),
}  # fmt: skip


@pytest.mark.parametrize("case", SECTIONS)
def test_bad_section(case: str, tmp_path: Path) -> None:
    section, line = SECTIONS[case]
    section = {"source": "blobs", **section}
    assert first_line(tmp_path, section.pop("source"), **section) == line
