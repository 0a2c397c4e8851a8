"""Two ways to validate exclude each other, but runs of earlier releases that had both can be opened."""

from pathlib import Path
from typing import Any

import pytest

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config, open_recorded
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError

BOTH = """
data:
  source: {blobs: {rows: 64, features: 3, classes: 2}}
  split: {validation: 0.25}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1, validation_split: 0.5, validation_data: validation}
"""


class Recorded:
    """Run whose recorded config has both; as much of a `RunRecord` as `open_recorded` reads."""

    def __init__(self, folder: Path) -> None:
        self.resolved_path = folder / "resolved.yaml"

    def resolved(self) -> str:
        return BOTH

    def facts(self) -> dict[str, Any]:
        return {}

    def plugins(self) -> tuple[()]:
        return ()


def test_a_run_that_was_trained_with_both_goes_on_with_the_second(tmp_path: Path) -> None:
    config = open_recorded(Recorded(tmp_path))  # type: ignore[arg-type]
    splits = load_config_data(config).splits
    assert {name: split.rows for name, split in splits.items()} == {"train": 48, "validation": 16}


@pytest.mark.parametrize(
    ("old", "new", "sets"),
    [
        ("", "", []),
        (", validation_data: validation", "", ["fit.validation_data=validation"]),
        (", validation_data: validation", ", phases: [{}, {validation_data: validation}]", []),
    ],
)
def test_validation_split_beside_validation_data_is_refused(old: str, new: str, sets: list[str]) -> None:
    with pytest.raises(ConfigError, match="validation_split cannot be combined with validation_data"):
        open_config(parse_document(BOTH.replace(old, new) if old else BOTH, "c.yaml"), sets=sets)


@pytest.mark.parametrize(
    ("old", "new", "sets"),
    [
        ("validation_split: 0.5", "validation_split: 0", []),
        ("", "", ["fit.validation_split=null"]),
        ("validation_data: validation", "validation_data: null", []),
    ],
)
def test_validation_split_or_validation_data_may_be_null(old: str, new: str, sets: list[str]) -> None:
    open_config(parse_document(BOTH.replace(old, new) if old else BOTH, "c.yaml"), sets=sets)
