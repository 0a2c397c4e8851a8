"""Completion by the shell: what is offered, in a real bash, without loading torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from kerascli.cli import complete
from kerascli.cli.commands import app
from kerascli.config import component_index
from kerascli.language.component import registries
from tests.support.needs import needs_program

CONFIG = """
model:
  inputs: {x: [4]}
  layers:
    - dense: {units: 8, activation: relu}
    - dropout: 0.2
fit: {epochs: 3}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/other.yml").write_text(CONFIG)
    (tmp_path / "data.csv").write_text("a\n1\n")
    for name in ("2026-11-25T03-23-58Z-digits", "2026-11-26T03-23-58Z-digits", "2026-11-26T04-23-58Z-cats"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs/empty").mkdir()
    return tmp_path


def context(**params: object) -> typer.Context:
    made = typer.Context(typer.main.get_command(app))
    made.params = params
    return made


def test_runs_are_offered_by_their_names_if_these_name_one() -> None:
    assert complete.runs(context(), "") == [
        "latest", "cats",
        "2026-11-25T03-23-58Z-digits", "2026-11-26T03-23-58Z-digits", "2026-11-26T04-23-58Z-cats",
    ]  # fmt: skip
    assert complete.runs(context(), "2026-11-25") == ["2026-11-25T03-23-58Z-digits"]
    assert complete.runs(context(runs_dir=Path("nowhere")), "") == []


def test_configs_and_folders_are_offered_along_the_path() -> None:
    assert complete.configs("") == ["cache/", "config.yaml", "more/", "runs/"] or complete.configs("") == [
        "config.yaml", "more/", "runs/",
    ]  # fmt: skip
    assert complete.configs("mo") == ["more/"]
    assert complete.configs("more/") == ["more/other.yml"]
    assert complete.configs("nowhere/x") == []


def test_every_component_is_offered_after_the_first_check() -> None:
    assert complete.components() == set()
    component_index.save(component_index.make())
    assert complete.components() == {name for registry in registries().values() for name in registry.names()}


def test_explain_is_offered_components_and_keys() -> None:
    component_index.save(component_index.make())
    assert complete.names(context(), "conv_2d") == ["conv_2d", "conv_2d_transpose"]
    assert "fit.epochs" in complete.names(context(), "fit.")
    assert complete.names(context(), "evalu") == ["evaluate"]
    assert {"data", "model", "compile", "fit", "seed"} <= set(complete.sections())
    for name in ("compile", "fit.validation_split"):
        assert CliRunner().invoke(app, ["explain", name]).exit_code == 0, name


def test_settings_are_offered_with_their_present_value_or_default() -> None:
    offered = complete.settings(context(config=Path("config.yaml")), "")
    assert offered[:5] == [
        "model.inputs.x[0]=4",
        "model.layers[0].dense.units=8",
        "model.layers[0].dense.activation=relu",
        "model.layers[1].dropout=0.2",
        "fit.epochs=3",
    ]
    assert complete.settings(context(), "fit.b") == ["fit.batch_size=32"]  # of the only config here
    Path("second.yaml").write_text(CONFIG)
    assert complete.settings(context(), "fit.b") == []
    Path("second.yaml").write_text("a: [")
    assert complete.settings(context(config=Path("second.yaml")), "") == []


def test_settings_are_those_of_the_config_on_the_command_line() -> None:
    Path("second.yaml").write_text(CONFIG.replace("epochs: 3", "epochs: 77"))
    environment = {"_KERASCLI_COMPLETE": "complete_bash", "COMP_CWORD": "4"}
    for config, epochs in (("config.yaml", 3), ("second.yaml", 77)):
        words = f"kerascli train {config} --set fit.epo"
        done = CliRunner().invoke(app, [], prog_name="kerascli", env={**environment, "COMP_WORDS": words})
        assert done.stdout.split() == [f"fit.epochs={epochs}"]


@pytest.mark.parametrize("kind", complete.kinds(""))
def test_every_kind_that_is_offered_can_be_listed(kind: str) -> None:
    assert CliRunner().invoke(app, ["list", kind]).exit_code == 0


COMPLETED = """
import json, sys
sys.argv = ["kerascli"]
from kerascli.cli.app import main
from tests.support.needs import needs_program
try:
    main()
finally:
    print(json.dumps([name for name in ("torch", "numpy") if name in sys.modules]))
"""


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kerascli explain conv_2d", ["conv_2d", "conv_2d_transpose"]),
        ("kerascli evaluate ca", ["cats"]),
        ("kerascli train config.yaml --set fit.e", ["fit.epochs=3"]),
    ],
)
def test_completion_loads_neither_torch_nor_numpy(line: str, offered: list[str]) -> None:
    component_index.save(component_index.make())
    words = line.split()
    environment = {"_KERASCLI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ran = subprocess.run(
        [sys.executable, "-c", COMPLETED],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    *found, loaded = ran.stdout.splitlines()
    assert found == offered, ran.stderr
    assert json.loads(loaded) == []


@needs_program("bash", reason="needs bash")
def test_bash_completes_a_component() -> None:
    component_index.save(component_index.make())
    kerascli = Path(sys.executable).with_name("kerascli")
    script = f"""
    PATH={kerascli.parent}:$PATH
    source <(_KERASCLI_COMPLETE=source_bash kerascli)
    COMP_WORDS=(kerascli explain layer_norm); COMP_CWORD=2
    _kerascli_completion kerascli; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["layer_normalization"], ran.stderr
