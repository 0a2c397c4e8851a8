"""Misspelt names are reported without loading torch after a first full check, with the same messages."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kerascli.cli.app import main
from kerascli.config import component_index, misspelt
from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import override
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import dump_yaml
from kerascli.errors import ConfigError, KerasCliError
from kerascli.workflow.check import check
from tests.test_bad_configs import BAD, GOOD, Case, said

CONFIG = """
data: {source: {blobs: {rows: 64, features: 3, classes: 2}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd, metrics: [accuracy]}
fit: {epochs: 1}
"""
CHANGES = (
    ("units", "unitz"),
    ("dense", "densee"),
    ("sparse_categorical_crossentropy", "crossentropyy"),
    ("sgd", "sgdd"),
    ("accuracy", "acuracy"),
    ("compile:", "complie:"),
    ("blobs", "blob"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty cache: no config has been checked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def document(text: str, sets: tuple[str, ...] = (), files: Mapping[str, str] = MappingProxyType({})) -> Document:
    for name, contents in {"config.yaml": text, **files}.items():
        if not Path(name).exists() or Path(name).read_text(encoding="utf-8") != contents:
            Path(name).write_text(contents, encoding="utf-8")
    return override(read_extended(Path("config.yaml")), sets)


def whole(config: Document) -> str | None:
    """Faults of the full check of a config, cached."""
    try:
        check(config, sets=[], flags=[])
    except KerasCliError as error:
        return said(error)
    misspelt.remember(config, "validate", [])
    return None


def at_once(config: Document) -> str | None:
    """Faults of the quick check; None if it is not certain that they are all."""
    try:
        misspelt.refuse_misspelt(config, "validate", [])
    except ConfigError as error:
        return said(error)
    return None


def misspelt_parts(data: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    """Return configs in which one key or text is misspelt, for each key and text."""

    def changed(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            for key, item in value.items():
                for other in (f"{key}z", "qqqq"):
                    yield {other if k == key else k: v for k, v in value.items()}
                yield from ({**value, key: other} for other in changed(item))
        elif isinstance(value, list):
            for place, item in enumerate(value):
                yield from ([*value[:place], other, *value[place + 1 :]] for other in changed(item))
        elif isinstance(value, str):
            yield from (f"{value}z", "qqqq")

    yield from changed(data)


@pytest.mark.parametrize("case", GOOD.values(), ids=str)
def test_what_is_said_at_once_is_all_that_the_whole_check_says(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    good = document(case.text, files=case.files)
    assert whole(good) is None
    found_sound = component_index.load()
    monkeypatch.setattr(component_index, "load", lambda: found_sound)
    for data in misspelt_parts(good.data):
        other = document(dump_yaml(data))
        if (found := at_once(other)) is not None:
            assert found == whole(other)


def test_the_bad_configs_are_reported_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in GOOD.values():
        assert whole(document(case.text, files=case.files)) is None
    found_sound = component_index.load()
    monkeypatch.setattr(component_index, "load", lambda: found_sound)
    found = []
    for case in BAD:
        try:
            told = at_once(document(case.text, case.sets, case.files))
        except KerasCliError:  # of the text
            continue
        if told is not None:
            found.append(case)
            assert told == case.said
    assert len(found) > 10


def test_what_is_said_first_of_any_config_is_among_what_the_whole_check_says() -> None:
    """No such config has been checked before."""
    component_index.save(component_index.make(), [])
    found = 0
    for case in BAD:
        try:
            first = misspelt.refuse_misspelt(document(case.text, case.sets, case.files), "validate", [])
        except KerasCliError:  # of the text
            continue
        for fault in first.faults if first else ():
            assert "\n".join(fault.lines()) in case.said
            found += 1
    assert found > 40


def test_what_is_misspelt_is_said_before_all_else_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    component_index.save(component_index.make(), [])
    document(CONFIG.replace("units", "unitz").replace("epochs: 1", "epochs: 0"))
    said_first: list[str] = []

    def checked(*arguments: Any, **options: Any) -> object:
        said_first.append(capsys.readouterr().err)
        return check(*arguments, **options)

    monkeypatch.setattr("kerascli.workflow.check.check", checked)
    monkeypatch.setattr(sys, "argv", ["kerascli", "validate", "config.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said_first[0].startswith("config.yaml:3:27: error: unknown key 'unitz' in dense; did you mean 'units'?\n")
    rest = capsys.readouterr().err
    assert rest.startswith("\nconfig.yaml:5:15: error: epochs: must be at least 1, got 0\n")
    assert "unitz" not in rest


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_each_kind_of_name_is_reported_at_once(old: str, new: str) -> None:
    assert whole(document(CONFIG)) is None
    bad = document(CONFIG.replace(old, new))
    assert at_once(bad) == whole(bad) is not None


def test_a_config_that_was_refused_is_refused_at_once_the_next_time() -> None:
    bad = document(CONFIG.replace("units", "unitz").replace("sgd", "sgdd"))
    assert at_once(bad) is None
    with pytest.raises(ConfigError) as caught:
        check(bad, sets=[], flags=[])
    misspelt.remember(bad, "validate", [], caught.value)
    assert at_once(bad) == said(caught.value)
    other = document(CONFIG.replace("units", "unis").replace("sgd", "sdg"))
    assert at_once(other) == whole(other)
    assert (
        at_once(document(CONFIG.replace("units", "unis").replace("sgd", "sdg").replace("epochs: 1", "epochs: 0")))
        is None
    )


@pytest.mark.parametrize("harm", ["", "nothing of ours", "{}", None])
def test_a_damaged_cache_is_as_none(harm: str | None, cache: Path) -> None:
    assert whole(document(CONFIG)) is None
    [file] = (cache / "kerascli").iterdir()
    text = file.read_text()
    file.write_text(text.replace("units", "unit") if harm is None else harm)
    bad = document(CONFIG.replace("units", "unitz"))
    assert at_once(bad) is None
    assert whole(document(CONFIG)) is None  # made anew
    assert at_once(document(CONFIG.replace("units", "unitz"))) is not None


def test_a_cache_that_cannot_be_written_is_done_without(cache: Path) -> None:
    cache.write_text("no folder")
    assert whole(document(CONFIG)) is None
    assert at_once(document(CONFIG.replace("units", "unitz"))) is None


def test_another_state_of_the_program_knows_nothing_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert whole(document(CONFIG)) is None
    monkeypatch.setattr(sys, "version", "another Python")
    assert component_index.load() is None


def test_data_that_changed_is_not_taken_for_sound() -> None:
    Path("t.csv").write_text("a,y\n" + "1,p\n2,q\n" * 20)
    text = CONFIG.replace("{blobs: {rows: 64, features: 3, classes: 2}}", "{csv: t.csv}").replace("x: []", "a: []")
    text = text.replace("y: []", "y: [string_lookup]").replace("[{dense", "[{reshape: [1]}, {dense")
    assert whole(document(text)) is None
    bad = document(text.replace("units", "unitz"))
    assert at_once(bad) == whole(bad)
    Path("t.csv").write_text("a,z\n" + "1,p\n2,q\n" * 20)
    assert at_once(bad) is None
    assert "unitz" not in str(whole(bad))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 1", ", ".join(f"epoch_{number}: 1" for number in range(500))),
        ("units: 2", ", ".join(f"unit_{number}: 1" for number in range(500))),
        ("[accuracy]", f"[{', '.join(f'acuracy_{number}' for number in range(500))}]"),
        ("fit:", "".join(f"fitt_{number}: 1\n" for number in range(500)) + "fit:"),
    ],
)
def test_of_many_misspelt_words_only_a_few_are_compared_with_others(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = 0

    def counted(*arguments: Any, **options: Any) -> list[str]:
        nonlocal compared
        compared += 1
        return get_close_matches(*arguments, **options)

    monkeypatch.setattr("difflib.get_close_matches", counted)
    document(CONFIG.replace(old, new))
    monkeypatch.setattr(sys, "argv", ["kerascli", "validate", "config.yaml"])
    with pytest.raises(SystemExit, match="2"):
        main()
    err = capsys.readouterr().err
    assert err.count("did you mean") == 20, err
    assert re.search(r"error: \.\.\. and 4[789]\d more\n", err), err
    assert compared <= 400


def test_no_torch_is_loaded(tmp_path: Path) -> None:
    assert whole(document(CONFIG)) is None
    document(CONFIG.replace("units", "unitz"))
    code = (
        "import sys; sys.argv = ['kerascli', 'validate', 'config.yaml']\n"
        "from kerascli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, sorted({'torch', 'numpy'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert run.stdout == "2 []\n"
    assert "unknown key 'unitz' in dense; did you mean 'units'?" in run.stderr
