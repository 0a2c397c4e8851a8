"""What cannot be divided among processes or shards is refused by name, and what is computed over a part is said."""

from pathlib import Path

import pytest

from kerascli.errors import ConfigError
from kerascli.workflow.check import check

CONFIG = """
data:
  source: {blobs: {rows: 64, features: 4, classes: 3}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 4, name: first}
LAYERS
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy}
fit: {batch_size: 16FIT}
"""


def checked(folder: Path, *, layers: str = "", fit: str = "", processes: int = 1) -> list[str]:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("LAYERS\n", layers).replace("FIT", fit))
    return check(path, sets=(), flags=(), processes=processes).lines


MIXES = '    - expr: {value: "first - mean(first, axis=0)", name: centred}\n'
SYNCHRONIZED = "    - batch_normalization: {synchronized: true, name: norm}\n"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"layers": MIXES, "processes": 2}, "formula of 'centred' compares rows"),
        ({"layers": MIXES, "fit": ", shards: 4"}, "formula of 'centred' compares rows"),
        ({"layers": SYNCHRONIZED, "fit": ", shards: 4"}, "'norm' is synchronized, but a shard"),
        ({"fit": ", shards: 4", "processes": 3}, "4 shards cannot be divided among 3 processes"),
        ({"fit": ", shards: 2", "processes": 4}, "2 shards cannot be divided among 4 processes"),
        ({"fit": ", shards: 1", "processes": 2}, "1 shard cannot be divided among 2 processes"),
        ({"processes": 17}, "16 rows cannot be divided among 17 processes"),
        ({"fit": ", shards: 3"}, "expected a power of two"),
        ({"fit": ", shards: 32"}, "must divide batch_size"),
        ({"fit": ", distribute: dpp"}, "did you mean 'ddp'"),
        ({"fit": ", distribute: {dpp: {shard_optimizer_state: true}}"}, "did you mean 'ddp'"),
    ],
)
def test_what_cannot_be_divided_is_refused(tmp_path: Path, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        checked(tmp_path, **settings)  # pyright: ignore[reportArgumentType]


def test_a_formula_over_rows_is_taken_on_one_process(tmp_path: Path) -> None:
    assert checked(tmp_path, layers=MIXES)


def test_the_rows_of_each_part_are_said(tmp_path: Path) -> None:
    lines = checked(tmp_path, layers="    - batch_normalization\n", processes=3)
    assert "  batches of 16 rows: 3 processes of 5 or 6 rows each" in lines
    assert "  'batch_normalization' normalizes over the rows of a part, not of the whole batch" in lines
    assert not any("normalizes" in line for line in checked(tmp_path, layers=SYNCHRONIZED, processes=3))
    nested = "    - reshape: [2, 2]\n    - time_distributed: {layer: batch_normalization}\n    - flatten\n"
    lines = checked(tmp_path, layers=nested, processes=3)
    assert "  'time_distributed' normalizes over the rows of a part, not of the whole batch" in lines
    assert "  batches of 16 rows: 4 shards of 4 rows each" in checked(tmp_path, fit=", shards: 4", processes=2)


ZERO = "{ddp: {shard_optimizer_state: true}}"


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("compile.optimizer=muon", "the optimizer 'muon' needs whole weights, which shard_optimizer_state divides"),
        ("compile.precision=mixed_float16", "dynamic loss scaling"),
        ("compile.optimizer={sgd: {clipnorm: 1}}", "clipnorm with shards and shard_optimizer_state"),
        ("compile.optimizer={adam: {global_clipnorm: 1}}", "global_clipnorm with shards and shard_optimizer_state"),
        ("compile.optimizer={ftrl: {learning_rate_power: -0.3}}", "this 'ftrl' takes powers, whose bits depend"),
    ],
)
def test_optimizers_whose_state_cannot_be_divided_are_refused(tmp_path: Path, setting: str, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("LAYERS\n", "").replace("FIT", f", shards: 4, distribute: {ZERO}"))
    with pytest.raises(ConfigError, match=text):
        check(path, sets=(setting,), flags=(), processes=2)
    assert check(path, sets=(setting,), flags=(), processes=1).lines  # one process divides nothing


def test_another_distribution_replaces_that_of_the_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("LAYERS\n", "").replace("FIT", f", distribute: {ZERO}"))
    lines = check(path, sets=("fit.distribute={fsdp: {reshard_after_forward: false}}",), flags=(), processes=1).lines
    assert not any("ddp" in line for line in lines)


def test_a_weight_without_axes_has_no_rows_to_divide(tmp_path: Path) -> None:
    scaled = "    - reshape: [2, 2]\n    - attention: {use_scale: true, inputs: [reshape, reshape]}\n    - flatten\n"
    with pytest.raises(ConfigError, match="without axes, which shard_optimizer_state cannot divide"):
        checked(tmp_path, layers=scaled, fit=f", distribute: {ZERO}", processes=2)


def test_the_part_of_the_optimizer_s_state_is_said(tmp_path: Path) -> None:
    lines = checked(tmp_path, fit=f", distribute: {ZERO}", processes=4)
    assert "  ddp: each process holds 1/4 of the optimizer state, and updates as many weights" in lines
