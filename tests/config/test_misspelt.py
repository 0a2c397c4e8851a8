"""Misspelt names are reported alone, without loading torch, in the words of the full check."""

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
from kerascli.config.component_index import ComponentIndex
from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import override
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.errors import ConfigError, Fault, KerasCliError, nearest
from kerascli.workflow.check import check
from tests.test_bad_configs import BAD, GOOD, Case, said
from tests.test_configs import CONFIGS, ROOT

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


@pytest.fixture(scope="module")
def index() -> ComponentIndex:
    return component_index.make()


@pytest.fixture(autouse=True)
def cache(index: ComponentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache that has an index of the components."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    component_index.save(index)
    return tmp_path / "cache"


def document(text: str, sets: tuple[str, ...] = (), files: Mapping[str, str] = MappingProxyType({})) -> Document:
    for name, contents in {"config.yaml": text, **files}.items():
        if not Path(name).exists() or Path(name).read_text(encoding="utf-8") != contents:
            Path(name).write_text(contents, encoding="utf-8")
    return override(read_extended(Path("config.yaml")), sets)


def whole(config: Document) -> list[str]:
    """Faults of the full check of a config."""
    try:
        check(config, sets=[], flags=[])
    except KerasCliError as error:
        return [said_of(fault) for fault in getattr(error, "everything", error.faults)]
    return []


def at_once(config: Document, index: ComponentIndex) -> list[str]:
    """Faults of the quick check."""
    return [said_of(config.locate(fault)) for fault in misspelt.misspelt(config, index)]


def said_of(fault: Fault) -> str:
    return "\n".join(fault.lines())


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
def test_what_is_said_at_once_the_whole_check_says_too(case: Case, index: ComponentIndex) -> None:
    good = document(case.text, files=case.files)
    assert at_once(good, index) == []
    for data in misspelt_parts(good.data):
        other = document(dump_yaml(data))
        if found := at_once(other, index):
            assert set(found) <= set(whole(other))


def test_what_is_said_at_once_of_a_bad_config_is_among_its_faults(index: ComponentIndex) -> None:
    found = 0
    for case in BAD:
        try:
            first = at_once(document(case.text, case.sets, case.files), index)
        except KerasCliError:  # of the text
            continue
        assert all(each in case.said for each in first), case
        found += len(first)
    assert found > 40


def test_nothing_is_said_of_a_valid_config(index: ComponentIndex) -> None:
    for path in CONFIGS:
        assert at_once(read_extended(ROOT / path), index) == [], path


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_each_kind_of_name_is_reported_alone(old: str, new: str, index: ComponentIndex) -> None:
    bad = document(CONFIG.replace(old, new).replace("epochs: 1", "epochs: 0"))
    found = at_once(bad, index)
    with pytest.raises(ConfigError) as caught:
        misspelt.refuse_misspelt(bad)
    assert [said(caught.value)] == found
    assert whole(document(CONFIG.replace(old, new))) == found


def test_what_is_no_list_is_left_to_the_whole_check(index: ComponentIndex) -> None:
    bad = CONFIG.replace("{epochs: 1}", "{callbacks: {early_stoping: 3}}")
    assert at_once(document(bad), index) == []


@pytest.mark.parametrize("harm", ["", "nothing of ours", "{}", None])
def test_a_damaged_cache_is_made_anew(harm: str | None, cache: Path) -> None:
    [file] = (cache / "kerascli").iterdir()
    text = file.read_text()
    file.write_text(text.replace("units", "unit") if harm is None else harm)
    misspelt.refuse_misspelt(document(CONFIG))
    assert file.read_text() == text


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "no_folder").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no_folder"))
    with pytest.raises(ConfigError, match="unitz"):
        misspelt.refuse_misspelt(document(CONFIG.replace("units", "unitz")))


def test_another_state_of_the_program_knows_nothing_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert component_index.load() is not None
    monkeypatch.setattr(sys, "version", "another Python")
    assert component_index.load() is None


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


@pytest.mark.parametrize(
    ("written", "words", "meant"),
    [("mea", ["mse", "mae"], "mae"), ("ALT", ["lat", "alt"], "alt"), ("no", ["on", "off"], None)],
)
def test_swapped_letters_come_before_others_and_after_the_word_itself(
    written: str, words: list[str], meant: str | None
) -> None:
    assert nearest(written, words) == meant
