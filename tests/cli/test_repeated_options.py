"""Options that are given twice: several values, or an error; never the last in silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError
from tests.support.runs_harness import command

LISTS = {"--set", "--flag", "--text", "--keep", "--by", "--metric", "--tag"}
"""Options of which each occurrence counts."""


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command and group of the program, with the words that call it."""
    yield words, group
    for name, each in getattr(group, "commands", {}).items():
        yield from commands(each, (*words, name))


OPTIONS = [
    (words, option)
    for words, each in commands(typer.main.get_command(app))
    for option in each.params
    if option.param_type_name == "option" and not option.is_flag
]


def test_options_with_several_values_are_the_known_ones() -> None:
    assert {option.opts[0] for _, option in OPTIONS if option.multiple} == LISTS
    assert len({words for words, _ in OPTIONS}) > 15


@pytest.mark.parametrize("words", sorted({words for words, _ in OPTIONS}))
def test_an_option_with_one_value_is_refused_if_it_is_given_twice(words: tuple[str, ...]) -> None:
    for each, option in OPTIONS:
        if each == words and not option.multiple:
            value = "1" if option.opts[0] != "--format" else "onnx"
            short = option.opts[-1] if option.opts[-1].startswith("--") else option.opts[0]
            with pytest.raises(ConfigError, match=f"{option.opts[0]} was given twice") as found:
                command(*words, f"{short}={value}", option.opts[0], value)
            assert found.value.exit_code == 2


def test_long_and_short_names_are_one_option_and_flags_may_be_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--output was given 3 times"):
        command("schema", "-o", "a", "--output", "b", "-ob")
    assert command("runs", "--json", "--json", "--runs-dir", tmp_path) == "[]\n"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--set", "fit.epochs=1", "--set", "fit.epochs=2"], "'fit.epochs' was given twice"),
        (["--set", "fit.epochs=1", "--epochs", "2"], "'fit.epochs' was given twice"),
        (["--set", "fit.epochs=1", "--set", "fit={epochs: 2, batch_size: 1}"], "'fit' was given twice"),
        (["--set", "fit.epochs=1", "--set", "fit=null"], "'fit' was given twice"),
        (["--flag", "units=1", "--flag", "units=2"], "the flag 'units' was given twice"),
    ],
)
def test_a_setting_or_flag_is_set_once(options: list[str], text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("flags: {units: 3}\nfit: {epochs: 3}\n")
    with pytest.raises(ConfigError, match=text):
        command("train", tmp_path / "config.yaml", *options)


def test_a_setting_may_be_deleted_first_and_mappings_are_merged(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    for first, second in (("seed=null", "seed=2"), ("fit={epochs: 1}", "fit={batch_size: 2}")):
        with pytest.raises(ConfigError) as found:
            command("train", tmp_path / "config.yaml", "--set", first, "--set", second)
        assert "given twice" not in str(found.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["why", "a", "--method", "permutatoin"], "--method permutatoin: expected .* did you mean 'permutation'"),
        (["why", "a", "--baseline=medain"], "--baseline medain: expected median or zeros; did you mean 'median'"),
        (["predict", "a", "test", "--decode", "imagenett"], "--decode imagenett: expected imagenet; did you mean"),
        (["predict", "a", "test", "--on-bad-rows", "skipp"], "--on-bad-rows skipp: .* did you mean 'skip'"),
        (["predict", "a", "test", "--on-bad-rows", "\x1b[31m"], r"--on-bad-rows \\x1b\[31m: expected error or skip$"),
    ],
)
def test_a_misspelt_word_of_an_option_gets_a_suggestion(arguments: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as found:
        command(*arguments)
    assert found.value.exit_code == 2
