"""`init --search` declares flags in place of a model's settings, and writes a space around the values of the config."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kerascli.config.composition.overrides import path_parts
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.search import add_search
from kerascli.config.starter.start import start_from
from kerascli.config.yaml.text import parse_document
from kerascli.workflow.check import check
from tests.support.needs import library

RANDOM = np.random.default_rng(0)
RATE = "compile.optimizer.adam.learning_rate"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name: str, header: str, rows: list[str]) -> Path:
    Path(name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return Path(name)


def numbers(rows: int = 40) -> Path:
    lines = [f"{a:.3f},{b:.3f},{a + b:.3f}" for a, b in RANDOM.normal(size=(rows, 2))]
    return written("numbers.csv", "a,b,y", lines)


def classes() -> Path:
    return written("classes.csv", "a,b,label", [f"{a:.3f},{b:.3f},{a > b}" for a, b in RANDOM.normal(size=(40, 2))])


def series() -> Path:
    days = np.datetime64("2024-01-01") + np.arange(80)
    return written("series.csv", "date,value", [f"{day},{np.sin(at):.3f}" for at, day in enumerate(days)])


def texts() -> Path:
    lines = [f"{' '.join(RANDOM.choice(list('abcdef'), 9))} number{n},{n % 2}" for n in range(40)]
    return written("texts.csv", "text,label", lines)


def images(classes: tuple[str, ...] = ("a", "b")) -> Path:
    image = library("PIL.Image")
    for name in classes:
        (Path("images") / name).mkdir(parents=True)
        for number in range(20):
            pixels = RANDOM.integers(0, 255, (16, 16), dtype=np.uint8)
            image.fromarray(pixels).save(Path("images") / name / f"{number}.png")
    return Path("images")


def draft(data: Path, kind: str | None = None) -> Draft:
    made = start_from(data, data.as_posix(), kind=kind)
    add_search(made)
    return made


def space(made: Draft) -> dict[str, Any]:
    tune = made.sections["tune"]
    return {**tune.get("flags", {}), **tune["set"]}


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (numbers, ["units", "activation", "rate", RATE]),
        (classes, ["units", "activation", "rate", RATE]),
        (series, [RATE]),
        (texts, ["rate", "units", "ngrams", RATE]),
        (images, ["filters", "rate", "shift", RATE]),
        (lambda: images(("",)), ["filters", "units", RATE]),
    ],
)
def test_each_kind_of_data_has_a_space_that_its_config_can_be_trained_in(make: Any, parameters: list[str]) -> None:
    made = draft(make())
    text = made.text("config.yaml", "data")
    Path("config.yaml").write_text(text, encoding="utf-8")
    assert list(space(made)) == parameters
    document = parse_document(text, "config.yaml")
    assert all(document.at(path_parts(path, "set")) is not None for path in made.sections["tune"]["set"])
    assert made.sections.get("flags", {}).keys() == made.sections["tune"].get("flags", {}).keys()
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[-1].startswith("  tune: 20 trials, random")
    assert text.startswith("# kerascli train config.yaml\n# kerascli tune config.yaml\n#\n")


def test_a_flag_is_the_largest_value_and_smaller_ones_are_parts_of_it() -> None:
    made = draft(numbers())
    assert made.sections["flags"] == {"units": 32, "activation": "relu", "rate": 0.3}
    first, dropout, second, last = made.sections["model"]["blocks"]["member"]["layers"]
    assert first == {"dense": {"units": "$units", "activation": "$activation"}}
    assert (dropout, second["dense"]["units"]) == ({"dropout": "$rate"}, "$(units // 2)")
    assert last == {"dense": {"units": 1}}
    assert space(made)["units"] == {"int": {"range": [16, 128], "log": True}}
    assert space(made)[RATE] == {"float": {"range": [0.0005, 0.01], "log": True}}


def test_ranges_are_around_the_values_of_the_config() -> None:
    made = draft(series())
    assert yaml.safe_load(made.text("c.yaml"))["compile"]["optimizer"] == {"adam": {"learning_rate": 0.005}}
    assert space(made) == {RATE: {"float": {"range": [0.003, 0.1], "log": True}}}
    assert "flags" not in made.sections
