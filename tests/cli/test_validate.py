"""`kerascli validate` with several configs, as pre-commit and shells name them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from kerascli.cli import validate
from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError, DataError
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import command, write

SOUND = "model: {inputs: {x: [3]}, layers: [{dense: 1}]}\ncompile: {loss: mse}\n"
PLUGIN = """
from torch import nn

from kerascli.layers.base import Example, Layer, layer


@layer(Example(input=(3,), output=(3,)))
class Same(Layer):
    def build(self, x):
        return nn.Identity()
"""


def test_every_config_is_checked_by_itself(tmp_path: Path) -> None:
    """A plugin of one is unknown to the next; two plugins may have components of the same name."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, PLUGIN, "p.py")
        write(tmp_path / folder, f"plugins: [p.py]\n{SOUND.replace('[{', '[same, {')}", "c.yaml")
    write(tmp_path, SOUND.replace("[{", "[same, {"), "-without.yaml")
    names = ["one/c.yaml", "-without.yaml", "two/c.yaml"]
    done = forked_kerascli("validate", "--no-data", "--", *names, cwd=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stdout.splitlines() if ": ok" in line] == ["one/c.yaml: ok", "two/c.yaml: ok"]
    assert done.stderr.startswith("-without.yaml:1:36: error: there is no layer 'same'\n")


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0, 0], 0), ([0, 3, 0], 3), ([3, 0, 2], 2), ([2, 4, 3], 2), ([0, 1, 2], 1)]
)
def test_the_exit_code_is_the_smallest_that_is_not_0(
    codes: list[int], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command[command.index("validate") :])
        return SimpleNamespace(returncode=codes[len(commands) - 1])

    monkeypatch.setattr(validate, "subprocess", SimpleNamespace(run=run))
    names = ["a.yaml", "b.yaml", "c.yaml"]
    line = ["validate", *names, "a.yaml", "--set", "fit.epochs=2", "--flag", "n=1", "--flag", "m=2", "--no-data"]
    assert CliRunner().invoke(app, line).exit_code == code
    given = ["validate", "--set=fit.epochs=2", "--flag=n=1", "--flag=m=2", "--no-data", "--"]
    assert commands == [[*given, name] for name in names]


CONFIGS = Path(__file__).parents[2] / "configs"
OF_THE_DATA = [
    "penguins", "text/babi_memnn", "text/babi_rnn", "vision/mnist_tfrecord", "vision/eager_image_captioning",
    "sequences/neural_turing_machine",
]  # fmt: skip
"""Configs with sizes that only the data has."""


@pytest.mark.parametrize("name", OF_THE_DATA)
def test_sizes_that_only_the_data_has_are_no_faults_without_it(name: str) -> None:
    lines = command("validate", "--no-data", CONFIGS / f"{name}.yaml").splitlines()
    assert lines[0].endswith(": ok")
    assert not any("parameters" in line for line in lines)  # how many there are is not known
    assert "  not checked: the data, and what depends on it: --no-data" in lines


def test_a_misspelt_key_is_a_fault_all_the_same(tmp_path: Path) -> None:
    text = (CONFIGS / "text/babi_memnn.yaml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key 'unit' in dense; did you mean 'units'"):
        command("validate", "--no-data", write(tmp_path, text.replace("dense: {units:", "dense: {unit:")))


def test_faults_of_the_config_are_reported_before_a_fault_in_its_data(tmp_path: Path) -> None:
    write(tmp_path, "a,b\n1,2\n,4\n", "t.csv")
    text = """
        data:
          source: {csv: {path: t.csv}}
          inputs: {a: [{columns: [a]}, normalization]}
          targets: {b: []}
        model: {layers: [{dense: UNITS}]}
        compile: {loss: mse}
        fit: {epochs: EPOCHS}
    """
    with pytest.raises(ConfigError) as caught:
        command("validate", write(tmp_path, text.replace("UNITS", "0").replace("EPOCHS", "0")))
    assert [fault.text for fault in caught.value.faults] == [
        "units: must be at least 1, got 0", "epochs: must be at least 1, got 0",
    ]  # fmt: skip
    with pytest.raises(DataError, match="missing value"):
        command("validate", write(tmp_path, text.replace("UNITS", "1").replace("EPOCHS", "1")))
