"""A config is read once, described once before and once after its data is read; values are checked once."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kerascli.cli.app import main
from kerascli.config import describe
from kerascli.training.checks import label_range_checks

CONFIG = """
seed: 1
plugins: [mine.py]
data:
  source: {blobs: {rows: 64, features: 3, classes: 2}}
  inputs: {x: [normalization]}
  targets: {y: []}
  split: {test: 0.25}
model: {layers: [{dense: $targets.y.num_classes}, softmax]}
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}
fit: {epochs: 1, batch_size: 16}
"""
FROM_A_FILE = CONFIG.replace("blobs: {rows: 64, features: 3, classes: 2}", 'python: "rows.py:rows"')
ROWS = """
def rows():
    return {"x": [[float(n), 1.0] for n in range(64)], "y": [n % 2 for n in range(64)]}
"""
PHASES = CONFIG.replace("epochs: 1", "phases: [{epochs: 1}, {epochs: 1, compile: {optimizer: adam}}]")


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of nodes of the models that were built on the meta device to describe a config."""
    found: list[int] = []
    build = describe.build

    def counted(model: Any, **options: Any) -> Any:
        found.append(len(model.nodes))
        return build(model, **options)

    monkeypatch.setattr(describe, "build", counted)
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(CONFIG)
    Path("mine.py").write_text("'''Nothing of use.'''\n")
    return found


def kerascli(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["kerascli", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code


def test_every_command_builds_the_model_once(builds: list[int]) -> None:
    for arguments in (
        ["train", "config.yaml"],
        ["train", "--resume", "latest", "--set", "fit.epochs=2"],
        ["validate", "config.yaml"],
        ["evaluate", "latest"],
        ["predict", "latest", "test"],
        ["summary", "config.yaml"],
        ["plot", "latest", "--model"],
        ["export", "latest", "--format", "h5", "-o", "weights.h5"],
        ["import", "weights.h5", "--config", "config.yaml"],
    ):
        kerascli(*arguments)
        once = [2, 2] if arguments[0] == "export" else [2]  # what was exported is read again, as a stranger's
        assert builds == once, arguments
        builds.clear()


def test_each_phase_is_built_once(builds: list[int]) -> None:
    Path("config.yaml").write_text(PHASES)
    kerascli("train", "config.yaml")
    assert builds == [2, 2]


def test_data_that_has_to_be_read_is_there_when_the_model_is_built(builds: list[int]) -> None:
    Path("config.yaml").write_text(FROM_A_FILE)
    Path("rows.py").write_text(ROWS)
    kerascli("train", "config.yaml")
    assert builds == [2]


def test_facts_that_only_the_data_tells_are_another_model(builds: list[int]) -> None:
    """Before the data is read, a placeholder replaces a vector's length."""
    Path("rows.py").write_text(ROWS)
    Path("config.yaml").write_text(FROM_A_FILE.replace("[normalization]", "[]"))
    kerascli("validate", "config.yaml")
    assert builds == [2]


def test_each_file_is_read_once(builds: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = os.open, Counter[str]()

    def counted(path: Any, *arguments: Any, **options: Any) -> int:
        opened[os.path.relpath(path)] += 1
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", counted)
    kerascli("train", "config.yaml")
    assert (opened["config.yaml"], opened["mine.py"]) == (1, 1)


def test_label_ranges_are_checked_once_a_split(builds: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Counter[str]()
    real = label_range_checks._check

    def counted(wanted: Any, split: str, *rest: Any) -> None:
        checked[split] += 1
        real(wanted, split, *rest)

    monkeypatch.setattr(label_range_checks, "_check", counted)
    kerascli("train", "config.yaml")
    assert checked == {"train": 1, "test": 1}


def test_what_is_run_is_what_is_recorded(builds: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that changes its own file during import is recorded as it was read."""
    source = "from pathlib import Path\nPath(__file__).write_text('changed')\n"
    Path("mine.py").write_text(source)
    kerascli("train", "config.yaml")
    [kept] = Path("runs").glob("*/plugins/mine.py")
    assert kept.read_text() == source
