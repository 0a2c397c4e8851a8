"""Every config that we ship does everything that a run can do."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerascli.workflow.check import check, summary_of
from kerascli.workflow.smoke import smoke
from tests.config_data import place
from tests.runs_harness import train

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml"))
NEED_FILES = {"fine_tuning"}
"""Configs of files that do not come with us: a test of their own makes such files."""
HERE = [config for config in CONFIGS if config.stem not in NEED_FILES]
SMALLER = {
    "cifar10_densenet": ["layers=2"],
    "conv_lstm": ["filters=4", "rows=40"],
    "eager_pix2pix": ["levels=5", "filters=2"],
    "image_ocr": ["units=16", "rows=100"],
    "lstm_benchmark": ["units=16"],
    "mnist_acgan": ["filters=4", "units=16"],
    "mnist_swwae": ["pools=1"],
    "quora_siamese_lstm": ["units=16"],
    "resnet18_cifar10": ["size=32"],
    "unet": ["filters=2", "size=32"],
}
"""Flags that make a model small enough for two steps in a second; the graph stays the same."""


def _id(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all configs, and small data where they look for theirs."""
    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(ROOT / "configs", folder / "configs")
    with pytest.MonkeyPatch.context() as patch:
        place(folder / "configs/data", patch)
        yield folder


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 40


@pytest.mark.parametrize("config", HERE, ids=_id)
def test_a_config_goes_through_the_smoke_run(config: Path, shipped: Path, tmp_path: Path) -> None:
    begins_with = re.search(r"init_from:\n +run: (\w+)", (ROOT / config).read_text(encoding="utf-8"))
    if begins_with:
        limits = {"epochs": 1, "steps_per_epoch": 2, "validation_steps": 2}
        train(shipped / config.with_name(f"{begins_with[1]}.yaml"), tmp_path, limits=limits)
    said = list(smoke(shipped / config, sets=[], flags=SMALLER.get(config.stem, []), known_runs=tmp_path))
    assert list(dict.fromkeys(line.partition(":")[0] for line in said if not line.startswith("test"))) == [
        "fit", "checkpoint", "resume", "evaluate", "predict", "plot",
    ]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=_id)
def test_a_config_opens_with_the_command_that_runs_it(config: Path) -> None:
    first = (ROOT / config).read_text(encoding="utf-8").splitlines()[0]
    assert re.fullmatch(rf"# kerascli train {config}( --smoke)?", first)


@pytest.mark.parametrize("config", HERE, ids=_id)
def test_a_config_is_valid(config: Path, shipped: Path) -> None:
    said = check(shipped / config, sets=[], flags=SMALLER.get(config.stem, []))
    assert said[0] == f"{shipped / config}: ok"
    assert not [line for line in said if "not checked" in line and "model.init_from" not in line]


def test_the_index_names_every_config() -> None:
    index = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*\w+\.yaml)`", index)
    assert sorted(named) == sorted(str(config.relative_to("configs")) for config in CONFIGS)


@pytest.mark.parametrize("name", ["cifar10_resnet", "resnet18_cifar10", "unet", "transformer_encoder"])
def test_well_known_networks_take_fewer_than_sixty_lines(name: str) -> None:
    [path] = (ROOT / "configs").rglob(f"{name}.yaml")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mnist_mlp", 235_146),
        ("mnist_cnn", 1_199_882),
        ("mnist_dataset_api", 843_658),
        ("mnist_irnn", 11_210),
        ("mnist_antirectifier", 337_418),
        ("cifar10_resnet", 274_442),
        ("imdb_bidirectional_lstm", 2_658_945),
        ("imdb_cnn", 350_751),
        ("imdb_cnn_lstm", 2_638_895),
        ("imdb_lstm", 2_609_473),
        ("reuters_mlp", 536_110),
    ],
)
def test_the_models_of_keras_examples_have_their_number_of_parameters(
    name: str, parameters: int, shipped: Path
) -> None:
    """The figures are those of Keras's own summaries."""
    [path] = (shipped / "configs").rglob(f"{name}.yaml")
    assert summary_of(path, sets=[], flags=[]).total == parameters
