"""Config text: strict YAML with positions; every refusal word for word; dumped text reads back equal."""

import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kerascli.config.composition.extends import extend
from kerascli.config.yaml.document import MAX_FAULTS
from kerascli.config.yaml.dump import dump_yaml
from kerascli.config.yaml.text import MAX_BYTES, parse_document, parse_value, read_document
from kerascli.foundation.errors import ConfigError, Fault, KerasCliError, Place, Related
from tests.support.bounds import cpu_seconds


def messages(error: KerasCliError) -> list[str]:
    return [fault.lines()[0] for fault in error.faults]


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "c.yaml")
    return caught.value


SPLIT = "YAML ends unquoted text at ',', '[', ']', '{', '}' and ' #'"
BAD = [
    # nothing there, or not one mapping
    ("", "c.yaml: error: the file is empty"),
    ("# only a comment\n", "c.yaml: error: the file is empty"),
    ("---\n...\n", "c.yaml: error: the file is empty"),
    ("null", "c.yaml:1:1: error: expected a mapping (key: value), got nothing (null)"),
    ("hello", "c.yaml:1:1: error: expected a mapping (key: value), got the text 'hello'"),
    ("- a\n- b", "c.yaml:1:1: error: expected a mapping (key: value), got the list [a, b]"),
    ("a: 1\n---\nb: 2", "c.yaml:2:1: error: a config is one YAML document; a second one starts here"),
    ("a: 1\n...\nb: 1", "c.yaml:3:1: error: a key does not fit the indentation of the lines above"),
    ("{a: 1} b", "c.yaml:1:8: error: unexpected text after the end of the config"),
    # characters
    ("a: \x07", "c.yaml:1:4: error: the character U+0007 is not allowed"),
    ("a: 1\nb: x\u2028y", "c.yaml:2:5: error: the character U+2028 is not allowed"),
    ("a: 1\n\tb: 2", "c.yaml:2:1: error: a tab character; YAML is indented with spaces"),
    ("a:\n  \tb: 2", "c.yaml:2:3: error: a tab character; YAML is indented with spaces"),
    ("a:\t1", "c.yaml:1:3: error: a tab character; YAML is indented with spaces"),
    # ambiguous and impossible scalars
    ("a: 010", "c.yaml:1:4: error: ambiguous value '010': YAML 1.1 read a number with a leading zero as octal"),
    ("a: -0777", "c.yaml:1:4: error: ambiguous value '-0777': YAML 1.1 read a number with a leading zero as octal"),
    ("a: 01.5", "c.yaml:1:4: error: ambiguous value '01.5': a number with a leading zero"),
    ("a: 12:30", "c.yaml:1:4: error: ambiguous value '12:30': YAML 1.1 read it as a number in base 60"),
    ("a: 12:30:45.5", "c.yaml:1:4: error: ambiguous value '12:30:45.5': YAML 1.1 read it as a number in base 60"),
    ("a: 1_000", "c.yaml:1:4: error: ambiguous value '1_000': a number with an underscore in it"),
    ("a: 1_0.5", "c.yaml:1:4: error: ambiguous value '1_0.5': a number with an underscore in it"),
    ("a: 0b101", "c.yaml:1:4: error: ambiguous value '0b101': YAML 1.1 read it as a binary number"),
    ("a: -0x1F", "c.yaml:1:4: error: ambiguous value '-0x1F': a number with a sign or an underscore in it"),
    ("a: [1, 010]", "c.yaml:1:8: error: ambiguous value '010': YAML 1.1 read a number with a leading zero as octal"),
    ("010: a", "c.yaml:1:1: error: ambiguous value '010': YAML 1.1 read a number with a leading zero as octal"),
    ("a: .inf", "c.yaml:1:4: error: '.inf' is not a finite number"),
    ("a: -.Inf", "c.yaml:1:4: error: '-.Inf' is not a finite number"),
    ("a: .nan", "c.yaml:1:4: error: '.nan' is not a finite number"),
    ("a: 1e400", "c.yaml:1:4: error: '1e400' is not a finite number"),
    ("a: 1000000000000000001",
     "c.yaml:1:4: error: the integer 1000000000000000001 is out of range: at most 10^18 in size"),
    ("a: 0xFFFFFFFFFFFFFFFF",
     "c.yaml:1:4: error: the integer 0xFFFFFFFFFFFFFFFF is out of range: at most 10^18 in size"),
    (f"a: {'9' * 5000}",
     f"c.yaml:1:4: error: the integer {'9' * 27}... is out of range: at most 10^18 in size"),
    # keys
    ("a: 1\nb: 2\na: 3", "c.yaml:3:1: error: duplicate key 'a'; first set at line 1"),
    ("x: {a: 1, a: 2}", "c.yaml:1:11: error: duplicate key 'a'; first set at line 1, column 5"),
    ("x: {1: a, 0x1: b}", "c.yaml:1:11: error: duplicate key '1'; first set at line 1, column 5"),
    ("true: 1", "c.yaml:1:1: error: a key must be text or an integer"),
    ("a: {~: 1}", "c.yaml:1:5: error: a key must be text or an integer"),
    ("a: {1.5: 1}", "c.yaml:1:5: error: a key must be text or an integer"),
    ("a: {[1, 2]: 3}", "c.yaml:1:5: error: a key must be text or an integer"),
    ("a: {units:3}", "c.yaml:1:5: error: a space is missing after ':' in 'units:3'"),
    # structure
    ("a: b: c", "c.yaml:1:5: error: a ': ' is not expected here"),
    ("a: 1\n  b: 2", "c.yaml:2:4: error: a ': ' is not expected here"),
    ("a: 1\nfoo\nb: 2", "c.yaml:2:1: error: no ':' follows 'foo'"),
    ("a: 1\nb:2\nc: 3", "c.yaml:2:1: error: a space is missing after ':' in 'b:2'"),
    ("a:\n    b: 1\n  c: 2", "c.yaml:3:3: error: a key does not fit the indentation of the lines above"),
    (" a: 1\nb: 2", "c.yaml:2:1: error: a key does not fit the indentation of the lines above"),
    ("- a\nb: 1", "c.yaml:2:1: error: this does not fit the indentation of the lines above"),
    ("- - a\n - b", "c.yaml:2:2: error: a list does not fit the indentation of the lines above"),
    ("a: - b", "c.yaml:1:4: error: a list cannot start here"),
    ("a: [1, 2", "c.yaml:1:4: error: the '[' is never closed"),
    ("a: {b: 1", "c.yaml:1:4: error: the '{' is never closed"),
    ("a: [1, 2\nb: 3", "c.yaml:2:2: error: expected ',' or ']', got ':'"),
    ("a: {b: x[0]}", "c.yaml:1:9: error: expected ',' or '}', got '['"),
    ("a: [b, , c]", "c.yaml:1:8: error: expected a value, got ','"),
    ("a: ]", "c.yaml:1:4: error: expected a value, got ']'"),
    ("a: \"x\" y", "c.yaml:1:8: error: unexpected text after a complete value"),
    # quotes and first characters
    ("a: 'x\nb: 1", "c.yaml:1:4: error: the quote is never closed"),
    ('a: "x', "c.yaml:1:4: error: the quote is never closed"),
    ('a: "\\d+"', "c.yaml:1:6: error: unknown escape '\\d': a backslash in double quotes"),
    ('a: "\\xg"', "c.yaml:1:7: error: a broken escape: a backslash in double quotes"),
    ('a: "\\UFFFFFFFF"', "c.yaml:1:7: error: a broken escape: a backslash in double quotes"),
    ('a: "\\ud83d"', "c.yaml:1:4: error: the escape of half a character (U+D83D)"),
    (f"%YAML 1.{'1' * 5000}\n---\na: 1", "c.yaml:1:9: error: this cannot be read as YAML"),
    ("a: @x", "c.yaml:1:4: error: text cannot start with '@'"),
    ("a: `x`", "c.yaml:1:4: error: text cannot start with '`'"),
    ("a: %x", "c.yaml:1:4: error: text cannot start with '%'"),
    ("%x", "c.yaml:1:1: error: text cannot start with '%'"),
    ("a: *.csv", "c.yaml:1:4: error: text cannot start with '*'"),
    ("a: & b", "c.yaml:1:4: error: text cannot start with '&'"),
    ("a: > 3", "c.yaml:1:4: error: '>' starts a block of text below"),
    ("a: |x", "c.yaml:1:4: error: '|' starts a block of text below"),
    # tags, anchors, aliases, merge keys
    ("a: !!str 5", "c.yaml:1:4: error: tags ('!...') are not allowed: a config is data only"),
    ("a: !!python/object/apply:os.system [id]",
     "c.yaml:1:4: error: tags ('!...') are not allowed: a config is data only"),
    ("a: !x {b: 1}", "c.yaml:1:4: error: tags ('!...') are not allowed: a config is data only"),
    ("a: !e!x 1", "c.yaml:1:4: error: tags ('!...') are not allowed: a config is data only"),
    ("a: *b", "c.yaml:1:4: error: there is no anchor '&b' above"),
    ("a: &b [*b]", "c.yaml:1:8: error: alias '*b' is inside the value that it refers to"),
    ("a: &b {<<: *b}", "c.yaml:1:12: error: alias '*b' is inside the value that it refers to"),
    ("a: &b 1\nc: &b 2", "c.yaml:2:4: error: anchor '&b' is set twice; first at line 1"),
    ("a: {<<: 3}",
     "c.yaml:1:9: error: '<<' merges a mapping or a list of mappings, by alias: '<<: *name'"),
    # bounds
    ("a: " + "[" * 40, "c.yaml:1:35: error: nested deeper than 32 levels"),
    ("a: [" + "1, " * 60_000 + "1]", "c.yaml:1:179996: error: more than 60,000 keys and values"),
    ("a: x" + "x" * MAX_BYTES, "c.yaml: error: the file is larger than 1024 KiB, the limit for a config"),
    # expressions that YAML splits, arguments beside their thing
    ("a: {units: $(max(a, b))}", f"c.yaml:1:12: error: unbalanced brackets in '$(max(a': {SPLIT}"),
    ("a: [mean(a, b), c]", f"c.yaml:1:5: error: unbalanced brackets in 'mean(a': {SPLIT}"),
    ("a: {v: $(x[0])}", f"c.yaml:1:8: error: unbalanced brackets in '$(x': {SPLIT}"),
    ("a: $(f(x) #b)", f"c.yaml:1:4: error: unbalanced brackets in '$(f(x)': {SPLIT}"),
    ("m:\n- dense:\n  units: 3", "c.yaml:3:3: error: 'units' is on the same level as 'dense', not nested in it"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "first"), BAD, ids=[text[:24] for text, _ in BAD])
def test_bad_text_is_refused_word_for_word(text: str, first: str) -> None:
    assert messages(refused(text))[0] == first


def test_all_faults_of_a_text_come_at_once_in_order_of_line() -> None:
    error = refused("a: 010\nb: {c: 12:30, c: 1}\nd: !t x\na: .inf\n")
    assert messages(error) == [
        "c.yaml:1:4: error: ambiguous value '010': YAML 1.1 read a number with a leading zero as octal",
        "c.yaml:2:8: error: ambiguous value '12:30': YAML 1.1 read it as a number in base 60",
        "c.yaml:2:15: error: duplicate key 'c'; first set at line 2, column 5",
        "c.yaml:3:4: error: tags ('!...') are not allowed: a config is data only",
        "c.yaml:4:1: error: duplicate key 'a'; first set at line 1",
        "c.yaml:4:4: error: '.inf' is not a finite number",
    ]


def test_a_split_expression_hides_its_consequences_and_says_how_to_quote() -> None:
    error = refused("a: {units: $(max(x, y)), rate: $(max(z, y))}\nb: 010")
    assert len(error.faults) == 3
    assert error.faults[0].lines()[1:] == [
        "  1 | a: {units: $(max(x, y)), rate: $(max(z, y))}",
        "    |            ^^^^^^^",
        '  hint: quote it: "$(max(x, y))"',
    ]
    assert error.faults[2].text.startswith("ambiguous value '010'")


def test_text_from_the_file_cannot_reach_the_terminal_raw() -> None:
    error = refused('"a\\n\\e[31m": 1\n"a\\n\\e[31m": 2')
    assert messages(error) == ["c.yaml:2:1: error: duplicate key 'a\\n\\x1b[31m'; first set at line 1"]


def test_advice_on_quoting_takes_the_quotes_that_are_free() -> None:
    assert refused('a: [f("x", (1, 2))]').faults[0].hint == "quote it: 'f(\"x\", (1, 2))'"


def test_more_than_twenty_faults_are_counted() -> None:
    error = refused("\n".join(f"k{i}: 010" for i in range(30)))
    assert len(error.faults) == MAX_FAULTS + 1
    assert messages(error)[-1] == "error: ... and 10 more"


SCALARS = [
    ("1", 1), ("-1", -1), ("+1", 1), ("0", 0), ("0x1F", 31), ("0o17", 15), ("1e-3", 1e-3), ("1E5", 1e5), ("1e3", 1e3),
    ("1.0e-3", 1e-3), ("1.", 1.0), (".5", 0.5), ("-.5", -0.5), ("3.10", 3.1), ("1000000000000000000", 10**18),
    ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("Null", None), ("", None),
    ("no", "no"), ("NO", "NO"), ("off", "off"), ("on", "on"), ("yes", "yes"), ("y", "y"), ("=", "="),
    ("2024-01-01", "2024-01-01"), ("2001-12-14 21:59:43", "2001-12-14 21:59:43"), ("inf", "inf"), ("nan", "nan"),
    ("1.2.3", "1.2.3"), ("1e", "1e"), ("-", "-"), ("e3", "e3"), ("0x", "0x"), ("1,5", "1,5"), ("5 %", "5 %"),
    ("'010'", "010"), ('"12:30"', "12:30"), ("'true'", "true"),
    ('"\\u00e9"', "é"), ("$(2 * (a + b))", "$(2 * (a + b))"),
    ("block4_conv1..block5_conv3", "block4_conv1..block5_conv3"), ("1:2:3:x", "1:2:3:x"), (":(", ":("),
]  # fmt: skip


@pytest.mark.parametrize(("written", "value"), [pair for pair in SCALARS if pair[0] not in {"-", ":("}])
def test_scalars_are_yaml_1_2(written: str, value: Any) -> None:
    read = parse_document(f"a: {written}", "c.yaml").data["a"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_texts_or_whole_numbers() -> None:
    assert parse_document("a: {0: 1.0, no: 2, '0': 3}", "c.yaml").data == {"a": {0: 1.0, "no": 2, "0": 3}}


def test_a_key_that_is_merged_is_not_taken_for_a_list_item_s_name() -> None:
    text = "v: &a\n  flatten:\nl:\n- <<: *a\n  name: y\n"
    assert parse_document(text, "c.yaml").data["l"] == [{"flatten": None, "name": "y"}]


def test_aliases_and_merge_keys_are_written_out() -> None:
    text = """
common: &common {units: 64, activation: relu}
more: &more {rate: 0.5, units: 1}
a: *common
b: {<<: *common, units: 128}
c: {<<: [*common, *more]}
d: &d {<<: *more, extra: true}
e: {<<: *d, rate: 0.1}
"""
    data = parse_document(text, "c.yaml").data
    assert data["a"] == {"units": 64, "activation": "relu"}
    assert data["b"] == {"units": 128, "activation": "relu"}
    assert data["c"] == {"units": 64, "activation": "relu", "rate": 0.5}
    assert data["e"] == {"rate": 0.1, "units": 1, "extra": True}
    data["a"]["units"] = 0
    assert data["common"]["units"] == 64


def test_a_place_below_an_alias_is_where_the_value_was_written() -> None:
    document = parse_document("a: &x\n  units: 3\nb: *x\nc: {<<: *x, k: 1}\n", "c.yaml")
    assert str(document.marks[("b",)].value) == "c.yaml:3:4"
    assert str(document.marks[("b", "units")].value) == "c.yaml:2:10"
    assert str(document.marks[("c", "units")].value) == "c.yaml:2:10"


@pytest.mark.parametrize("kind", ["lists", "merges", "deep"])
def test_alias_bombs_are_refused_at_once(kind: str) -> None:
    if kind == "lists":
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
        expected = "more than 60,000 values, with all aliases written out"
    elif kind == "merges":
        lines = ["a0: &a0 {k0: 1}"]
        lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}" for i in range(1, 30)]
        assert parse_document("\n".join(lines), "c.yaml").data["a29"] == {f"k{i}": 1 for i in range(30)}
        return
    else:
        lines = ["a0: &a0 {k: 1}", *(f"a{i}: &a{i} {{k: *a{i - 1}}}" for i in range(1, 200))]
        expected = "nested deeper than 32 levels"
    with cpu_seconds():
        assert refused("\n".join(lines)).faults[0].text == expected


def test_every_key_and_value_has_its_place() -> None:
    text = "model:\n  layers:\n    - dense: {units: 3, activation: relu}\n    - 'flatten'\nfit:\n"
    document = parse_document(text, "c.yaml")
    places = {
        path: (str(mark.key) if mark.key else None, str(mark.value), mark.value.length)
        for path, mark in document.marks.items()
    }
    dense = ("model", "layers", 0, "dense")
    assert places == {
        (): (None, "c.yaml:1:1", 5),
        ("model",): ("c.yaml:1:1", "c.yaml:1:1", 5),
        ("model", "layers"): ("c.yaml:2:3", "c.yaml:2:3", 6),
        ("model", "layers", 0): (None, "c.yaml:3:7", 5),
        dense: ("c.yaml:3:7", "c.yaml:3:14", len("{units: 3, activation: relu}")),
        (*dense, "units"): ("c.yaml:3:15", "c.yaml:3:22", 1),
        (*dense, "activation"): ("c.yaml:3:25", "c.yaml:3:37", 4),
        ("model", "layers", 1): (None, "c.yaml:4:7", 9),
        ("fit",): ("c.yaml:5:1", "c.yaml:5:1", 3),
    }
    assert document.marks[(*dense, "units")].value.source == "    - dense: {units: 3, activation: relu}"


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (Fault("x", ("fit", "epochs")), "c.yaml:2:11"),
        (Fault("x", ("fit", "epochs"), "key"), "c.yaml:2:3"),
        (Fault("x", ("fit", "batch")), "c.yaml:1:1"),
        (Fault("dense.units: must be at least 1", ("layers", 0, "dense", "units")), "c.yaml:4:12"),
        (Fault("there is no layer 'desne'", ("layers", 1, "desne"), "key"), "c.yaml:5:5"),
        (Fault("units: expected a number", ("layers", 1, "desne")), "c.yaml:5:12"),
        (Fault("x", ("layers", 7)), "c.yaml:3:1"),
        (Fault("x", ()), "c.yaml:1:1"),
        (Fault("x", ("a",), place=Place("other")), "other"),
    ],
)
def test_a_fault_is_placed_as_far_as_its_path_was_written(fault: Fault, place: str) -> None:
    document = parse_document("fit:\n  epochs: abc\nlayers:\n  - dense: 3.5\n  - desne: {units: 3}\n", "c.yaml")
    assert str(document.locate(fault).place) == place


def test_no_line_of_a_fault_speaks_to_the_terminal() -> None:
    said = "a\x1b[31m"
    fault = Fault(said, place=Place(said, 1, 1, said), hint=said, related=(Related(said, place=Place(said)),))
    assert [line.count("a\\x1b[31m") for line in fault.lines()] == [2, 1, 0, 2, 1]
    assert all(line.isprintable() for line in fault.lines())


def test_equal_faults_are_reported_once_and_other_files_after_the_config() -> None:
    document = parse_document("a: 1\nb: 2\n", "c.yaml")
    faults = [
        Fault("two", place=Place("z.yaml", 1, 1)), Fault("one", ("b",)), Fault("one", ("b",)), Fault("zero", ("a",)),
        Fault("three", place=Place("--set x=1")),
    ]  # fmt: skip
    assert messages(document.error(faults)) == [
        "c.yaml:1:4: error: zero",
        "c.yaml:2:4: error: one",
        "z.yaml:1:1: error: two",
        "--set x=1: error: three",
    ]


def test_a_point_in_a_text_is_reported_where_it_can_be() -> None:
    text = "a: x + unit\nb: 'x + unit'\nc: |\n  x + unit\nd: \"x + \\x75nit\"\n"
    document = parse_document(text, "c.yaml")
    places = [str(document.point((key,), 5, 4)) for key in "abcd"]
    assert places == ["c.yaml:1:8", "c.yaml:2:9", "c.yaml:3:4", "c.yaml:5:4"]
    assert [document.point((key,), 5, 4).length for key in "ab"] == [4, 4]


# files


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    for mark in (b"", b"\xef\xbb\xbf"):
        file.write_bytes(mark + "name: é\r\nb: 010".encode())
        with pytest.raises(ConfigError) as caught:
            read_document(file)
        assert messages(caught.value)[0].startswith(f"{file}:2:4: error: ambiguous")
    file.write_text("a: 1", encoding="utf-8")
    assert read_document(file).folder_of(("a",)) == tmp_path


@pytest.mark.parametrize(
    ("data", "place", "byte"),
    [
        (b"a: 1\nb: caf\xe9\n", "2:7", "e9"), (b"\xff\xfea\x00", "1:1", "ff"),
        (b"\xef\xbb\xbfa: \xc3\xa9\xc3", "1:5", "c3"),
        (b"a: 1\r\n\r\nb: \xed\xa0\x80", "3:4", "ed"),
    ],
)  # fmt: skip
def test_a_byte_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path, data: bytes, place: str, byte: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_document(file)
    assert messages(caught.value) == [f"{file}:{place}: error: not UTF-8: byte 0x{byte}"]
    assert caught.value.faults[0].hint == "save the file as UTF-8"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for path, what in ((pipe, "no regular file"), (Path("/dev/zero"), "no regular file"), (tmp_path, "a folder")):
        with pytest.raises(ConfigError) as caught:
            read_document(path)
        assert messages(caught.value) == [f"error: expected a config file, '{path}' is {what}"]


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mnist.yaml").write_text("a: 1")
    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path / "mnits.yaml")
    expected = f"error: there is no file '{tmp_path}/mnits.yaml'; did you mean '{tmp_path}/mnist.yaml'?"
    assert messages(caught.value) == [expected]


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"a: [" + b"1, " * MAX_BYTES)
    monkeypatch.setattr("kerascli.config.yaml.text.parse_document", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        read_document(file)


def test_reading_a_config_imports_no_torch() -> None:
    code = "import sys, kerascli.config.yaml.text\n"
    code += "from kerascli.config.composition import extends, overrides, references\n"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_value_from_an_option_has_the_same_rules() -> None:
    assert parse_value("[1e-3, no, {a: 0x10}]", "--set x") == [1e-3, "no", {"a": 16}]
    with pytest.raises(ConfigError) as caught:
        parse_value("{a: 010}", "--set x={a: 010}")
    assert messages(caught.value)[0].startswith("--set x={a: 010}: error: ambiguous value '010'")
    assert len(caught.value.faults[0].lines()) == 2


PIECES = [
    "a", "b: ", ": ", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ",", "'", '"', "&x ", "*x",
    "<<: ", "|", ">", "#", " ", "!t ", "%", "@", "?", "1", "010",
    "\t", "---", "...", "$(", ")", "\\", "é",
]  # fmt: skip


def noise(count: int, seed: int) -> list[str]:
    chooser = random.Random(seed)
    return ["".join(chooser.choice(PIECES) for _ in range(chooser.randrange(1, 16))) for _ in range(count)]


def test_libyaml_reads_as_pyyaml_s_own_parser_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(text: str) -> object:
        try:
            document = parse_document(text, "c.yaml")
        except ConfigError as error:
            return [fault.lines() for fault in error.faults]
        return repr(document.data), document.marks

    texts = [*noise(1500, seed=5), *(f"a: {written}\nb: [x, &y {{c: 1}}]\nd: *y" for written, _ in SCALARS)]
    fast = list(map(outcome, texts))
    monkeypatch.setattr("yaml.__with_libyaml__", False)
    assert list(map(outcome, texts)) == fast


def test_noise_is_refused_with_a_place_or_read_and_nothing_else() -> None:
    for text in noise(6000, seed=3):
        try:
            parse_document(text, "c.yaml")
        except ConfigError as error:
            for fault in error.faults:
                assert "\n" not in fault.text
                assert str(fault.place).startswith("c.yaml"), text
                assert "while" not in fault.text, (text, fault)
                assert fault.lines()


# writing

WORDS = [
    "relu", "no", "true", "null", "~", "", " ", "010", "12:30", "1_000", "1e-3", "0x1F", ".inf", "-", "- x", "---",
    "--- a",
    "...", "?", "? x", ":", "a: b", "a:", ":a", "#c", "x #y", "a,b", "[a]", "{a}", "|", ">", "&a", "*a", "!t", "%d",
    "@x",
    "`", "=", "<<", "'q'", '"d"', "\\", "\\n", "a\nb", "\n", "\t", "\x07", "\x7f", "\u0085", "\u2028", "\ufeff", "é",
    "日本", "𝄞", "$(max(a, b))", "$(a", "a)", "word " * 60, "base.block5_*", "x ** 2 + 1", "abs(a - b)", "+1", "1.",
]  # fmt: skip


def random_text(chooser: random.Random) -> str:
    if chooser.random() < 0.6:
        return chooser.choice(WORDS)
    ranges = [(32, 127), (0, 0xD7FF), (0xE000, 0x10FFFF)]
    return "".join(chr(chooser.randint(*chooser.choice(ranges))) for _ in range(chooser.randrange(6)))


def random_value(chooser: random.Random, depth: int) -> Any:
    kind = chooser.random()
    if depth and kind < 0.3:
        keys = [random_text(chooser) if chooser.random() < 0.9 else chooser.randrange(-5, 50) for _ in range(3)]
        return {key: random_value(chooser, depth - 1) for key in keys[: chooser.randrange(4)]}
    if depth and kind < 0.6:
        return [random_value(chooser, depth - 1) for _ in range(chooser.randrange(5))]
    number = math.ldexp(chooser.uniform(-1, 1), chooser.randrange(-1060, 1000))
    whole = chooser.randint(-(10**18), 10**18)
    return chooser.choice([None, True, False, number, whole, 0, 1e16, -0.0, random_text(chooser), random_text(chooser)])


def test_what_is_written_reads_back_equal_in_value_type_and_order() -> None:
    chooser = random.Random(4)
    for _ in range(700):
        data = {random_text(chooser): random_value(chooser, 4) for _ in range(3)}
        text = dump_yaml(data)
        assert repr(parse_document(text, "c.yaml").data) == repr(data), text


def test_a_written_config_looks_like_one() -> None:
    data = {
        "name": "mnist", "seed": 42, "fit": {"epochs": 2, "callbacks": [], "rate": 1e-05},
        "model": {"layers": ["flatten", {"dense": {"units": 3, "activation": None}}, {"reshape": {"shape": (2, 4)}}]},
        "odd": {"no": "no", "time": "12:30", "text": "a: b", "lines": "a\nb", "deep": [[1, 2], [3]]},
    }  # fmt: skip
    assert dump_yaml(data) == (
        "name: mnist\nseed: 42\nfit:\n  epochs: 2\n  callbacks: []\n  rate: 1e-05\nmodel:\n  layers:\n    - flatten\n"
        "    - dense:\n        units: 3\n        activation: null\n    - reshape:\n        shape: [2, 4]\n"
        "odd:\n  no: no\n  time: '12:30'\n  text: 'a: b'\n  lines: \"a\\nb\"\n  deep:\n    - [1, 2]\n    - [3]\n"
    )
    assert dump_yaml({}) == "{}\n"


@pytest.mark.parametrize("value", [math.inf, math.nan, 10**19, b"x", {1, 2}])
def test_what_cannot_be_read_back_is_not_written(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        dump_yaml({"a": value})


def test_a_document_has_the_text_that_was_parsed_and_not_that_of_the_file_now(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 3\n")
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfextends: base.yaml\r\nmodel: {layers: [dense: 1]}  # mine\r\n")
    document = read_document(path)
    path.write_text("another")
    assert extend(document).text == "extends: base.yaml\r\nmodel: {layers: [dense: 1]}  # mine\r\n"
