"""Error messages for invalid configs: the files of `bad_configs`, compared as a whole.

Such a file starts with a good config. A case changes it (lines with - are replaced by the lines with + below them),
perhaps with arguments of the command line ($) or rows of a file (@), and shows what is said. A case may be a whole
config instead. Lines with ? say what a message must contain to be of help; `test_beginners.py` counts them.
"""

import copy
import itertools
import operator
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from kerascli.cli.options import read_config
from kerascli.config.data import config_facts
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError, Fault, KerasCliError
from kerascli.workflow.check import check
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.tuning.study_config import new_study

FOLDER = Path(__file__).parent / "bad_configs"


@dataclass(frozen=True)
class Case:
    file: str
    name: str
    text: str
    sets: tuple[str, ...]
    flags: tuple[str, ...]
    said: str
    exit_code: int
    files: Mapping[str, str] = field(default_factory=dict)
    """File name -> text of the files that the config reads."""
    score: Mapping[str, str] = field(default_factory=dict)
    """place, cause, write -> what a message must contain to be of help to a beginner; empty: not scored."""

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def read_cases(path: Path) -> Iterator[Case]:
    good, *parts = re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.M)
    good, shared = without_files(good)
    yield Case(path.stem, "the good config", good, (), (), "", 0, shared)
    for part in parts:
        title, rest = part.split("\n", 1)
        written, _, said = rest.partition("---\n")
        written, files = without_files(written)
        score = dict(re.findall(r"^\? (\w+): (.*)\n", written, re.M))
        name, _, code = title.partition(" -> exit ")
        arguments = [word for line in written.splitlines() if line.startswith("$") for word in shlex.split(line[1:])]
        pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
        sets = tuple(value for option, value in pairs if option == "--set")
        flags = tuple(value for option, value in pairs if option == "--flag")
        text = changed(good, [line for line in written.splitlines() if line[:1] not in {"$", "?"}])
        exit_code = 0 if code == "0, a warning" else int(code or 2)
        yield Case(path.stem, name, text, sets, flags, said.strip("\n"), exit_code, {**shared, **files}, score)


def without_files(text: str) -> tuple[str, dict[str, str]]:
    """Return a text without its lines `@name row`, and the files that these rows make."""
    files: dict[str, str] = {}
    for name, row in re.findall(r"^@(\S+) (.*\n)", text, re.M):
        files[name] = files.get(name, "") + row
    return re.sub(r"^@.*\n", "", text, flags=re.M), files


def changed(good: str, change: list[str]) -> str:
    """Return the good config with runs of '-' lines replaced by the '+' lines after them, or the text itself."""
    if not change or change[0][:1] != "-":
        return "\n".join(change) + "\n" if change else good
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", "\n".join(change) + "\n", re.M):
        old, new = (re.sub(r"^.", "", text, flags=re.M) for text in (old, new))
        assert good.count(old) == 1, f"{good.count(old)} times in the good config: {old}"
        good = good.replace(old, new)
    return good


CASES = [case for path in sorted(FOLDER.glob("*.txt")) for case in read_cases(path)]
GOOD = {case.file: case for case in CASES if case.name == "the good config"}
BAD = [case for case in CASES if case.name != "the good config"]


def write_files(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name, text in {"config.yaml": case.text, **case.files}.items():
        Path(name).write_text(text, encoding="latin-1" if name.startswith("latin1") else "utf-8")


def refused(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> KerasCliError:
    write_files(case, folder, monkeypatch)
    with pytest.raises(KerasCliError) as caught:
        check(Path("config.yaml"), sets=list(case.sets), flags=list(case.flags))
    return caught.value


def said(error: KerasCliError) -> str:
    return lines_of(error.faults)


def lines_of(faults: Iterable[Fault]) -> str:
    return "\n".join(line for fault in faults for line in fault.lines())


def answer(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Return what is said about a case, an error or warnings, and the exit code."""
    if case.exit_code:
        error = refused(case, folder, monkeypatch)
        return said(error), error.exit_code
    write_files(case, folder, monkeypatch)
    return lines_of(check(Path("config.yaml"), sets=list(case.sets), flags=list(case.flags)).warnings), 0


@pytest.mark.parametrize("case", GOOD.values(), ids=str)
def test_what_the_cases_change_is_good(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(case, tmp_path, monkeypatch)
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[0] == "config.yaml: ok"


@pytest.mark.parametrize("case", BAD, ids=str)
def test_a_bad_config_is_refused_in_these_words(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(case, tmp_path, monkeypatch) == (case.said, case.exit_code)


@pytest.mark.parametrize("case", [case for case in BAD if case.file == "tune" and case.exit_code], ids=str)
def test_tune_says_the_same_before_it_makes_a_study(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(case, tmp_path, monkeypatch)
    document = read_config(Path("config.yaml"), case.sets, case.flags)
    with pytest.raises(KerasCliError) as caught:
        new_study(Options(threads=1), document, case.sets, case.flags, None, None)
    assert (said(caught.value), caught.value.exit_code) == (case.said, case.exit_code)
    assert not Path("runs").exists()


LEAKS = re.compile(r"[Ii]nput should|pydantic|Traceback|NoneType|<class|object at 0x|\{'\w|\['\w")
"""Words of Python and pydantic, and Python's notation of mappings and lists, that must not appear."""


def faults_of_the_form(case: Case) -> Iterator[str]:
    """Yield what is wrong with the form of a message: order, repetition, words, place of the caret."""
    heads = re.findall(
        r"^(?:config\.yaml:(\d+):(\d+)|\w+\.csv:\d+(?::\w+)?|--set .*?|--flag .*?): (?:error|warning): (.*)$",
        case.said,
        re.M,
    )
    if not heads:
        yield "no line has a place and a fault"
    places = [(int(line), int(column)) for line, column, _ in heads if line]
    if places != sorted(places):
        yield "the places are not in order"
    if len(set(heads)) < len(heads):
        yield "a fault is reported twice"
    if len(set(places)) < len(places):
        yield "two faults at one place: one of them follows from the other"
    for _, _, text in heads:
        begins = text[0].islower() or text[0].isdigit() or text[0] in "'\"-" or text.split()[0] == "YAML"
        if not begins or text.endswith(".") or LEAKS.search(text):
            yield f"not in plain words: {text}"
    for shown, caret in re.findall(r"^  \d+ \| (.*)\n +\| (.*)$", case.said, re.M):
        start = len(caret) - len(caret.lstrip())
        if not shown[start : start + 1].strip() and "a tab character" not in case.said:
            yield "the caret is under a blank"
        if len(caret) > len(shown):
            yield "the caret is behind the line"


def test_every_fault_is_reported_once_in_order_in_plain_words_above_its_caret() -> None:
    assert [f"{case}: {fault}" for case in BAD for fault in faults_of_the_form(case)] == []


def test_there_are_enough_cases() -> None:
    assert len(BAD) >= 80


# What needs a second file


def test_a_plugin_that_fails_is_shown_at_its_own_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("import math\n\n\ndef half(x):\n    return x / 0\n\n\nHALF = half(1)\n")
    case = Case("", "", f"plugins: [mine.py]\n{GOOD['sections'].text}", (), (), "", 2)
    assert said(refused(case, tmp_path, monkeypatch)) == (
        "mine.py:5:5: error: plugin: ZeroDivisionError: division by zero\n"
        "  5 |     return x / 0\n"
        "    |     ^^^^^^^^^^^^\n"
        "  note: the config names it (config.yaml:1:11)"
    )


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def f(:\n    pass\n", "mine.py:1:7: error: plugin: invalid syntax"),
        ("import nowhere\n", "mine.py:1:1: error: plugin: ModuleNotFoundError: No module named 'nowhere'"),
        ("import sys\nsys.exit(0)\n", "mine.py:2:1: error: plugin: SystemExit: 0"),
        ("x = 1\nint('x1')\n", "mine.py:2:1: error: plugin: ValueError: invalid literal for int() with base 10: 'x1'"),
    ],
)
def test_a_plugin_that_cannot_be_run(code: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(code)
    case = Case("", "", f"plugins: [mine.py]\n{GOOD['sections'].text}", (), (), "", 2)
    error = refused(case, tmp_path, monkeypatch)
    assert isinstance(error, ConfigError)
    assert error.faults[0].lines()[0] == line


def test_a_plugin_with_the_name_of_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from kerascli.layers.base import Example, Layer, layer\n\n\n"
        "@layer(Example(input=(3,), output=(3,)))\nclass Dense(Layer):\n    pass\n"
    )
    case = Case("", "", f"plugins: [mine.py]\n{GOOD['sections'].text}", (), (), "", 2)
    (line,) = [text for text in said(refused(case, tmp_path, monkeypatch)).splitlines() if "error" in text]
    assert line.startswith("mine.py:4:1: error: plugin: TypeError: two layers called 'dense': kerascli.layers.core")


def test_a_plugin_that_lacks_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from kerascli.callbacks.base import Callback, callback\n\n\n@callback()\nclass Quiet(Callback):\n    pass\n"
    )
    case = Case("", "", f"plugins: [mine.py]\n{GOOD['sections'].text}", (), (), "", 2)
    (line,) = [text for text in said(refused(case, tmp_path, monkeypatch)).splitlines() if "error" in text]
    assert line == "mine.py:4:1: error: plugin: TypeError: the callback Quiet lacks epoch_end()"


def test_a_fault_of_a_base_is_shown_in_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base.yaml").write_text(GOOD["sections"].text.replace("units:", "unit:"))
    error = refused(Case("", "", "extends: base.yaml\nfit: {epoch: 3}\n", (), (), "", 2), tmp_path, monkeypatch)
    heads = [fault.lines()[0] for fault in error.faults]
    assert [head.split(": ")[0].rpartition(":")[0] for head in heads] == ["config.yaml:2", "base.yaml:7", "base.yaml:9"]


def test_twenty_faults_are_shown_and_the_rest_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = "".join(f"    - dens: {number}\n" for number in range(30))
    case = Case("", "", f"model:\n  inputs: {{x: [4]}}\n  layers:\n{layers}", (), (), "", 2)
    lines = said(refused(case, tmp_path, monkeypatch)).splitlines()
    assert sum(line.startswith("config.yaml:") for line in lines) == 20
    assert lines[-1] == "error: ... and 10 more"


# Laws


ODD = (None, [], {}, -1, "x", [[1]], {"x": {"y": None}})


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield every path of a config."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.no_cover  # thousands of configs, whose kinds of faults the texts above have
@pytest.mark.parametrize("name", ["sections", "graph", "outputs", "shapes", "expressions", "phases"])
def test_whatever_stands_in_a_config_it_is_valid_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An odd value at every place, one at a time, raises only a KerasCliError, without Python's words."""
    monkeypatch.chdir(tmp_path)
    data = parse_document(GOOD[name].text, name).data
    refusals = []
    for path, odd in itertools.product(places(data), ODD):
        harmed: Any = copy.deepcopy(data)
        reduce(operator.getitem, path[:-1], harmed)[path[-1]] = odd
        Path("config.yaml").write_text(dump_yaml(harmed), encoding="utf-8")
        try:
            check(Path("config.yaml"), sets=[], flags=[])
        except KerasCliError as error:
            refusals.append(said(error))
    assert len(refusals) > 50
    assert [text for text in refusals if LEAKS.search(text)] == []


def test_a_fact_that_the_data_does_not_tell_is_stood_in_for_until_the_data_is_read(tmp_path: Path) -> None:
    text = GOOD["sections"].text.replace("units: 8", "units: $targets.y.max_length")
    (tmp_path / "config.yaml").write_text(text)
    config = open_config(tmp_path / "config.yaml")
    assert describe_config(config, config_facts(config)).unknown == (
        f"{tmp_path}/config.yaml:7:22: $targets.y.max_length",
    )
    with pytest.raises(ConfigError) as caught:
        describe_config(config, config_facts(config), {"train": 800, "validation": 200})
    assert [fault.text for fault in caught.value.faults] == ["'$targets.y.max_length': the data has no such fact"]


def test_a_split_that_there_is_not_is_reported_once_the_data_is_read(tmp_path: Path) -> None:
    text = GOOD["sections"].text.replace("validation_split: 0.2", "validation_data: tset")
    (tmp_path / "config.yaml").write_text(text)
    config = open_config(tmp_path / "config.yaml")
    with pytest.raises(ConfigError) as caught:
        describe_config(config, config_facts(config), {"train": 800, "test": 200})
    (fault,) = caught.value.faults
    assert (fault.text, fault.hint) == (
        "validation_data: there is no split 'tset'; did you mean 'test'?",
        "the data has train, test",
    )
    assert fault.place is not None
    assert (fault.place.line, fault.place.column) == (15, 20)
