"""Every config that we ship does everything that a run can do."""

import re
from pathlib import Path

import pytest

from kerascli.workflow.check import check, summary_of
from kerascli.workflow.smoke import smoke
from tests.runs_harness import train

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
NEED_FILES = {"fine_tuning"}
"""Configs of files that do not come with us: a test of their own makes such files."""
HERE = [config for config in CONFIGS if config.stem not in NEED_FILES]


def _id(path: Path) -> str:
    return path.stem


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 6


@pytest.mark.parametrize("config", HERE, ids=_id)
def test_a_config_goes_through_the_smoke_run(config: Path, tmp_path: Path) -> None:
    begins_with = re.search(r"init_from:\n +run: (\w+)", config.read_text(encoding="utf-8"))
    if begins_with:
        limits = {"epochs": 1, "steps_per_epoch": 2, "validation_steps": 2}
        train(config.with_name(f"{begins_with[1]}.yaml"), tmp_path, limits=limits)
    said = list(smoke(config, sets=[], flags=[], known_runs=tmp_path))
    assert list(dict.fromkeys(line.partition(":")[0] for line in said if not line.startswith("test"))) == [
        "fit", "checkpoint", "resume", "evaluate", "predict", "plot",
    ]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=_id)
def test_a_config_opens_with_the_command_that_runs_it(config: Path) -> None:
    first = config.read_text(encoding="utf-8").splitlines()[0]
    assert re.fullmatch(rf"# kerascli train {config.relative_to(ROOT)}( --smoke)?", first)


@pytest.mark.parametrize("config", HERE, ids=_id)
def test_a_config_is_valid(config: Path) -> None:
    assert check(config, sets=[], flags=[])[0] == f"{config}: ok"


def test_the_index_names_every_config() -> None:
    index = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    assert {config.name for config in CONFIGS} == set(re.findall(r"`(?:\w+/)*(\w+\.yaml)`", index))


@pytest.mark.parametrize(("name", "parameters"), [("mnist_mlp", 235_146), ("mnist_cnn", 1_199_882)])
def test_the_models_of_keras_examples_have_their_number_of_parameters(name: str, parameters: int) -> None:
    """Both figures are those of Keras's own summaries."""
    assert summary_of(ROOT / "configs" / f"{name}.yaml", sets=[], flags=[]).total == parameters
